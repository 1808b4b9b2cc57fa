"""`penstock rows`: the rows of a job's newest run on stdout, for `penstock results` elsewhere.

PENSTOCK_DATABASE_URL  where the job is

A line is a JSON list: position, ID, status, attempts, error, item, output. The last line is an
object with the number of rows, so that whoever reads knows that nothing is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO

from penstock import jsons
from penstock.errors import NotFound
from penstock.store import results, runs
from penstock.store.db import Database
from penstock.store.results import StoredRow


async def rows_main(
    environ: Mapping[str, str], job: str, stream: IO[bytes], *, failed: bool
) -> None:
    """Write the rows. job: as the database names it. failed: the failed ones only. Raises NotFound,
    DatabaseError, and OSError when nobody reads any more."""
    db = Database(environ["PENSTOCK_DATABASE_URL"], name="penstock-rows")
    await db.open()
    try:
        run = await runs.latest(db, job)
        if run is None:
            raise NotFound(f"{job} has no run yet")
        count = 0
        async for chunk in results.rows(db, run):
            wanted = [row for row in chunk if not failed or row.status == "failed"]
            stream.write("".join(map(_line, wanted)).encode())
            count += len(wanted)
        stream.write(f'{{"rows":{count}}}\n'.encode())
        stream.flush()
    finally:
        await db.close()


def _line(row: StoredRow) -> str:
    """Item and output are JSON texts already. JSON has no line ends in it."""
    head = jsons.dumps([row.position, row.item_id, row.status, row.attempts, row.error])
    return f"{head[:-1]},{row.payload},{row.output or 'null'}]\n"
