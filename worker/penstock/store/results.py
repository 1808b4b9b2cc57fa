"""Results as they stand for the items of a run, streamed in input order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

from penstock.store.db import Database
from penstock.store.queries import load
from penstock.store.runs import BAD_RECORD, Run

_SQL = load("results")

CHUNK = 1_000
"""Rows read at a time, fewer when they are large."""

CHUNK_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class StoredRow:
    """An item with its end. status: succeeded, skipped, failed or pending; payload and output are
    JSON texts (payload "null" of a record that could not be read). kept: skipped because the table
    that results go to has it already; the output, if any, is that of an earlier run."""

    position: int
    item_id: str
    payload: str
    status: str
    attempts: int
    error: str | None
    output: str | None
    kept: bool = False


async def rows(db: Database, run: Run) -> AsyncIterator[list[StoredRow]]:
    """Every item of the run, in input order, in chunks; memory stays flat."""
    since, limit = -1, 100
    while True:
        with db.unhurried():
            found = await db.fetch(
                _SQL["rows"],
                run.item_part,
                run.items_run,
                run.result_part,
                run.result_set,
                run.id,
                since + 1,
                limit,
                run.existing,
                run.redrive_reason,
            )
        if not found:
            return
        since = found[-1]["position"]
        size = sum(len(row["payload"]) + len(row["output"] or "") for row in found) // len(found)
        limit = min(CHUNK, max(1, CHUNK_BYTES // max(size, 1)))
        yield [
            StoredRow(
                position=row["position"],
                item_id=row["item_id"],
                payload=row["payload"],
                status=_status(row),
                attempts=row["attempts"] if _ended(row) else 0,
                error=_error(row),
                output=row["output"] if _ended(row) else None,
                kept=row["kept"],
            )
            for row in found
        ]


def _ended(row: asyncpg.Record) -> bool:
    """Whether the result is this item's end; a bad record is never tried, whatever is there."""
    return bool(row["settled"]) and row["bad"] is None


def _status(row: asyncpg.Record) -> str:
    if row["bad"] is not None:
        return "failed"
    if row["kept"]:
        return "skipped"
    if not row["settled"]:
        return "pending"
    if not row["succeeded"]:
        return "failed"
    return "succeeded" if row["mine"] else "skipped"


def _error(row: asyncpg.Record) -> str | None:
    if row["bad"] is not None:
        return f"{BAD_RECORD}: {row['bad']}"
    if not row["settled"] or row["kept"]:
        return None
    reason, error = row["reason"], row["error"]
    if reason and error and reason not in error:
        return f"{reason}: {error}"
    found: str | None = error or reason
    return found
