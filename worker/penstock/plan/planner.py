"""Plan: read the source once, store its items, find what is already done, cut shards.

Nothing is half planned: until the last statement the run is in phase Planning, workers do not look
at it, and whoever finds it so after a crash throws it away (`housekeeping.forget`). Each step is
one transaction that holds the run's row and is safe to repeat after a lost connection.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from penstock.errors import AlreadyRunning, DatabaseError, InputError, Mistake
from penstock.plan.loader import Loader, hold, step
from penstock.plan.summary import PlanSummary
from penstock.sources.items import Item, Kept, is_remote
from penstock.spec.fingerprint import processor_digest
from penstock.spec.job import BatchJob
from penstock.store import housekeeping, runs
from penstock.store.db import Database, Statements
from penstock.store.queries import load
from penstock.store.runs import Run

_SQL = load("plan")

SHOWN_DUPLICATES = 10

_Scope = tuple[int, int, int, int, int, str, str]
"""Parameters that several statements share: items' part and run, results' part and set, run,
existing, redrive reason."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What plan needs to know besides the items.

    digest: of the processor, part of every fingerprint. items_per_shard: None for auto.
    slots: worker slots that shards are spread over. fail_duplicates: onBadRecord is failItem.
    remote: the items come from a server, which may hand out others when it is asked again.
    """

    digest: bytes
    items_per_shard: int | None
    slots: int
    fail_duplicates: bool
    remote: bool = False


def request_for(job: BatchJob, slots: int) -> PlanRequest:
    """What plan needs to know of a job."""
    size = job.spec.sharding.items_per_shard
    return PlanRequest(
        digest=processor_digest(job.spec.processor),
        items_per_shard=None if size == "auto" else size,
        slots=slots,
        fail_duplicates=job.spec.source.on_bad_record == "failItem",
        remote=is_remote(job.spec.source),
    )


async def plan(
    db: Database,
    run: Run,
    request: PlanRequest,
    items: Iterator[Item],
    on_read: Callable[[int], None],
    again: Callable[[], Iterator[Item]] | None = None,
    *,
    keep: bool = False,
    kept: Kept | None = None,
) -> PlanSummary:
    """Store the items of a run in phase Planning and make it ready for workers.

    on_read is told now and then how many items were read. again: reads the same items once more,
    to find the lines of duplicates; without it, or from a server, they are told by position. Raises
    InputError on bad data, with the run forgotten (keep: left as it is, for whoever opened it), and
    AlreadyRunning when another command took the run away. kept: tells which items are skipped
    whatever is known of their results.
    """
    with db.unhurried():
        loader = Loader(db, run, request.digest, on_read, remote=request.remote, kept=kept)
        try:
            await loader.load(items)
            if not loader.count:
                raise InputError.at(
                    "spec.source", "no items: the source is empty, or `where` drops all"
                )
            all_good = await _unique(db, run, loader, request, again) and not loader.bad
            all_good = all_good and not loader.kept
        except BaseException:
            if not keep:
                with suppress(DatabaseError):  # the next run throws it away
                    await asyncio.shield(housekeeping.forget(db, run.id))
            raise
        fresh = loader.count if all_good else None
        return await _finish(
            db, run, request, items_run=run.id, part=loader.part, gaps=loader.gaps, fresh=fresh
        )


async def plan_redrive(db: Database, run: Run, previous: Run, request: PlanRequest) -> PlanSummary:
    """Make a run over what failed in an earlier run's items ready; reads no source."""
    with db.unhurried():
        return await _finish(
            db, run, request, items_run=previous.items_run, part=previous.item_part, gaps=True
        )


async def count_failed(db: Statements, run: Run, reason: str) -> int:
    """How many items of a run a redrive would do: failed (with this text in the reason or error,
    in any case) or never started."""
    nobody = -1  # no run has this ID, so nothing counts as done by the run that asks
    row = await db.fetchrow(
        _SQL["count_items"], run.item_part, run.items_run, run.result_part, run.result_set,
        nobody, "redrive", reason,
    )  # fmt: skip
    assert row is not None
    return int(row["open"])


async def _unique(
    db: Database,
    run: Run,
    loader: Loader,
    request: PlanRequest,
    again: Callable[[], Iterator[Item]] | None,
) -> bool:
    """See to items with the same ID. True when all items are still to be tried."""
    found = await db.fetch(_SQL["duplicates"], loader.part, run.id, SHOWN_DUPLICATES)
    if not found:
        return True
    if loader.hashed_ids or request.fail_duplicates:
        change = _SQL["number_duplicates" if loader.hashed_ids else "fail_duplicates"]
        await step(db, run, lambda held: held.execute(change, loader.part, run.id))
        return loader.hashed_ids
    positions = {position for row in found for position in row["positions"]}
    places = _places(again() if again and not request.remote else iter(()), positions)
    raise InputError(
        [
            duplicate(row["item_id"], places[row["positions"][0]], places[position])
            for row in found
            for position in row["positions"][1:]
        ]
    )


def duplicate(item_id: str, first: str, second: str) -> Mistake:
    """That the item at `second` has the ID of the one at `first`."""
    return Mistake(
        second,
        f"has the ID {item_id!r}, as has {first}; IDs must be unique: name another idField, or "
        "add _position to the list",
    )


def _places(items: Iterator[Item], positions: set[int]) -> dict[int, str]:
    """Where the items at these positions stand."""
    places = {position: f"position {position} (counted from 0)" for position in positions}
    for item in items:
        if item.position in positions:
            places[item.position] = item.where
            if item.position == max(positions):
                break
    return places


