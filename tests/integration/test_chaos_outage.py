"""PostgreSQL goes away in the middle of a run: the run waits, says so, and goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import psutil
import pytest

from tests.integration.chaos_support import (
    Place,
    Provider,
    assert_every_item_once,
    eventually,
    provider,
)
from tests.processes import lives

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 3_000
AWAY = 10.0
IN_FLIGHT = 16
UNWRITTEN = 100  # checkpoint.maxItems, as it is by default
WAITING, BACK = "waiting for the database", "the database is back"


def started(place: Place, far_side: Provider) -> str:
    """A manifest whose run has a good part of its items still to do after AWAY seconds."""
    place.items(COUNT)
    concurrency = {"min": IN_FLIGHT, "max": IN_FLIGHT}
    return place.job(far_side.url, scaling={"concurrency": concurrency})


def test_stopped_in_good_order_and_started_again(place: Place) -> None:
    """`pg_ctl stop -m fast`, ten seconds, `pg_ctl start`."""
    with provider("--latency", "50ms") as far_side:
        command = place.run(started(place, far_side))
        far_side.has("distinct", 600)
        place.pg_ctl("stop", "-m", "fast")
        command.says(WAITING)
        assert command.lives_for(AWAY), command.output
        in_between = far_side.stats()["distinct"]
        place.pg_ctl("start")
        command.says(BACK)
        code = command.ends()
        stats = far_side.stats()
    print(f"stopped at {in_between} of {COUNT} served; duplicates {stats['duplicates']}")
    assert code == 0, command.output
    assert in_between < COUNT  # there was something left to wait for
    assert_every_item_once(place.rows(), COUNT)
    assert stats["duplicates"] == 0


def test_killed(place: Place) -> None:
    """kill -9 of the postmaster: the keeper starts it again, after recovery the run goes on."""
    with provider("--latency", "50ms") as far_side:
        command = place.run(started(place, far_side), "--workers", "2")
        far_side.has("distinct", 600)
        first = place.postmaster().pid
        keeper = psutil.Process(first).parent()
        assert keeper is not None
        # It brings the server back so fast that nobody might notice; so it waits until one has.
        keeper.suspend()
        os.kill(first, signal.SIGKILL)
        try:
            command.says(WAITING)
        finally:
            keeper.resume()
        resumed = time.monotonic()
        command.says(BACK)
        seconds = time.monotonic() - resumed
        code = command.ends()
        stats = far_side.stats()
    print(f"back {seconds:.1f} s after the keeper could; duplicates {stats['duplicates']}")
    assert code == 0, command.output
    assert place.postmaster().pid != first
    assert_every_item_once(place.rows(), COUNT)
    assert stats["duplicates"] <= 2 * (IN_FLIGHT + UNWRITTEN)


def test_frozen(place: Place) -> None:
    """SIGSTOP of all its processes, ten seconds, SIGCONT: connections stay, nothing answers."""
    with provider("--latency", "50ms") as far_side:
        command = place.run(started(place, far_side))
        far_side.has("distinct", 600)
        server = place.server_processes()
        for process in server:
            process.suspend()
        try:
            command.says(WAITING)
            assert command.lives_for(AWAY), command.output
            in_between = far_side.stats()["distinct"]
        finally:
            for process in server:
                process.resume()
        command.says(BACK)
        code = command.ends()
        stats = far_side.stats()
    print(f"frozen at {in_between} of {COUNT} served; duplicates {stats['duplicates']}")
    assert code == 0, command.output
    assert in_between < COUNT
    assert_every_item_once(place.rows(), COUNT)
    assert stats["duplicates"] == 0


def test_killed_together_with_the_command(place: Place) -> None:
    """Machine gone, as near as it gets: command, workers and server at once."""
    with provider("--latency", "50ms") as far_side:
        manifest = started(place, far_side)
        command = place.run(manifest)
        far_side.has("distinct", 600)
        server = place.server_processes()
        command.kill_group()
        for process in server:
            with contextlib.suppress(psutil.NoSuchProcess):  # gone with the postmaster
                process.kill()
        last = place.run(manifest)
        code = last.ends()
        stats = far_side.stats()
    print(f"duplicates {stats['duplicates']}")
    assert code == 0, last.output
    assert "goes on with run 1" in last.output
    assert_every_item_once(place.rows(), COUNT)
    assert stats["duplicates"] <= IN_FLIGHT + UNWRITTEN


def test_ctrl_c_ends_the_wait(place: Place) -> None:
    """Nobody is held prisoner by a database that does not come back."""
    with provider("--latency", "50ms") as far_side:
        manifest = started(place, far_side)
        command = place.run(manifest)
        far_side.has("distinct", 600)
        place.pg_ctl("stop", "-m", "fast")
        command.says(WAITING)
        workers = command.workers()
        command.signal_group(signal.SIGINT)
        command.says("Ctrl-C again ends without it")
        command.signal_group(signal.SIGINT)
        code = command.ends(20.0)
        eventually("no worker is left", lambda: not any(lives(w) for w in workers))
        place.pg_ctl("start")
        last = place.run(manifest)
        again = last.ends()
        stats = far_side.stats()
    print(f"duplicates {stats['duplicates']}\n{command.output}")
    assert code == 130, command.output
    assert again == 0, last.output
    assert_every_item_once(place.rows(), COUNT)
    assert stats["duplicates"] <= IN_FLIGHT + UNWRITTEN
