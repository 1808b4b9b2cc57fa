"""The embedded server survives its users, its keeper, itself, and people who stop it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from penstock.store import embedded
from penstock.store.account import account
from penstock.store.keeper import Keeper
from penstock.store.server import Server, open_file, read_postmaster
from tests.integration.embedded_support import (
    Command,
    keepers,
    over,
    pid_of,
    postmaster,
    starts,
    until,
    value,
)
from tests.processes import lives

pytestmark = pytest.mark.slow


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """A directory for a database. Afterwards its server must end by itself."""
    monkeypatch.setenv("PENSTOCK_SERVER_GRACE", "1")
    path = tmp_path / "db"
    yield path
    await until(lambda: over(path))


async def test_kill_of_the_starters_process_group_leaves_the_server_to_the_next(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_SERVER_GRACE", "5")
    command = Command(home)
    before = await pid_of(command.dsn())
    command.kill_group()
    server = await embedded.start(home, cwd=Path.cwd())
    assert await pid_of(server.dsn) == before
    server.close()


async def test_kill_of_the_only_user_ends_the_server(home: Path) -> None:
    command = Command(home)
    assert command.dsn()
    command.kill_group()
    await until(lambda: over(home))


async def test_kill_of_the_server_brings_it_back_with_what_was_committed(home: Path) -> None:
    server = await embedded.start(home, cwd=Path.cwd())
    await value(server.dsn, "CREATE TABLE kept AS SELECT 7 AS n")
    before = postmaster(home).pid
    os.kill(before, signal.SIGKILL)
    again = await embedded.start(home, cwd=Path.cwd())
    assert again.dsn == server.dsn
    assert await pid_of(server.dsn) != before
    assert await value(server.dsn, "SELECT n FROM kept") == 7
    again.close()
    server.close()


async def test_kill_of_the_keeper_is_noticed_by_the_next_start(home: Path) -> None:
    server = await embedded.start(home, cwd=Path.cwd())
    before = postmaster(home).pid
    keepers(home)[0].kill()
    await until(lambda: not keepers(home))
    again = await embedded.start(home, cwd=Path.cwd())
    assert await pid_of(again.dsn) == before
    again.close()
    server.close()


async def test_kill_of_the_keeper_is_noticed_by_the_last_to_leave(home: Path) -> None:
    server = await embedded.start(home, cwd=Path.cwd())
    keepers(home)[0].kill()
    await until(lambda: not keepers(home))
    server.close()
    assert len(keepers(home)) == 1
    await until(lambda: over(home))


async def test_kill_of_everything_is_recovered_from_under_another_process_pid(home: Path) -> None:
    server = await embedded.start(home, cwd=Path.cwd())
    await value(server.dsn, "CREATE TABLE kept AS SELECT 7 AS n")
    dead = psutil.Process(postmaster(home).pid)
    family = dead.children()
    keepers(home)[0].kill()
    dead.kill()
    await until(lambda: not keepers(home) and not any(lives(part) for part in family))
    # The dead server's number is somebody else's by now, somebody whom the server may signal.
    other = bystander()
    path = home / "data" / "postmaster.pid"
    _, _, rest = path.read_text().partition("\n")
    path.write_text(f"{other.pid}\n{rest}")
    again = await embedded.start(home, cwd=Path.cwd())
    assert await value(again.dsn, "SELECT n FROM kept") == 7
    assert other.poll() is None
    other.communicate()
    again.close()
    server.close()


async def test_an_ended_keeper_stops_the_server(home: Path) -> None:
    server = await embedded.start(home, cwd=Path.cwd())
    keepers(home)[0].terminate()
    await until(lambda: over(home))
    again = await embedded.start(home, cwd=Path.cwd())
    assert again.dsn == server.dsn
    again.close()
    server.close()


async def test_a_removed_socket_comes_back(home: Path) -> None:
    server = await embedded.start(home, cwd=Path.cwd())
    shutil.rmtree(postmaster(home).socket_dir)
    again = await embedded.start(home, cwd=Path.cwd())
    assert again.dsn == server.dsn
    assert await value(server.dsn, "SELECT 1") == 1
    again.close()
    server.close()


async def test_a_removed_directory_ends_its_server_and_a_new_one_can_be_made(home: Path) -> None:
    server = await embedded.start(home, cwd=Path.cwd())
    before = postmaster(home).pid
    remove(home)
    again = await embedded.start(home, cwd=Path.cwd())
    assert await pid_of(again.dsn) != before
    await until(lambda: not lives(before))
    assert await value(again.dsn, "SELECT 1") == 1
    again.close()
    server.close()


def remove(home: Path) -> None:
    """The server goes on making and removing files under our hands."""
    while home.exists():
        shutil.rmtree(home, ignore_errors=True)


def bystander() -> subprocess.Popen[bytes]:
    """A process of the server's account that has nothing to do with it."""
    return subprocess.Popen([*account().prefix, "cat"], stdin=subprocess.PIPE)


