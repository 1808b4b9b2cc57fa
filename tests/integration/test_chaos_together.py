"""Several commands in one directory, and runs that were killed before they were planned."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.integration.chaos_support import (
    Command,
    Place,
    assert_every_item_once,
    eventually,
    provider,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LARGE = 400_000  # more than fit in one batch of the planner, and some seconds of planning
SMALL = 50


def test_a_second_command_attaches_nothing(place: Place) -> None:
    place.items(300)
    with provider("--latency", "500ms") as far_side:
        manifest = place.job(far_side.url, scaling={"concurrency": {"min": 10, "max": 10}})
        first = place.run(manifest)
        far_side.has("accepted", 10)
        second = place.run(manifest)
        code = second.ends()
        assert code == 2, second.output
        assert f"running already (process {first.pid} on " in second.output
        assert "penstock watch chaos" in second.output
        assert not second.workers()
        assert len(first.workers()) == 1
        owners = eventually(
            "the worker says that it is there", lambda: place.query("SELECT id FROM worker")
        )
        first_code = first.ends()
        stats = far_side.stats()
    assert len(owners) == 1
    assert first_code == 0, first.output
    assert_every_item_once(place.rows(), 300)
    assert stats["accepted"] == 300


def test_of_two_at_the_same_moment_one_runs(place: Place) -> None:
    """Started together, again and again: one does the work, the other is told so."""
    rounds = 3
    place.items(SMALL)
    with provider("--latency", "300ms") as far_side:
        manifest = place.job(far_side.url, existing="force")
        outcomes = []
        for _ in range(rounds):
            both = [place.run(manifest, "--force") for _ in range(2)]
            codes = sorted(command.ends() for command in both)
            outcomes.append(codes)
            assert codes == [0, 2], [command.output for command in both]
            refused = next(command for command in both if command.process.returncode == 2)
            assert "running already" in refused.output
        stats = far_side.stats()
    print(f"exit codes {outcomes}")
    assert stats["accepted"] == rounds * SMALL
    assert_every_item_once(place.rows(), SMALL)


@pytest.mark.parametrize("end", [Command.kill_group, lambda c: c.signal_group(signal.SIGINT)])
def test_ended_while_planning(place: Place, end: Callable[[Command], None]) -> None:
    """The next run plans anew, from the source as it is then; of the other nothing is left."""
    place.items(LARGE)
    with provider() as far_side:
        manifest = place.job(far_side.url)
        command = place.run(manifest)
        eventually(
            "some items are stored and the plan is not whole",
            lambda: place.query("SELECT 1 FROM pg_class WHERE relname = 'item_1'"),
        )
        assert place.query("SELECT phase FROM run")[0]["phase"] == "Planning"
        end(command)
        command.ends()
        place.items(SMALL)
        last = place.run(manifest)
        code = last.ends()
        stats = far_side.stats()
    assert code == 0, last.output
    assert f"{SMALL}: {SMALL} new" in last.output
    assert "goes on" not in last.output
    assert_every_item_once(place.rows(), SMALL)
    assert stats["accepted"] == SMALL
    left = "SELECT (SELECT count(*) FROM run) AS runs, (SELECT count(*) FROM item) AS items, "
    tables = "(SELECT count(*) FROM pg_class WHERE relname = 'item_1') AS tables"
    again = place.start("status")  # keeps the server up for the look below
    counted = eventually("the database is asked", lambda: place.query(left + tables))[0]
    again.ends()
    assert tuple(counted.values()) == (1, SMALL, 0)


def test_the_database_dies_while_planning(place: Place) -> None:
    count = 60_000
    place.items(count)
    with provider() as far_side:
        manifest = place.job(far_side.url, source={
            "file": {"path": "items.jsonl"}, "idField": "id", "where": "item.text != 'text 5'",
        })  # fmt: skip
        command = place.run(manifest, "--limit", str(count))
        eventually(
            "some items are stored",
            lambda: place.query("SELECT 1 FROM pg_class WHERE relname = 'item_1'"),
        )
        place.server_processes()[0].kill()
        command.says("the database is back")
        command.says(f"{count - 1:,}: {count - 1:,} new")
        command.kill_group()
        stored = place.start("status", "chaos", "--json")
        stored.ends()
    assert f'"total":{count - 1}' in stored.output


def test_two_jobs_share_the_server(place: Place) -> None:
    count = 400
    place.items(count)
    with provider("--latency", "200ms") as far_side:
        manifests = [place.job(far_side.url, name) for name in ("one", "other")]
        commands = [place.run(manifest, "--workers", "2") for manifest in manifests]
        far_side.has("accepted", count)
        assert all(command.running for command in commands)
        postmaster = place.postmaster().pid
        six = "SELECT FROM pg_stat_activity WHERE application_name ^@ $1 HAVING count(*) = 6"
        eventually("two drivers with two workers each use it", lambda: place.query(six, "penstock"))
        codes = [command.ends() for command in commands]
        assert place.postmaster().pid == postmaster
        stats = far_side.stats()
    assert codes == [0, 0], [command.output for command in commands]
    for name in ("one", "other"):
        assert_every_item_once(place.rows(name), count)
    assert stats["accepted"] == 2 * count
