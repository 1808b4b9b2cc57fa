"""Removing what is no longer needed: jobs that were deleted, runs that newer ones replaced.

Rows go in one transaction, their partition after it: whoever is interrupted in between leaves a
table that nothing refers to, and the next `collect` drops it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from penstock.errors import AlreadyRunning
from penstock.store import partitions, pools, runs
from penstock.store.db import Database, Statements
from penstock.store.queries import load
from penstock.store.runs import Run

_RUNS = load("runs")
_PLAN = load("plan")


async def delete_job(db: Database, job: str) -> int:
    """Remove every run of a job with its items; its results stay. Returns how many runs."""
    rows = await db.fetch("SELECT id FROM run WHERE job = $1", job)
    for row in rows:
        await delete_run(db, row["id"])
    return len(rows)


async def delete_result_set(db: Database, name: str) -> int | None:
    """Remove a result set with everything in it; None when there is none of that name. Returns how
    many results that were. Raises AlreadyRunning when an unfinished run needs them."""
    found = await db.fetchval("SELECT id FROM result_set WHERE name = $1", name)
    if found is None:
        return None
    with db.unhurried():
        return await _delete_results(db, name, found)


async def collect(db: Database, older_than: float, alive: Callable[[Run], bool]) -> tuple[int, int]:
    """Remove finished runs that a newer one replaced more than `older_than` seconds ago, and runs
    that were never planned to the end and whose driver is not alive; results stay. Pools are tidied
    as well. Returns how many runs and items that were."""
    with db.unhurried():
        old = await db.fetch(_RUNS["old_runs"], timedelta(seconds=older_than))
        items = sum([await delete_run(db, row["id"]) for row in old])
        half = [run for run in await runs.half_planned(db) if not alive(run)]
        forgotten = sum([await forget(db, run.id) for run in half])
        for row in await db.fetch(_RUNS["orphans"]):
            await _drop(db, row["parent"], row["part"])
        await pools.tidy(db)
    return len(old) + forgotten, items


async def delete_run(db: Database, run: int) -> int:
    """Remove a run with its items, shards and workers; results stay. Returns how many items."""

    async def remove(transaction: Statements) -> None:
        await _delete_rows(transaction, run)
        await transaction.execute("DELETE FROM run WHERE id = $1", run)

    with db.unhurried():
        count = await db.fetchval(
            "SELECT count(*) FROM item JOIN run ON run.item_part = item.part AND run.id = item.run"
            " WHERE run.id = $1",
            run,
        )
        await db.together(remove)
        await _drop(db, "item", run)
    return int(count)


async def forget(db: Database, run: int) -> bool:
    """Remove a run that was never planned to the end, with all its items. False when it was
    planned meanwhile: then it stays."""
    with db.unhurried():
        forgotten = await db.together(lambda transaction: forget_rows(transaction, run))
        if forgotten:
            await _drop(db, "item", run)
    return forgotten


async def forget_rows(transaction: Statements, run: int) -> bool:
    """The same but for the run's partition, which cannot be dropped within a transaction."""
    await transaction.execute(_RUNS["forget_half_planned"], run)
    if await transaction.fetchval("SELECT EXISTS (SELECT 1 FROM run WHERE id = $1)", run):
        return False
    await _delete_rows(transaction, run)
    return True


async def start_over(db: Database, run: int, driver: str) -> bool:
    """Make a run empty for a driver that plans it (anew); whoever planned it before is shut out.
    False when it is planned already, or gone."""

    async def claim(transaction: Statements) -> bool:
        if await transaction.fetchrow(_PLAN["claim_plan"], run, driver) is None:
            return False
        await _delete_rows(transaction, run)
        # Its partition, if it came to have one, is filled again: who plans may not be its owner.
        await transaction.execute(_PLAN["delete_items"], run)
        return True

    with db.unhurried():
        return await db.together(claim)


async def _delete_rows(transaction: Statements, run: int) -> None:
    await transaction.execute("DELETE FROM item WHERE part = 0 AND run = $1", run)
    await transaction.execute("DELETE FROM shard WHERE run = $1", run)
    await transaction.execute("DELETE FROM worker WHERE run = $1", run)


async def _delete_results(db: Database, name: str, result_set: int) -> int:
    part = await db.fetchval("SELECT part FROM result_set WHERE id = $1", result_set)
    count = await db.fetchval(
        "SELECT count(*) FROM result WHERE part = $1 AND result_set = $2", part, result_set
    )

    async def remove(transaction: Statements) -> None:
        await transaction.execute(_PLAN["lock_result_set"], result_set)
        user = await transaction.fetchval(_PLAN["working_on"], result_set, "")
        if user is not None:
            raise AlreadyRunning(
                f"the results in {name} stay: {user} has an unfinished run that needs them; finish "
                f"that (`penstock run`) or delete it (`penstock delete {user}`)"
            )
        await transaction.execute(
            "DELETE FROM result WHERE part = 0 AND result_set = $1", result_set
        )
        # Another job may still name the set; then it stays, empty, in the shared partition.
        await transaction.execute(_PLAN["move_result_set"], result_set, 0)
        await transaction.execute(
            "DELETE FROM result_set WHERE id = $1"
            " AND NOT EXISTS (SELECT 1 FROM run WHERE run.result_set = $1)",
            result_set,
        )

    await db.together(remove)
    if part:
        await _drop(db, "result", part)
    return int(count)


async def _drop(db: Database, parent: str, part: int) -> None:
    await db.call(lambda connection: partitions.drop(connection, parent, part))
