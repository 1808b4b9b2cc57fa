"""From stored results to a file in input order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from penstock import jsons
from penstock.export.rows import ExportRow
from penstock.export.write import write_rows
from penstock.spec.job import OutputFormat
from penstock.store import results
from penstock.store.db import Database
from penstock.store.runs import Run


async def export_rows(
    db: Database, run: Run, *, only_failed: bool = False
) -> AsyncIterator[Sequence[ExportRow]]:
    """The run's rows, in input order, in chunks."""
    async for chunk in results.rows(db, run):
        rows = [
            ExportRow(
                position=row.position,
                item_id=row.item_id,
                status=row.status,
                attempts=row.attempts,
                error=row.error,
                item=jsons.loads(row.payload),
                output=jsons.loads(row.output) if row.output is not None else None,
            )
            for row in chunk
            if not only_failed or row.status == "failed"
        ]
        if rows:
            yield rows


async def export(
    db: Database,
    run: Run,
    path: Path,
    format: OutputFormat | None,
    *,
    only_failed: bool = False,
    warn: Callable[[str], object],
) -> int:
    """Write a run's results to a file; returns the number of rows. warn: told what the format
    could not hold whole. Raises ExportError."""
    return await write_rows(export_rows(db, run, only_failed=only_failed), path, format, warn=warn)
