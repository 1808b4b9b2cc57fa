"""The worker loop on a real PostgreSQL: ends, failures, splits, takeovers, pauses, suspects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from penstock.store import runs, shards
from penstock.store.db import Database
from penstock.work import retry
from penstock.work.types import CallResult, Failure, FailureKind, Output, Usage, WorkItem
from penstock.work.worker import End, Worker
from tests.integration.work_support import Scripted, bad, good, planned, stored, worker


@pytest.fixture
async def db2(dsn: str) -> AsyncIterator[Database]:
    database = Database(dsn)
    await database.open()
    yield database
    await database.close()


async def test_every_item_is_called_once_and_stands_in_order(db: Database) -> None:
    run = await planned(db, 95)

    async def answer(items: Sequence[WorkItem]) -> CallResult:
        return good(items)

    processor = Scripted(answer)
    end = await worker(db, run, processor).work(1.0)
    assert end is End.FINISHED
    assert set(processor.calls.values()) == {1}
    rows = await stored(db, run)
    assert [row.output for row in rows] == [str(n) for n in range(95)]
    assert {row.status for row in rows} == {"succeeded"}
    assert not await shards.unfinished(db, run.id)


async def test_once_a_run_is_done_its_calls_are_counted(db: Database) -> None:
    run = await planned(db, 45)
    await db.execute(
        """
        CREATE TABLE counted (open bigint, requests bigint);
        CREATE FUNCTION count_requests() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO counted
            SELECT (SELECT count(*) FROM shard WHERE run = NEW.run AND NOT done),
                   (SELECT sum((stats::json ->> 'requests')::int) FROM worker WHERE run = NEW.run);
            RETURN NULL;
        END $$;
        CREATE TRIGGER count_requests AFTER UPDATE OF done ON shard
            FOR EACH ROW WHEN (NEW.done) EXECUTE FUNCTION count_requests();
        """
    )

    async def answer(items: Sequence[WorkItem]) -> CallResult:
        return good(items)

    await worker(db, run, Scripted(answer)).work(1.0)
    counted = await db.fetch("SELECT requests FROM counted WHERE open = 0")
    assert [row["requests"] for row in counted] == [45]


async def test_the_last_results_do_not_wait_for_the_interval(db: Database) -> None:
    run = await planned(db, 5)

    async def answer(items: Sequence[WorkItem]) -> CallResult:
        return good(items)

    long = {"maxItems": 100, "maxInterval": "1m"}
    async with asyncio.timeout(50):
        end = await worker(db, run, Scripted(answer), checkpoint=long).work(1.0)
    assert end is End.FINISHED
    assert len(await stored(db, run)) == 5


async def test_failures_keep_their_place_and_are_tried_as_often_as_allowed(db: Database) -> None:
    run = await planned(db, 30)

    async def answer(items: Sequence[WorkItem]) -> CallResult:
        number = items[0].item["n"]
        if number % 10 == 3:
            return bad(items, FailureKind.REJECTED, "HTTP 400")
        if number % 10 == 7:
            return bad(items, FailureKind.ERROR, "HTTP 500")
        return good(items)

    processor = Scripted(answer)
    await worker(db, run, processor, retry={"maxAttempts": 2}).work(1.0)
    rows = await stored(db, run)
    failed = {row.position: (row.error, row.attempts) for row in rows if row.status == "failed"}
    assert failed == {
        **dict.fromkeys((3, 13, 23), ("HTTP 400", 1)),
        **dict.fromkeys((7, 17, 27), ("HTTP 500", 2)),
    }
    assert await runs.failures(db, run) == (("HTTP 400", 3), ("HTTP 500", 3))
    assert processor.calls["i3"] == 1
    assert processor.calls["i7"] == 2


async def test_a_call_of_several_items_is_bisected_down_to_the_bad_one(db: Database) -> None:
    run = await planned(db, 40, per_shard=40)

    async def answer(items: Sequence[WorkItem]) -> CallResult:
        if any(item.item["n"] == 13 for item in items):
            return bad(items, FailureKind.REJECTED, "HTTP 400")
        return good(items)

    await worker(db, run, Scripted(answer, max_items=10)).work(1.0)
    rows = await stored(db, run)
    assert [row.position for row in rows if row.status == "failed"] == [13]


async def test_stopped_workers_leave_nothing_half_done(db: Database) -> None:
    run = await planned(db, 60)
    release = asyncio.Event()
    first: Worker

    async def answer(items: Sequence[WorkItem]) -> CallResult:
        if items[0].item["n"] >= 20:
            if items[0].item["n"] == 27:  # the eighth of those that hang: nothing else can start
                first.stop()
            await release.wait()
        return good(items)

    first = worker(db, run, Scripted(answer))
    assert await first.work(0.0) is End.DRAINED
    assert (await runs.totals(db, run.id))["succeeded"] == 20
    release.set()
    again = Scripted(answer)
    assert await worker(db, run, again, owner="w2").work(1.0) is End.FINISHED
    assert set(again.calls) == {f"i{n}" for n in range(20, 60)}
    assert all(row.status == "succeeded" for row in await stored(db, run))


async def test_two_workers_share_and_steal(db: Database, db2: Database) -> None:
    run = await planned(db, 200, per_shard=200)

    async def slow(items: Sequence[WorkItem]) -> CallResult:
        await asyncio.sleep(0.01)  # the work itself; long enough that both have some
        return good(items)

    one, two = Scripted(slow), Scripted(slow)
    ends = await asyncio.gather(
        worker(db, run, one, owner="a", concurrency=2).work(1.0),
        worker(db2, run, two, owner="b", concurrency=2).work(1.0),
    )
    assert set(ends) == {End.FINISHED}
    assert not set(one.calls) & set(two.calls)
    assert min(len(one.calls), len(two.calls)) > 50


@pytest.mark.parametrize("max_items", [1, 3])
async def test_a_worker_that_lost_its_shards_can_have_them_again(
    db: Database, db2: Database, max_items: int
) -> None:
    """What was on its way under the old lease must not be counted under the new one."""
    run = await planned(db, 200)
    lost = {30, 90, 150}

    async def answer(items: Sequence[WorkItem]) -> CallResult:
        if lost & {item.item["n"] for item in items}:
            lost.difference_update(item.item["n"] for item in items)
            await shards.release_dead(db2, run.id, None, strike=False)
        await asyncio.sleep(0.01)  # the work itself: others are on their way meanwhile
        return good(items)

    one = worker(db, run, Scripted(answer, max_items), concurrency=5)
    async with asyncio.timeout(30):
        assert await one.work(1.0) is End.FINISHED
    assert not lost
    assert [row.output for row in await stored(db, run)] == [str(n) for n in range(200)]
    assert (await runs.totals(db, run.id))["succeeded"] == 200


async def test_a_wrong_key_pauses_the_job_and_spends_no_attempts(db: Database) -> None:
    run = await planned(db, 50)

    async def refuse(items: Sequence[WorkItem]) -> CallResult:
        return bad(items, FailureKind.ACCESS, "HTTP 401")

    processor = Scripted(refuse)
    end = await worker(db, run, processor, concurrency=2).work(1.0)
    assert end is End.PAUSED
    run = await runs.get(db, run.id)
    assert (run.phase, run.reason) == ("Paused", "HTTP 401")
    assert sum(processor.calls.values()) <= 4
    assert all(row.status == "pending" for row in await stored(db, run))


async def test_a_quota_that_stays_spent_pauses_the_job(db: Database) -> None:
    run = await planned(db, 50)

    async def answer(items: Sequence[WorkItem]) -> CallResult:
        if items[0].item["n"] < 10:
            return good(items)
        return bad(items, FailureKind.QUOTA, "credit_balance_exhausted")

    processor = Scripted(answer)
    assert await worker(db, run, processor, concurrency=2).work(1.0) is End.PAUSED
    run = await runs.get(db, run.id)
    assert (run.phase, run.reason) == ("Paused", "credit_balance_exhausted")
    assert sum(processor.calls.values()) <= 10 + 2 * 5
    assert {row.attempts for row in await stored(db, run) if row.status == "pending"} == {0}


async def test_a_quota_that_is_only_a_minutes_limit_is_waited_for(db: Database) -> None:
    """It was refused more often, and for longer, than a quota that is spent for certain."""
    run = await planned(db, 20)
    refused, over = 0, 0.0

    async def answer(items: Sequence[WorkItem]) -> CallResult:
        nonlocal refused, over
        now = asyncio.get_running_loop().time()
        if items[0].item["n"] >= 10 and (not over or now < over):
            over = over or now + 4.0
            refused += 1
            failure = Failure(FailureKind.QUOTA, "insufficient_quota", doubtful=True)
            return CallResult([failure] * len(items), failure=failure)
        return good(items)

    assert await worker(db, run, Scripted(answer), concurrency=2).work(1.0) is End.FINISHED
    assert all(row.status == "succeeded" for row in await stored(db, run))
    assert {row.attempts for row in await stored(db, run)} == {1}
    assert 3 <= refused <= 10


async def test_a_doubtful_quota_is_believed_in_the_end(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "DOUBT_SPAN", 3.0)
    run = await planned(db, 20)

    async def answer(items: Sequence[WorkItem]) -> CallResult:
        if items[0].item["n"] < 10:
            return good(items)
        failure = Failure(FailureKind.QUOTA, "insufficient_quota", "said", doubtful=True)
        return CallResult([failure] * len(items), failure=failure)

    processor = Scripted(answer)
    began = asyncio.get_running_loop().time()
    assert await worker(db, run, processor, concurrency=2).work(1.0) is End.PAUSED
    assert asyncio.get_running_loop().time() - began > 3.0
    assert (await runs.get(db, run.id)).reason == "insufficient_quota"
    assert sum(processor.calls.values()) <= 10 + 10


async def test_too_many_failures_end_the_run(db: Database) -> None:
    run = await planned(db, 2000, per_shard=500)
    enough = asyncio.Event()

    async def refuse(items: Sequence[WorkItem]) -> CallResult:
        if items[0].item["n"] > 30:
            await enough.wait()  # never: the run has to end without these
        return bad(items, FailureKind.REJECTED, "HTTP 400")

    end = await worker(
        db, run, Scripted(refuse), concurrency=4, failurePolicy={"toleratedFailureCount": 5}
    ).work(1.0)
    assert end is End.FINISHED
    run = await runs.get(db, run.id)
    assert (run.phase, run.reason) == ("Failed", "FailurePolicyExceeded")
    assert (await runs.totals(db, run.id))["failed"] < 2000


async def test_the_item_that_kills_its_worker_is_found(db: Database) -> None:
    run = await planned(db, 12, per_shard=12)
    killer = "i5"
    calls: list[list[str]] = []

    async def live_until_killed(number: int) -> None:
        """A worker that dies with everything it had when the killer is called."""
        died = asyncio.Event()

        async def answer(items: Sequence[WorkItem]) -> CallResult:
            calls[-1].append(items[0].item_id)
            if items[0].item_id == killer:
                died.set()
            if died.is_set():
                await asyncio.Event().wait()  # nothing comes back from a dead process
            return good(items)

        calls.append([])
        one = worker(
            db, run, Scripted(answer), owner=f"w{number}", concurrency=12,
            checkpoint={"maxItems": 100, "maxInterval": "10s"},
        )  # fmt: skip
        working = asyncio.create_task(one.work(0.0))
        dying = asyncio.create_task(died.wait())
        await asyncio.wait([working, dying], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            one.checkpointer.add = lambda row, epoch: None  # type: ignore[method-assign]  # noqa: ARG005
            one.checkpointer.flush = _nothing  # type: ignore[method-assign]
            await shards.release_dead(db, run.id, [f"w{number}"], strike=True)
            working.cancel()
        dying.cancel()
        await asyncio.gather(working, dying, return_exceptions=True)

    for number in range(4):
        await live_until_killed(number)
    rows = {row.item_id: row for row in await stored(db, run)}
    assert rows[killer].status == "failed"
    assert "killed its worker" in (rows[killer].error or "")
    assert all(row.status == "succeeded" for name, row in rows.items() if name != killer)


async def _nothing() -> None:
    return None


async def test_a_checkpoint_that_fails_closes_no_shard(db: Database) -> None:
    run = await planned(db, 10)
    await db.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'disk full'; END $$"
    )
    await db.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON result_shared"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )

    async def answer(items: Sequence[WorkItem]) -> CallResult:
        return good(items)

    with pytest.raises(asyncpg.DiskFullError):
        await worker(db, run, Scripted(answer)).work(1.0)
    assert await shards.unfinished(db, run.id)
    await db.execute("DROP TRIGGER refuse ON result_shared")
    await shards.release_dead(db, run.id, None, strike=False)
    assert await worker(db, run, Scripted(answer), owner="w2").work(1.0) is End.FINISHED
    assert all(row.status == "succeeded" for row in await stored(db, run))


async def test_a_result_that_cannot_be_stored_costs_only_its_item(db: Database) -> None:
    run = await planned(db, 30)

    async def answer(items: Sequence[WorkItem]) -> CallResult:
        tokens = 10**20 if items[0].item["n"] == 7 else 1  # no integer of PostgreSQL's holds that
        return CallResult([Output("x")], usage=Usage(tokens, 0))

    assert await worker(db, run, Scripted(answer)).work(1.0) is End.FINISHED
    rows = await stored(db, run)
    assert [row.position for row in rows if row.status == "failed"] == [7]
    assert "cannot be stored" in (rows[7].error or "")


async def test_a_bug_in_an_attempt_ends_the_worker_loudly(db: Database) -> None:
    run = await planned(db, 10)

    async def answer(_items: Sequence[WorkItem]) -> CallResult:
        return CallResult([])  # one result too few

    with pytest.raises(ValueError, match="shorter"):
        await worker(db, run, Scripted(answer)).work(1.0)
    assert await shards.unfinished(db, run.id)


async def test_few_open_items_among_many_are_found_in_few_steps(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await planned(db, 4000, per_shard=4000)
    await db.execute(
        "INSERT INTO result (part, result_set, item_id, run, position, fingerprint, succeeded,"
        " attempts, output) SELECT 0, $2, item_id, $1, position, fingerprint, true, 1, '1'"
        " FROM item WHERE run = $1 AND position % 800 <> 799",
        run.id,
        run.result_set,
    )
    fetches = 0
    fetch = shards.fetch

    async def counting(*arguments: Any) -> Any:
        nonlocal fetches
        fetches += 1
        return await fetch(*arguments)

    monkeypatch.setattr(shards, "fetch", counting)

    async def answer(items: Sequence[WorkItem]) -> CallResult:
        return good(items)

    processor = Scripted(answer)
    assert await worker(db, run, processor).work(1.0) is End.FINISHED
    assert len(processor.calls) == 5
    assert fetches < 20
