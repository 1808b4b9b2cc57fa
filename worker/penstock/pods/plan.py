"""`penstock plan`: reads the items of a run that the operator opened and lets the workers in.

PENSTOCK_DATABASE_URL  where the run is, in phase Planning, with its manifest
PENSTOCK_RUN           its number in the database
PENSTOCK_JOB           whose run it has to be, NAMESPACE/NAME (default: anybody's)
PENSTOCK_SOURCE        the file that holds the items of `source.configMap`, where that is used
PENSTOCK_WORKERS       how many worker slots shards are spread over (default 1)

Paths in the manifest are relative to the working directory; where results are to be written later
is looked at now. A pod that is started again throws away
what the one before it had stored and shuts that one out, should it still live. What is wrong with
the input is written to the run, which then has Failed; a server that is away fails only the pod.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from penstock import jsons
from penstock.errors import InputError, ServerAway
from penstock.export.destination import destination, kept_there, with_planned_paths
from penstock.plan import planner
from penstock.plan.probe import probed
from penstock.plan.summary import PlanSummary
from penstock.sources.drawn import apart
from penstock.sources.items import check_source, read_items
from penstock.spec.source import FileSource, Source
from penstock.store import housekeeping, runs
from penstock.store.db import POD_PATIENCE, Database
from penstock.store.runs import Run
from penstock.work.functions.check import check_function
from penstock.work.processors import build

log = logging.getLogger(__name__)


async def plan_main(environ: Mapping[str, str]) -> None:
    """Plan a run, unless that is done. Raises InputError (ServerAway leaves the run to the next
    pod), AlreadyRunning, DatabaseError."""
    db = Database(environ["PENSTOCK_DATABASE_URL"], name="penstock-plan", patience=None)
    await db.open(patience=POD_PATIENCE)
    try:
        await _plan(db, int(environ["PENSTOCK_RUN"]), environ)
    finally:
        await db.close()


async def _plan(db: Database, run_id: int, environ: Mapping[str, str]) -> None:
    run = await runs.get(db, run_id)
    runs.check_job(run, environ)
    if run.phase != "Planning":
        log.info("run %d of %s is planned already: %s", run.number, run.job, run.phase)
        return
    me = jsons.dumps({"host": socket.gethostname(), "pid": os.getpid()})
    if not await housekeeping.start_over(db, run_id, me):
        return  # it was planned, or is gone, a moment ago
    run = await runs.get(db, run_id)
    try:
        summary = await _store(db, run, environ)
    except ServerAway:
        raise  # the next pod reads anew
    except InputError as error:
        await housekeeping.start_over(db, run_id, me)
        await runs.set_phase(
            db, run_id, "Failed", since=("Planning",), reason=runs.INVALID_INPUT, message=str(error)
        )
        raise
    log.info("planned run %d of %s: %s", run.number, run.job, asdict(summary))


async def _store(db: Database, run: Run, environ: Mapping[str, str]) -> PlanSummary:
    job = runs.manifest_of(run)
    # The pod that exports has the same volumes. Told by that one, it would come after all the cost.
    target = destination(job, Path.cwd())
    if target is not None:
        await target.check()
    request = planner.request_for(job, int(environ.get("PENSTOCK_WORKERS") or 1))
    if run.existing == "redrive":
        previous = await runs.before(db, run)
        return await planner.plan_redrive(db, run, previous, request)
    source, directory = mounted(job.spec.source, environ), Path.cwd()
    await check_function(job, directory)
    await apart(lambda: check_source(source, directory))
    # No call is made here, so the key stays with the workers.
    processor = build(job, api_key=None)
    items = with_planned_paths(read_items(source, directory), job, directory)
    try:
        async with kept_there(job, force=run.existing == "force") as kept:
            return await planner.plan(
                db,
                run,
                request,
                probed(items, processor),
                lambda count: log.info("%d items read", count),
                again=lambda: read_items(source, directory),
                keep=True,
                kept=kept,
            )
    finally:
        await processor.aclose()


def mounted(source: Source, environ: Mapping[str, str]) -> Source:
    """The source as a pod sees it: a ConfigMap is a file there."""
    if source.config_map is None:
        return source
    path = environ.get("PENSTOCK_SOURCE")
    if not path:
        raise InputError.at("PENSTOCK_SOURCE", "this environment variable is not set")
    return source.model_copy(update={"config_map": None, "file": FileSource(path=path)})
