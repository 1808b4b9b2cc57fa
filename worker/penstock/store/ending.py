"""The end of a run: when every item is done, and when the results are where they belong."""

from __future__ import annotations

from penstock.spec import tolerance
from penstock.spec.job import FailurePolicy
from penstock.store import runs
from penstock.store.db import Database, Statements
from penstock.store.runs import Run


async def begin_export(db: Database, run: int) -> None:
    """Settle the counts and let results be written, if every shard is done; else nothing."""

    async def begin(transaction: Statements) -> None:
        if await runs.begin_export(transaction, run):
            await runs.settle_skipped(transaction, run)

    await db.together(begin)


async def close(db: Database, run: Run, policy: FailurePolicy) -> None:
    """Exporting -> Complete, or Failed when more items failed than the job tolerates."""
    failed = (await runs.totals(db, run.id))["failed"] + run.bad
    # Workers look now and then, to stop early; this look is the one that sees everything.
    why = tolerance.exceeded(policy, run.total, failed)
    if why is not None:
        await _end(db, run, "Failed", tolerance.REASON, why)
    else:
        await _end(db, run, "Complete", "CompletedWithFailedItems" if failed else "Completed")


async def _end(db: Database, run: Run, phase: str, reason: str, message: str = "") -> None:
    await runs.set_phase(db, run.id, phase, since=("Exporting",), reason=reason, message=message)
