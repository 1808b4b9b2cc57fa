"""Planning on a real PostgreSQL: what is skipped, duplicates, bad records, large runs, redrives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg
import pytest

from penstock.errors import AlreadyRunning, InputError
from penstock.plan import loader, planner
from penstock.plan.summary import PlanSummary
from penstock.sources.items import Item
from penstock.store import housekeeping, results, runs
from penstock.store.db import Database
from penstock.store.runs import Run
from penstock.work.types import CallResult, FailureKind, WorkItem
from tests.integration.work_support import Scripted, bad, good, stored, worker


def items(numbers: Sequence[int], *, content: str = "c", **changes: Any) -> Iterator[Item]:
    for n in numbers:
        item = Item(n, f"i{n}", f"{content}{n}".encode(), f'{{"n":{n}}}', f"row {n}")
        yield item._replace(**changes)


async def plan(
    db: Database,
    source: Iterator[Item],
    *,
    digest: bytes = b"digest",
    existing: str = "skip",
    fail_duplicates: bool = False,
    job: str = "job",
    kept: Sequence[str] = (),
) -> tuple[Run, PlanSummary]:
    async def there(items: Sequence[tuple[str, str]]) -> set[int]:
        return {place for place, (item_id, _) in enumerate(items) if item_id in kept}

    run = await opened(db, job, existing=existing)
    request = planner.PlanRequest(digest, None, 2, fail_duplicates=fail_duplicates)
    summary = await planner.plan(db, run, request, source, lambda _: None, kept=there)
    return await runs.get(db, run.id), summary


async def opened(db: Database, job: str = "job", result_set: str = "set", **given: Any) -> Run:
    """A run in phase Planning."""
    return await planner.open_run(
        db, job=job, result_set=result_set, manifest="{}", manifest_path="",
        **{"existing": "skip", "redrive_reason": "", "driver": "", **given},
    )  # fmt: skip


async def table(db: Database, name: str) -> bool:
    """Whether there is a table of that name."""
    return bool(await db.fetchval("SELECT to_regclass($1) IS NOT NULL", name))


async def work(db: Database, run: Run, *failing: int) -> Scripted:
    async def answer(group: Sequence[WorkItem]) -> CallResult:
        if group[0].item["n"] in failing:
            return bad(group, FailureKind.REJECTED, "HTTP 400")
        return good(group)

    processor = Scripted(answer)
    await worker(db, run, processor).work(1.0)
    await runs.settle_skipped(db, run.id)
    await runs.set_phase(db, run.id, "Complete")
    return processor


def nobody(_run: Run) -> bool:
    """No driver is alive."""
    return False


def counts(summary: PlanSummary) -> tuple[int, int, int, int]:
    return summary.new, summary.changed, summary.failed_before, summary.unchanged


async def test_only_what_is_new_changed_or_failed_runs_again(db: Database) -> None:
    run, summary = await plan(db, items(range(20)))
    assert counts(summary) == (20, 0, 0, 0)
    await work(db, run, 3, 4)
    # Two failed; two were edited; five are new.
    again = [*items(range(18)), *items([18, 19], content="edited"), *items(range(20, 25))]
    run, summary = await plan(db, iter(again))
    assert counts(summary) == (5, 2, 2, 16)
    assert run.skipped == 16
    processor = await work(db, run, 4)
    assert set(processor.calls) == {f"i{n}" for n in (3, 4, 18, 19, 20, 21, 22, 23, 24)}
    status = [row.status for row in await stored(db, run)]
    assert status.count("skipped") == 16
    assert status.count("failed") == 1
    assert status.count("succeeded") == 8
    run, summary = await plan(db, iter(again), digest=b"another prompt")
    assert counts(summary) == (0, 24, 1, 0)


@pytest.mark.parametrize(("existing", "unchanged"), [("skip", 0), ("skipByID", 10), ("force", 0)])
async def test_modes_of_skipping(db: Database, existing: str, unchanged: int) -> None:
    run, _ = await plan(db, items(range(10)))
    await work(db, run)
    _, summary = await plan(db, items(range(10), content="edited"), existing=existing)
    assert summary.unchanged == unchanged


@pytest.mark.parametrize("batch", [3, 100])
async def test_what_is_kept_is_skipped_whatever_is_known_of_it(
    db: Database, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(loader, "BATCH", batch)  # smaller than the run: a partition of its own
    run, _ = await plan(db, items(range(6)))
    await work(db, run, 1, 2)
    again = [*items([0], error="broken"), *items(range(1, 4)), *items([4, 5, 6], content="edited")]
    run, summary = await plan(db, iter(again), kept=["i0", "i1", "i4", "i6"])
    assert counts(summary) == (0, 1, 1, 4)
    assert (summary.total, summary.bad, run.skipped) == (7, 1, 4)
    processor = await work(db, run, 2)
    assert set(processor.calls) == {"i2", "i5"}
    rows = await stored(db, run)
    ends = ["failed", "skipped", "failed", "skipped", "skipped", "succeeded", "skipped"]
    assert [row.status for row in rows] == ends
    assert [row.kept for row in rows] == [False, True, False, False, True, False, True]
    assert [row.error for row in rows[:2]] == ["bad record: broken", None]

    redrive = await opened(db, existing="redrive")
    request = planner.PlanRequest(b"digest", None, 2, fail_duplicates=False)
    summary = await planner.plan_redrive(db, redrive, run, request)
    redrive = await runs.get(db, redrive.id)
    assert set((await work(db, redrive)).calls) == {"i2"}


async def test_a_duplicate_of_what_is_kept_is_bad(db: Database) -> None:
    twice = [*items([0, 1]), *(item._replace(position=2) for item in items([0]))]
    run, summary = await plan(db, iter(twice), kept=["i0"], fail_duplicates=True)
    assert (summary.total, summary.new, summary.unchanged, summary.bad) == (3, 1, 1, 1)
    assert (run.skipped, run.bad) == (1, 1)
    await work(db, run)
    assert [row.status for row in await stored(db, run)] == ["skipped", "succeeded", "failed"]


async def test_a_server_is_not_asked_again_where_its_duplicates_are(db: Database) -> None:
    def again() -> Iterator[Item]:
        raise AssertionError("it may hand out something else by now")

    run = await opened(db)
    request = planner.PlanRequest(b"digest", None, 2, fail_duplicates=False, remote=True)
    twice = [*items(range(3)), *items([3], item_id="i1")]
    with pytest.raises(InputError, match="as has position 1"):
        await planner.plan(db, run, request, iter(twice), lambda _: None, again=again)


async def test_an_id_that_is_there_twice_is_refused_and_nothing_stays(db: Database) -> None:
    twice = [*items(range(5)), *items([5, 6], item_id="i2")]
    with pytest.raises(InputError) as caught:
        await plan(db, iter(twice))
    assert "'i2'" in str(caught.value)
    assert [mistake.where for mistake in caught.value.mistakes] == [
        "position 5 (counted from 0)",
        "position 6 (counted from 0)",
    ]
    assert "as has position 2 (counted from 0)" in str(caught.value)
    assert await runs.latest(db, "job") is None
    for table in ("item", "shard", "result", "run"):
        assert await db.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_duplicates_fail_in_their_place_where_that_is_asked_for(db: Database) -> None:
    twice = [*items(range(5)), *items([5], item_id="i2")]
    run, summary = await plan(db, iter(twice), fail_duplicates=True)
    assert (summary.total, summary.bad, summary.new) == (6, 1, 5)
    await work(db, run)
    rows = await stored(db, run)
    assert [row.status for row in rows] == ["succeeded"] * 5 + ["failed"]
    assert "position 2 has it already" in (rows[5].error or "")
    run, summary = await plan(db, iter(twice), fail_duplicates=True)
    assert (summary.bad, summary.unchanged) == (1, 5)


async def test_equal_items_without_an_id_field_are_all_done(db: Database) -> None:
    same = [*items(range(3)), *items([3, 4], item_id="i1", hashed_id=True)]
    run, _ = await plan(db, iter(same))
    assert [row.item_id for row in await stored(db, run)] == ["i0", "i1", "i2", "i1-2", "i1-3"]


async def test_bad_records_keep_their_place(db: Database) -> None:
    broken = items([2], payload="null", error="line 3 is not JSON")
    run, summary = await plan(db, iter([*items([0, 1]), *broken, *items([3])]))
    assert (summary.total, summary.bad) == (4, 1)
    processor = await work(db, run)
    assert "i2" not in processor.calls
    rows = await stored(db, run)
    assert [row.status for row in rows] == ["succeeded", "succeeded", "failed", "succeeded"]
    assert rows[2].error == "bad record: line 3 is not JSON"
    assert rows[2].attempts == 0


async def test_a_large_run_has_partitions_of_its_own_and_leaves_no_trace(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "BATCH", 50)
    numbers = [n for n in range(400) if n % 3]  # `where` dropped every third row
    run, summary = await plan(db, items(numbers))
    assert summary.total == len(numbers)
    assert run.item_part == run.id
    assert run.result_part > 0
    await work(db, run)
    assert [row.position for row in await stored(db, run)] == numbers
    assert await housekeeping.delete_job(db, "job") == 1
    assert await db.fetchval("SELECT to_regclass($1)", f"item_{run.id}") is None
    assert await housekeeping.delete_result_set(db, "set") == len(numbers)
    assert await db.fetchval("SELECT count(*) FROM result") == 0


async def test_an_interrupted_plan_is_forgotten_whole(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "BATCH", 50)

    def breaking() -> Iterator[Item]:
        yield from items(range(120))
        raise InputError.at("a.jsonl:121", "not JSON")

    with pytest.raises(InputError):
        await plan(db, breaking())
    assert await runs.latest(db, "job") is None
    assert await db.fetchval("SELECT count(*) FROM item") == 0


async def test_a_redrive_does_what_failed_and_nothing_else(db: Database) -> None:
    run, _ = await plan(db, items(range(30)))
    await work(db, run, 3, 13, 23)
    assert await planner.count_failed(db, run, "") == 3
    assert await planner.count_failed(db, run, "HTTP 500") == 0
    again = await opened(db, existing="redrive")
    request = planner.PlanRequest(b"digest", None, 2, fail_duplicates=False)
    await planner.plan_redrive(db, again, run, request)
    again = await runs.get(db, again.id)
    processor = await work(db, again, 23)
    assert set(processor.calls) == {"i3", "i13", "i23"}
    rows: list[results.StoredRow] = await stored(db, again)
    assert len(rows) == 30
    assert [row.position for row in rows if row.status == "failed"] == [23]
    assert [row.position for row in rows if row.status == "succeeded"] == [3, 13]


async def test_gc_removes_replaced_runs_and_keeps_results(db: Database) -> None:
    run, _ = await plan(db, items(range(10)))
    await work(db, run)
    newer, _ = await plan(db, items(range(10)))
    assert await housekeeping.collect(db, 3600.0, nobody) == (0, 0)
    assert await housekeeping.collect(db, 0.0, nobody) == (1, 10)
    assert {row.status for row in await stored(db, newer)} == {"skipped"}


async def test_a_redrive_by_reason_looks_at_reason_and_error_in_any_case(db: Database) -> None:
    run, _ = await plan(db, items(range(10)))
    await work(db, run, 3, 7)
    await db.execute("UPDATE result SET error = 'No such Model' WHERE item_id = 'i7'")
    assert await planner.count_failed(db, run, "http 4") == 2
    assert await planner.count_failed(db, run, "such model") == 1
    again = await opened(db, existing="redrive", redrive_reason="such MODEL")
    request = planner.PlanRequest(b"digest", None, 2, fail_duplicates=False)
    await planner.plan_redrive(db, again, run, request)
    processor = await work(db, await runs.get(db, again.id))
    assert set(processor.calls) == {"i7"}


async def test_a_bad_record_leaves_the_result_of_a_better_day(db: Database) -> None:
    run, _ = await plan(db, items(range(4)))
    await work(db, run)
    broken = [*items([0, 1]), *items([2], payload="null", error="no JSON"), *items([3])]
    with pytest.raises(InputError, match="IDs must be unique"):
        await plan(db, iter([*broken, *items([4], item_id="i0")]))
    run, summary = await plan(db, iter(broken))
    assert (summary.bad, summary.unchanged, run.skipped) == (1, 3, 3)
    await work(db, run)
    rows = await stored(db, run)
    assert [row.status for row in rows] == ["skipped", "skipped", "failed", "skipped"]
    assert (rows[2].error, rows[2].output) == ("bad record: no JSON", None)
    assert await runs.failures(db, run) == (("bad record", 1),)
    _, summary = await plan(db, items(range(4)))
    assert (summary.bad, summary.unchanged) == (0, 4)


async def test_a_bad_record_keeps_its_place_in_a_redrive(db: Database) -> None:
    broken = items([1], payload="null", error="no JSON")
    run, _ = await plan(db, iter([*items([0]), *broken, *items([2])]))
    await work(db, run, 2)
    assert await planner.count_failed(db, run, "") == 1
    again = await opened(db, existing="redrive")
    request = planner.PlanRequest(b"digest", None, 2, fail_duplicates=False)
    summary = await planner.plan_redrive(db, again, run, request)
    assert (summary.total, summary.bad) == (3, 1)
    again = await runs.get(db, again.id)
    await work(db, again)
    assert [row.status for row in await stored(db, again)][1:] == ["failed", "succeeded"]


async def test_jobs_work_on_a_result_set_one_after_the_other(db: Database) -> None:
    run, _ = await plan(db, items(range(3)), job="one")
    with pytest.raises(InputError, match="unfinished run of one: wait for it") as caught:
        await opened(db, "other")
    assert caught.value.mistakes[0].where == "spec.resultSet"
    assert "penstock delete one" in str(caught.value)
    assert await runs.latest(db, "other") is None
    await work(db, run)
    _, summary = await plan(db, items(range(3)), job="other")
    assert summary.unchanged == 3


async def test_of_two_jobs_that_want_a_result_set_one_gets_it(dsn: str) -> None:
    databases = [Database(dsn) for _ in range(6)]
    for database in databases:
        await database.open()
    ends = await asyncio.gather(
        *(opened(database, f"job{n}") for n, database in enumerate(databases)),
        return_exceptions=True,
    )
    for database in databases:
        await database.close()
    assert sum(isinstance(end, Run) for end in ends) == 1
    assert sum(isinstance(end, InputError) for end in ends) == 5


async def test_results_are_not_moved_away_from_under_another_job(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "BATCH", 50)
    other = await opened(db, "other", "elsewhere")
    large = await opened(db)
    await db.execute("UPDATE run SET result_set = $2 WHERE id = $1", other.id, large.result_set)
    request = planner.PlanRequest(b"digest", None, 2, fail_duplicates=False)
    await planner.plan(db, large, request, items(range(200)), lambda _: None)
    large = await runs.get(db, large.id)
    assert (large.item_part, large.result_part) == (large.id, 0)


async def test_results_that_an_unfinished_run_needs_are_not_deleted(db: Database) -> None:
    run, _ = await plan(db, items(range(3)), job="one")
    with pytest.raises(AlreadyRunning, match="one has an unfinished run"):
        await housekeeping.delete_result_set(db, "set")
    await work(db, run)
    assert await housekeeping.delete_result_set(db, "set") == 3


async def half_planned(db: Database) -> Run:
    """A run whose command died when its items were stored but not counted."""
    run = await opened(db)
    await loader.Loader(db, run, b"digest", lambda _: None).load(items(range(120)))
    assert await table(db, f"item_{run.id}")
    return run


async def test_gc_removes_what_was_planned_by_halves(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "BATCH", 50)
    run = await half_planned(db)
    assert await housekeeping.collect(db, 0.0, lambda _: True) == (0, 0)
    assert await table(db, f"item_{run.id}")
    assert await housekeeping.collect(db, 0.0, nobody) == (1, 0)
    assert not await table(db, f"item_{run.id}")
    assert await runs.latest(db, "job") is None


async def test_gc_drops_partitions_that_nothing_refers_to(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "BATCH", 50)
    run, _ = await plan(db, items(range(120)))
    await work(db, run)
    run = await runs.get(db, run.id)
    # As if a delete had been killed between its rows and its partitions.
    await db.execute("DELETE FROM run")
    await db.execute("DELETE FROM result_set")
    await housekeeping.collect(db, 0.0, nobody)
    assert not await table(db, f"item_{run.id}")
    assert not await table(db, f"result_{run.result_part}")


async def test_a_detach_that_was_interrupted_wedges_nothing(
    db: Database, dsn: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "BATCH", 50)
    first, _ = await plan(db, items(range(120)), job="first")
    await work(db, first)
    second, _ = await plan(db, items(range(120)), job="second")
    reading = connection.transaction()
    await reading.start()
    await connection.fetchval("SELECT count(*) FROM item")  # what a DETACH has to wait for
    dying = await asyncpg.connect(dsn, server_settings={"statement_timeout": "200"})
    with pytest.raises(asyncpg.QueryCanceledError):
        await dying.execute(f"ALTER TABLE item DETACH PARTITION item_{first.id} CONCURRENTLY")
    await dying.close()
    await reading.rollback()
    assert await db.fetchval("SELECT count(*) FROM pg_inherits WHERE inhdetachpending") == 1
    await housekeeping.delete_run(db, second.id)  # another one of the same parent
    await housekeeping.delete_run(db, first.id)
    assert not await table(db, f"item_{first.id}")
    assert not await table(db, f"item_{second.id}")


async def test_only_what_is_half_planned_is_forgotten(db: Database) -> None:
    run, _ = await plan(db, items(range(5)))
    assert not await housekeeping.forget(db, run.id)
    assert len(await stored(db, run)) == 5


async def test_a_plan_that_was_taken_away_says_so(db: Database) -> None:
    run = await opened(db)
    await housekeeping.forget(db, run.id)
    request = planner.PlanRequest(b"digest", None, 2, fail_duplicates=False)
    with pytest.raises(AlreadyRunning, match="another command took over"):
        await planner.plan(db, run, request, items(range(5)), lambda _: None)
    assert await db.fetchval("SELECT count(*) FROM item") == 0
