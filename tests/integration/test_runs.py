"""Runs on a real PostgreSQL: their drivers, and how they look while they are under way."""

from __future__ import annotations

import pytest

from penstock.errors import InputError, NotFound
from penstock.local import commands
from penstock.local.options import Options
from penstock.plan import planner
from penstock.store import runs, shards
from penstock.store.db import Database
from penstock.store.runs import Run
from tests.integration.work_support import planned

ME = '{"host":"here","pid":1,"started":0.0}'
OTHER = '{"host":"there","pid":1,"started":0.0}'


async def driven(db: Database) -> Run:
    """A run that ME drives."""
    return await planner.open_run(
        db, job="job", result_set="set", manifest="{}", manifest_path="", existing="skip",
        redrive_reason="", driver=ME,
    )  # fmt: skip


async def test_time_is_not_counted_twice(db: Database) -> None:
    run = await driven(db)
    for _ in range(2):  # sent again after a lost answer
        assert await runs.driver_alive(db, run.id, ME, 7.5) is not None
    assert (await runs.get(db, run.id)).active_seconds == 7.5
    for _ in range(2):
        await runs.driver_gone(db, run.id, ME, 8.0)
    run = await runs.get(db, run.id)
    assert (run.active_seconds, run.driver) == (8.0, None)


async def test_a_driver_that_was_replaced_learns_it(db: Database) -> None:
    run = await driven(db)
    assert await runs.take_over(db, run, OTHER, "{}", "")
    assert await runs.driver_alive(db, run.id, ME, 100.0) is None
    await runs.driver_gone(db, run.id, ME, 100.0)
    assert await runs.driven_by(db, run.id, OTHER)
    assert (await runs.get(db, run.id)).active_seconds == 0.0


async def test_watched_is_what_get_and_totals_say(db: Database) -> None:
    run = await planned(db, 20)
    (lease,) = await shards.claim(db, run.id, "a", home=0, count=1, expired_too=False)
    await db.execute(
        "UPDATE shard SET succeeded = 3, failed = 1, prompt_tokens = 5, completion_tokens = 4"
        " WHERE lo = $1",
        lease.lo,
    )
    await runs.worker_seen(db, run.id, "gone", 0, {"requests": 2})
    await runs.workers_gone(db, run.id, ["gone"])
    await runs.worker_seen(db, run.id, "there", 0, {"requests": 3})
    watched = await runs.watched(db, run.id)
    assert sorted(one["requests"] for one in watched.workers) == [2, 3]
    assert watched.fresh == [{"requests": 3}]
    assert (watched.phase, watched.total, watched.suspend) == ("Running", 20, False)
    assert (watched.succeeded, watched.failed) == (3, 1)
    assert (watched.prompt_tokens, watched.completion_tokens) == (5, 4)
    with pytest.raises(NotFound):
        await runs.watched(db, run.id + 1)


async def test_never_fewer_than_none_are_skipped(db: Database) -> None:
    run = await planned(db, 10)
    await db.execute("UPDATE shard SET succeeded = 12 WHERE run = $1", run.id)
    await runs.settle_skipped(db, run.id)
    assert (await runs.get(db, run.id)).skipped == 0


async def test_a_job_of_another_version_is_told_of_and_can_be_deleted(
    db: Database, dsn: str
) -> None:
    await driven(db)  # its manifest says nothing
    await runs.driver_gone(db, 1, ME, 0.0)
    options = Options(database=dsn)
    with pytest.raises(InputError, match=r"another version of Penstock.*`penstock delete job`"):
        await commands.status("job", options)
    await commands.delete("job", options, results=False)
    assert await runs.latest(db, "job") is None
