"""kill -9 in the middle of things: nothing is lost, nothing stands there twice."""

from __future__ import annotations

import random
import signal
import time

import psutil
import pytest

from tests.integration.chaos_support import Place, assert_every_item_once, eventually, provider

pytestmark = pytest.mark.slow

IN_FLIGHT = 32
UNWRITTEN = 100  # checkpoint.maxItems, as it is by default
LEASE = 15.0
FIXED = {"concurrency": {"min": IN_FLIGHT, "max": IN_FLIGHT}}


@pytest.mark.timeout(400)
def test_ten_kills_of_everything(place: Place) -> None:
    """kill -9 of the process group at ten random moments of 20,000 items."""
    count, kills = 20_000, 10
    moments = sorted(random.Random(3).sample(range(count * 95 // 100), kills))
    place.items(count)
    with provider("--latency", "30ms") as far_side:
        manifest = place.job(far_side.url, scaling=FIXED)
        for moment in moments:
            command = place.run(manifest)
            far_side.has("distinct", moment)
            assert command.running, command.output
            command.kill_group()
        started = time.monotonic()
        last = place.run(manifest)
        code = last.ends()
        stats = far_side.stats()
    print(
        f"{kills} kills at {moments} of {count:,} items: duplicates {stats['duplicates']}, "
        f"the last command took {time.monotonic() - started:.1f} s"
    )
    assert code == 0, last.output
    assert "goes on with run 1" in last.output
    assert_every_item_once(place.rows(), count)
    assert stats["distinct"] == count
    assert stats["duplicates"] <= kills * (IN_FLIGHT + UNWRITTEN)


@pytest.mark.timeout(300)
def test_kills_at_any_moment_of_a_commands_life(place: Place) -> None:
    """While it starts, plans, works, exports: the moment is one of time, not of progress."""
    count, kills = 3_000, 12
    rng = random.Random(4)
    place.items(count)
    phases = []
    with provider("--latency", "100ms") as far_side:
        manifest = place.job(far_side.url, scaling=FIXED)
        for number in range(kills):
            command = place.run(manifest)
            if number % 3:  # counted from its start or from when it has come to its database
                eventually("it comes to the database", command.has_database)
            command.lives_for(rng.uniform(0.0, 3.0))
            command.kill_group()
            row = place.query("SELECT phase FROM run ORDER BY id DESC LIMIT 1")
            phases.append(row[0]["phase"] if row else "none")
        last = place.run(manifest)
        code = last.ends()
        stats = far_side.stats()
    print(f"{kills} kills in phases {phases}: duplicates {stats['duplicates']}")
    assert code == 0, last.output
    # A run may have come to its end before its time; the next command then skips what it did.
    assert_every_item_once(place.rows(), count, {"succeeded", "skipped"})
    assert stats["distinct"] == count
    assert stats["duplicates"] <= kills * (IN_FLIGHT + UNWRITTEN)


@pytest.mark.timeout(300)
def test_one_of_three_workers(place: Place) -> None:
    """What a dead worker had in its hands goes on in seconds, long before its lease would end."""
    count = 3_000
    place.items(count)
    with provider("--latency", "50ms") as far_side:
        manifest = place.job(far_side.url, scaling={"concurrency": {"min": 8, "max": 8}})
        command = place.run(manifest, "--workers", "3")
        far_side.has("distinct", 400)
        eventually("three workers", lambda: len(command.workers()) == 3)
        victim = command.workers()[0]
        (known,) = eventually(
            "the worker says who it is",
            lambda: place.query(
                "SELECT id FROM worker WHERE stats::json ->> 'pid' = $1", str(victim.pid)
            ),
        )
        owner = known["id"]
        held = eventually(
            "the worker holds a shard",
            lambda: place.query("SELECT lo FROM shard WHERE owner = $1 AND NOT done", owner),
        )
        victim.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        taken = eventually(
            "its items are in the hands of others, or done",
            lambda: place.query(
                "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM shard WHERE lo = ANY ($1) AND NOT done "
                "AND (owner IS NULL OR owner = $2))",
                [row["lo"] for row in held],
                owner,
            ),
        )
        seconds = time.monotonic() - killed
        code = command.ends()
        stats = far_side.stats()
    print(
        f"{len(held)} shards of the dead worker were taken over after {seconds:.1f} s; "
        f"duplicates {stats['duplicates']}"
    )
    assert taken
    assert seconds < LEASE / 2
    assert code == 0, command.output
    assert_every_item_once(place.rows(), count)
    assert stats["duplicates"] <= 8 + UNWRITTEN


@pytest.mark.timeout(300)
def test_the_driver_alone(place: Place) -> None:
    """Workers end by themselves when their driver is dead; the next command need not wait."""
    count = 8_000
    place.items(count)
    with provider("--latency", "50ms") as far_side:
        manifest = place.job(far_side.url, scaling=FIXED)
        command = place.run(manifest, "--workers", "2")
        far_side.has("distinct", 400)
        workers = command.workers()
        assert len(workers) == 2
        command.process.kill()
        killed = time.monotonic()
        command.process.wait()
        gone, left = psutil.wait_procs(workers, timeout=LEASE)
        seconds = time.monotonic() - killed
        before = far_side.stats()["accepted"]
        next_one = place.run(manifest, "--workers", "2")
        started = time.monotonic()
        far_side.has("accepted", before + 1)
        again = time.monotonic() - started
        code = next_one.ends()
        stats = far_side.stats()
    print(
        f"the workers ended {seconds:.1f} s after their driver, the next command called after "
        f"{again:.1f} s; duplicates {stats['duplicates']}"
    )
    assert not left
    assert len(gone) == 2
    assert code == 0, next_one.output
    assert_every_item_once(place.rows(), count)
    assert stats["duplicates"] <= 2 * (IN_FLIGHT + UNWRITTEN)