class Watched:
    """A keeper in this process, whose clock the test holds. It has one user."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self.server = Server(embedded.find_binaries(None), home)
        self.lock = open_file(home / "keeper.lock")
        self.server.make(self.lock)
        self.server.start()
        self.users = open_file(home / "users.lock")
        self.keeper = Keeper(self.server, self.users, grace=5, now=0)

    def stop_by_hand(self) -> None:
        """What `pg_ctl stop` does."""
        os.kill(self.server.pid, signal.SIGINT)
        while self.server.alive():
            time.sleep(0.01)

    def close(self) -> None:
        self.server.stop()
        os.close(self.users)
        os.close(self.lock)


async def test_a_server_that_was_stopped_by_hand_may_stay_down_for_half_a_minute(
    home: Path,
) -> None:
    watched = Watched(home)
    user = await embedded._use(home)
    assert watched.keeper.run_once(now=100)
    watched.stop_by_hand()
    assert watched.keeper.run_once(now=101)
    assert watched.keeper.run_once(now=130)
    assert read_postmaster(home / "data") is None
    assert watched.keeper.run_once(now=131)
    assert watched.server.alive()
    assert starts(home) == 2
    os.close(user)
    watched.close()


async def test_a_server_that_somebody_else_started_is_adopted(home: Path) -> None:
    watched = Watched(home)
    user = await embedded._use(home)
    watched.stop_by_hand()
    assert watched.keeper.run_once(now=1)
    by_hand = Server(watched.server.binaries, home)
    by_hand.start()
    assert watched.keeper.run_once(now=2)
    assert watched.server.pid == by_hand.pid
    assert watched.keeper.run_once(now=40)
    assert starts(home) == 2
    os.close(user)
    by_hand.stop()
    watched.close()


async def test_a_server_that_does_not_start_is_tried_again_until_nobody_wants_it(
    home: Path,
) -> None:
    watched = Watched(home)
    user = await embedded._use(home)
    os.kill(watched.server.pid, signal.SIGKILL)
    await until(lambda: not watched.server.alive())
    control = home / "data" / "global" / "pg_control"
    hidden = control.rename(home / "hidden")
    assert watched.keeper.run_once(now=1)
    assert not watched.server.alive()
    assert "does not start" in watched.server.log.read_text()
    hidden.rename(control)
    assert watched.keeper.run_once(now=1.4)  # not yet
    assert not watched.server.alive()
    assert watched.keeper.run_once(now=1.6)
    assert watched.server.alive()
    os.close(user)
    watched.close()


async def test_the_server_is_stopped_when_the_grace_without_users_is_over(home: Path) -> None:
    watched = Watched(home)
    user = await embedded._use(home)
    assert watched.keeper.run_once(now=10)
    os.close(user)
    assert watched.keeper.run_once(now=14.9)
    assert watched.server.alive()
    assert not watched.keeper.run_once(now=15)
    assert not watched.server.alive()
    watched.close()
