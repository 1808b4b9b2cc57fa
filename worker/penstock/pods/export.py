"""`penstock export`: writes the results of a run where its manifest wants them, and ends the run.

PENSTOCK_DATABASE_URL  where the run is, in phase Exporting, or Failed with results to be written
PENSTOCK_RUN           its number in the database
PENSTOCK_JOB           whose run it has to be, NAMESPACE/NAME (default: anybody's)

Paths in the manifest are relative to the working directory. The file is put in place whole, so a
pod that is started again only does it again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from penstock.export.destination import destination
from penstock.store import ending, runs
from penstock.store.db import POD_PATIENCE, Database

log = logging.getLogger(__name__)


async def export_main(environ: Mapping[str, str]) -> None:
    """Write the results of a run. Raises InputError, ExportError, DatabaseError."""
    db = Database(environ["PENSTOCK_DATABASE_URL"], name="penstock-export", patience=None)
    await db.open(patience=POD_PATIENCE)
    try:
        await _export(db, int(environ["PENSTOCK_RUN"]), environ)
    finally:
        await db.close()


async def _export(db: Database, run_id: int, environ: Mapping[str, str]) -> None:
    run = await runs.get(db, run_id)
    runs.check_job(run, environ)
    if run.phase not in ("Exporting", "Failed"):
        log.info("run %d of %s has nothing to write: %s", run.number, run.job, run.phase)
        return
    job = runs.manifest_of(run)
    target = destination(job, Path.cwd())
    # A pod before this one may have written them and died before it could end the run.
    if target is not None and not run.output:
        rows = await target.write(db, run, log.warning)
        await runs.set_output(db, run_id, target.name)
        log.info("wrote %d rows to %s", rows, target.name)
    await ending.close(db, run, job.spec.failure_policy)