async def _finish(
    db: Database,
    run: Run,
    request: PlanRequest,
    *,
    items_run: int,
    part: int,
    gaps: bool,
    fresh: int | None = None,
) -> PlanSummary:
    """Count, cut shards, let the workers in. fresh: the number of items, when none of them is bad
    and none was looked up in earlier results yet."""
    large = bool(part)
    result_part = await step(
        db, run, lambda held: held.fetchval(_SQL["place_results"], run.id, large)
    )
    await _analyze(db, run, "item", part)
    known = await db.fetchval(_SQL["has_results"], result_part, run.result_set)
    if known:
        # Without figures on what an earlier run wrote, items and results are joined one by one.
        await _analyze(db, run, "result", result_part)
    scope = (
        part, items_run, result_part, run.result_set, run.id, run.existing, run.redrive_reason,
    )  # fmt: skip
    await _let_in(db, run, request, scope, gaps=gaps, fresh=None if known else fresh)
    planned = await runs.get(db, run.id)
    counted = planned.counted
    return PlanSummary(
        total=planned.total,
        new=counted["new"],
        changed=counted["changed"],
        failed_before=counted["failedBefore"],
        unchanged=counted["unchanged"],
        bad=planned.bad,
        resumed=False,
        run=planned.number,
    )


async def _let_in(
    db: Database, run: Run, request: PlanRequest, scope: _Scope, *, gaps: bool, fresh: int | None
) -> None:
    attempts = 0

    async def whole(step: Statements) -> None:
        nonlocal attempts
        attempts += 1
        if attempts > 1 and (await runs.get(step, run.id)).phase != "Planning":
            return  # only the answer got lost
        await hold(step, run)
        await _cut(step, run, request, scope, gaps=gaps, fresh=fresh)

    await db.together(whole)


async def _cut(
    step: Statements,
    run: Run,
    request: PlanRequest,
    scope: _Scope,
    *,
    gaps: bool,
    fresh: int | None,
) -> None:
    part, items_run, *_ = scope
    counts = await _count(step, scope, fresh)
    total, todo, bad = counts["total"], counts["open"], counts["bad"]
    size = request.items_per_shard or shard_size(todo, request.slots)
    await step.execute(_SQL["drop_shards"], run.id)
    if todo == total and not gaps:
        await step.execute(_SQL["make_shards_all"], run.id, total, size, request.slots)
    elif todo:
        await step.execute(_SQL["make_shards"], *scope, size, request.slots)
    found = {
        "new": counts["new"],
        "changed": counts["changed"],
        "failedBefore": counts["failed_before"],
        "unchanged": counts["unchanged"],
        "badRecords": counts["broken"],
    }
    await step.execute(
        _SQL["planned"], run.id, items_run, part, total, total - todo - bad, bad, json.dumps(found)
    )


async def _count(step: Statements, scope: _Scope, fresh: int | None) -> dict[str, int]:
    """What there is to do. fresh: the number of items, when nothing is known of any of them."""
    if fresh is not None:
        return {"total": fresh, "open": fresh, "broken": 0, "bad": 0, "new": fresh, "changed": 0,
                "failed_before": 0, "unchanged": 0}  # fmt: skip
    counts = await step.fetchrow(_SQL["count_items"], *scope)
    assert counts is not None
    return dict(counts)


def shard_size(items: int, slots: int) -> int:
    """Items a shard: min(500, ceil(N / (4 × slots))), so that every slot has several."""
    return max(1, min(500, -(-items // (4 * slots))))


async def _analyze(db: Database, run: Run, parent: str, part: int) -> None:
    await step(db, run, lambda held: held.execute(_SQL["analyze"], run.id, parent, part))


async def open_run(
    db: Statements,
    *,
    job: str,
    result_set: str,
    manifest: str,
    manifest_path: str,
    existing: str,
    redrive_reason: str,
    driver: str,
    number: int | None = None,
    owner: str = "",
) -> Run:
    """A new run of a job, in phase Planning. number: which one it has to be, None for the next.
    owner: UID of the BatchJob on a cluster.

    Raises AlreadyRunning when somebody else has opened that one, and InputError when an unfinished
    run of another job works on the same results: both would count, and skip, each other's.
    """
    opened: Run | None = None

    async def open_it(transaction: Statements) -> Run:
        nonlocal opened
        if opened is not None and await _there(transaction, opened.id):
            return opened  # only the answer got lost
        await runs.lock_job(transaction, job)
        found = await transaction.fetchval(_SQL["ensure_result_set"], result_set)
        other = await transaction.fetchval(_SQL["working_on"], found, job)
        if other is not None:
            raise _in_use(result_set, other)
        values = (found, manifest, manifest_path, existing, redrive_reason, driver)
        row = await transaction.fetchrow(_SQL["open_run"], job, *values, number, owner)
        if row is None:
            raise AlreadyRunning(f"{job} is running already")
        opened = await runs.get(transaction, row["id"])
        return opened

    return await db.together(open_it)


async def _there(transaction: Statements, run: int) -> bool:
    return bool(await transaction.fetchval("SELECT EXISTS (SELECT 1 FROM run WHERE id = $1)", run))


def _in_use(result_set: str, other: str) -> InputError:
    return InputError.at(
        "spec.resultSet",
        f"{result_set!r} is in use by an unfinished run of {other}: wait for it, or name another "
        f"resultSet; a run that nobody works on any more still has to be finished (`penstock run`) "
        f"or deleted (`penstock delete {other}`)",
    )
