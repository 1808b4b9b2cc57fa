"""The embedded server as commands see it: start, share, leave, and what may stand in the way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from penstock.errors import EmbeddedServerError
from penstock.store import embedded
from penstock.store.account import account
from penstock.store.datadir import state_dir
from penstock.store.server import runtime_dir
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


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """A directory for a database. Afterwards its server must end by itself."""
    monkeypatch.setenv("PENSTOCK_SERVER_GRACE", "0.2")
    path = tmp_path / "db"
    yield path
    if path.exists():
        await until(lambda: over(path))


def leave_half_made(home: Path) -> None:
    """What an initdb leaves that was killed in the middle."""
    home.mkdir(mode=0o700)
    (home / "data.new" / "base").mkdir(parents=True)
    (home / "data.new" / "PG_VERSION").write_text("18\n")


@contextlib.contextmanager
def open_to_all(path: Path) -> Iterator[None]:
    """A directory that everybody may use."""
    path.mkdir()
    path.chmod(0o777)
    yield
    path.rmdir()


async def test_the_first_start_makes_it_the_next_join_and_it_ends_with_the_last(
    home: Path,
) -> None:
    first = await embedded.start(home, cwd=Path.cwd())
    assert first.notice is None
    assert await value(first.dsn, "SELECT current_database()::text") == "penstock"
    second = await embedded.start(home, cwd=Path.cwd())
    assert second.dsn == first.dsn
    first.close()
    first.close()  # twice is as good as once
    assert await value(second.dsn, "SELECT 1") == 1
    second.close()
    await until(lambda: over(home))
    assert starts(home) == 1


async def test_what_was_written_is_there_the_next_time(home: Path) -> None:
    first = await embedded.start(home, cwd=Path.cwd())
    await value(first.dsn, "CREATE TABLE kept AS SELECT 7 AS n")
    first.close()
    await until(lambda: over(home))
    second = await embedded.start(home, cwd=Path.cwd())
    assert await value(second.dsn, "SELECT n FROM kept") == 7
    second.close()


async def test_a_start_while_the_last_server_stops_waits_and_starts_the_next(home: Path) -> None:
    for _ in range(3):  # close and start follow each other at different moments of the stop
        server = await embedded.start(home, cwd=Path.cwd())
        server.close()
        await until(lambda: "nobody uses the server" in (home / "server.log").read_text())
        (home / "server.log").write_text("")


async def test_it_is_durable_private_and_small(home: Path) -> None:
    server = await embedded.start(home, cwd=Path.cwd())
    connection = await asyncpg.connect(server.dsn)
    rows = await connection.fetch("SELECT name, setting FROM pg_settings")
    await connection.close()
    server.close()
    settings = {row["name"]: row["setting"] for row in rows}
    for name in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
        assert settings[name] == "on", name
    assert settings["listen_addresses"] == ""
    assert settings["log_min_error_statement"] == "panic"
    assert settings["log_error_verbosity"] == "terse"
    assert settings["server_encoding"] == "UTF8"
    for path in (home, home / "data", Path(settings["unix_socket_directories"])):
        assert path.stat().st_mode & 0o077 == 0, path


async def test_the_keeper_is_small(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)  # a measured process is a larger one
    server = await embedded.start(home, cwd=Path.cwd())
    (keeper,) = keepers(home)
    assert keeper.memory_info().rss < 15_000_000
    server.close()


async def test_ten_first_starts_at_once_make_one_server(home: Path) -> None:
    commands = [Command(home) for _ in range(10)]
    addresses = {command.dsn() for command in commands}
    assert len(addresses) == 1
    assert await value(addresses.pop(), "SELECT 1") == 1
    assert len(keepers(home)) == 1
    assert starts(home) == 1
    for command in commands:
        with command:
            pass


@pytest.mark.parametrize(
    "name",
    [
        "with space and 'quotes'",
        "Zürich – データ,100%&a=b?#",
        "/".join(["a rather long name of a directory"] * 8),
    ],
)
async def test_any_path_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PENSTOCK_SERVER_GRACE", "0.2")
    home = tmp_path / name
    server = await embedded.start(home, cwd=Path.cwd())
    assert await value(server.dsn, "SELECT 1") == 1
    assert server.data_dir == home
    server.close()
    await until(lambda: over(home))


async def test_what_the_environment_says_of_other_servers_does_not_matter(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "9999")
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("PGDATABASE", "other")
    monkeypatch.setenv("PGUSER", "other")
    monkeypatch.setenv("PGSSLMODE", "require")
    server = await embedded.start(home, cwd=Path.cwd())
    assert await value(server.dsn, "SELECT current_user::text") == "penstock"
    server.close()


async def test_where_nothing_can_be_written_it_lives_in_the_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_SERVER_GRACE", "0.2")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    cwd = tmp_path / "project"
    cwd.mkdir()
    (cwd / ".penstock").touch()  # stops root as well, unlike permissions
    server = await embedded.start(None, cwd=cwd)
    assert server.data_dir == state_dir(cwd, os.environ)
    assert server.notice is not None
    assert str(server.data_dir) in server.notice
    server.close()
    (cwd / ".penstock").unlink()
    again = await embedded.start(None, cwd=cwd)
    assert again.data_dir == server.data_dir
    again.close()
    await until(lambda: over(server.data_dir))


async def test_an_ordinary_user_needs_no_other_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_SERVER_GRACE", "0.2")
    who = account()  # for root: nobody; else we are that ordinary user ourselves
    home = tmp_path / "db"
    home.mkdir(mode=0o700)
    who.own(home)
    with Command(home, who.prefix) as command:
        dsn = command.dsn()
        assert await value(dsn, "SELECT 1") == 1
        uid = who.ids[0] if who.ids else os.geteuid()
        assert (home / "data").stat().st_uid == uid
        assert keepers(home)[0].uids().effective == uid
    await until(lambda: over(home))


async def test_a_half_made_database_is_made_anew(home: Path) -> None:
    leave_half_made(home)
    server = await embedded.start(home, cwd=Path.cwd())
    assert await value(server.dsn, "SELECT 1") == 1
    assert not (home / "data.new").exists()
    server.close()


async def test_a_starter_killed_while_the_database_is_made_does_no_harm(home: Path) -> None:
    command = Command(home)
    await until(lambda: (home / "data.new").exists())
    command.kill_group()
    server = await embedded.start(home, cwd=Path.cwd())
    assert await value(server.dsn, "SELECT 1") == 1
    server.close()


async def test_a_keeper_killed_while_the_database_is_made_does_no_harm(home: Path) -> None:
    command = Command(home)
    await until(lambda: (home / "data.new" / "PG_VERSION").exists())
    for keeper in keepers(home):
        keeper.kill()
    assert command.dsn() == ""  # it says that its keeper was killed
    command.process.communicate()
    server = await embedded.start(home, cwd=Path.cwd())
    assert await value(server.dsn, "SELECT 1") == 1
    assert not (home / "data.new").exists()
    server.close()


async def test_a_database_of_another_version_is_refused_with_the_way_out(home: Path) -> None:
    server = await embedded.start(home, cwd=Path.cwd())
    server.close()
    await until(lambda: over(home))
    (home / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(EmbeddedServerError, match=r"(?s)incompatible.*--data-dir"):
        await embedded.start(home, cwd=Path.cwd())


async def test_a_planted_socket_directory_is_refused(home: Path) -> None:
    server = await embedded.start(home, cwd=Path.cwd())
    server.close()
    await until(lambda: over(home))
    socket_dir = runtime_dir(home)
    with (
        open_to_all(socket_dir),
        pytest.raises(EmbeddedServerError, match=f"{socket_dir} is there already"),
    ):
        await embedded.start(home, cwd=Path.cwd())


async def test_the_servers_own_last_words_are_in_the_error(home: Path) -> None:
    server = await embedded.start(home, cwd=Path.cwd())
    server.close()
    await until(lambda: over(home))
    shutil.rmtree(home / "data" / "global")
    with pytest.raises(EmbeddedServerError, match="global/pg_control"):
        await embedded.start(home, cwd=Path.cwd())


async def test_a_cancelled_start_leaves_no_user_behind(home: Path) -> None:
    task = asyncio.ensure_future(embedded.start(home, cwd=Path.cwd()))
    await until(lambda: bool(keepers(home)))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: over(home))


async def test_a_dropped_database_is_named(home: Path) -> None:
    server = await embedded.start(home, cwd=Path.cwd())
    maintenance = server.dsn.replace("/penstock?", "/postgres?")
    connection = await asyncpg.connect(maintenance)
    await connection.execute("DROP DATABASE penstock WITH (FORCE)")
    await connection.close()
    with pytest.raises(EmbeddedServerError, match="dropped"):
        await embedded.start(home, cwd=Path.cwd())
    assert await pid_of(maintenance) == postmaster(home).pid
    server.close()


def test_binaries_are_those_of_the_database_or_the_newest() -> None:
    newest = embedded.find_binaries(None)
    assert (newest / "initdb").exists()
    assert embedded.find_binaries("18") == newest
    assert embedded.find_binaries("12") == newest


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("initdb: error: could not write: No space left on device", "Free some space"),
        ("[Errno 30] Read-only file system: '/x'", "--data-dir"),
        ("PostgreSQL refuses to run as root, and setpriv: Operation not permitted", "ordinary"),
        ("FATAL:  could not map anonymous shared memory: Cannot allocate memory", "memory"),
    ],
)
def test_errors_say_what_to_do(reason: str, advice: str) -> None:
    assert advice in str(embedded._failure(Path("/x"), reason)).split("\n")[-1]
