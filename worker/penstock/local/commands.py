"""The commands beside `run`: what is known of jobs, and what is asked of them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from penstock import jsons
from penstock.errors import AlreadyRunning, NotFound
from penstock.export.stored import export, export_rows
from penstock.export.write import stream_jsonl
from penstock.local import identity
from penstock.local.database import open_database
from penstock.local.options import Options
from penstock.spec.job import BatchJob
from penstock.store import housekeeping, runs
from penstock.store.db import Database
from penstock.store.observe import Observer
from penstock.store.progress import Progress
from penstock.store.runs import Run


@dataclass(frozen=True, slots=True)
class GcReport:
    """What `gc` removed: runs and their item rows."""

    runs: int
    items: int


async def status(name: str, options: Options) -> Progress:
    """A job's newest run as it stands. Raises NotFound."""
    async with _opened(options) as db:
        return await _look(db, await _find(db, name))


async def watch(name: str, options: Options) -> AsyncGenerator[Progress, None]:
    """The run again and again, until it has ended or nobody drives it. The pause between two looks
    is the caller's."""
    async with _opened(options) as db:
        run = await _find(db, name)
        observer = Observer(db, run)
        while True:
            run = await runs.get(db, run.id)
            driven = _driven(run)
            last = run.ended or not driven
            yield await observer.look(time.monotonic(), failures=last)
            if last:
                return


async def list_jobs(options: Options) -> list[Progress]:
    """Every job's newest run, by name."""
    async with _opened(options) as db:
        return [await _look(db, run) for run in await runs.newest_of_all(db)]


async def results(
    name: str,
    options: Options,
    *,
    output: Path | None,
    failed: bool,
    stdout: IO[bytes],
    warn: Callable[[str], object],
) -> int:
    """Write a job's results, to a file or as JSON Lines to stdout; returns the number of rows.

    failed: only the failed items. warn: told what the format could not hold whole. Raises
    NotFound, ExportError.
    """
    async with _opened(options) as db:
        run = await _find(db, name)
        if output is not None:
            return await export(db, run, output, None, only_failed=failed, warn=warn)
        return await stream_jsonl(export_rows(db, run, only_failed=failed), stdout)


async def stored_job(name: str, options: Options) -> tuple[BatchJob, Path | None]:
    """The job as it ran last, and the file it came from."""
    async with _opened(options) as db:
        run = await _find(db, name)
    return runs.manifest_of(run), Path(run.manifest_path) if run.manifest_path else None


async def suspend(name: str, options: Options) -> None:
    """Ask a run to stop; what is in flight may end. Raises NotFound."""
    async with _opened(options) as db:
        run = await _find(db, name)
        if run.ended:
            raise NotFound(f"{name} has no unfinished run to suspend")
        await runs.set_suspend(db, run.id, True)
        if not _driven(run):
            await runs.set_phase(
                db, run.id, "Suspended", since=("Running",), reason="Suspended",
                message="asked for by `penstock suspend`",
            )  # fmt: skip


async def resume(name: str, options: Options) -> None:
    """Take a suspend back. The next `penstock run` goes on with the run. Raises NotFound."""
    async with _opened(options) as db:
        run = await _find(db, name)
        if run.ended:
            raise NotFound(f"{name} has no unfinished run to resume")
        await runs.set_suspend(db, run.id, False)
        await runs.set_phase(db, run.id, "Running", since=("Suspended",))


async def deletes_results(name: str, options: Options) -> bool:
    """Whether a job's results go with it, by its deletionPolicy; False when there is no job."""
    async with _opened(options) as db:
        run = await runs.latest(db, name)
        return run is not None and _deletes_results(run)


async def delete(name: str, options: Options, *, results: bool) -> None:
    """Forget a job's runs. What they gave stays, unless `results` is set (that also removes what
    is left of a job deleted earlier) or the job's deletionPolicy is Delete. Raises NotFound,
    AlreadyRunning."""
    async with _opened(options) as db:
        run = await runs.latest(db, name)
        if run is None:
            if results and await housekeeping.delete_result_set(db, name) is not None:
                return
            await _find(db, name)  # says which jobs there are
            return
        if not run.ended and _driven(run):
            raise AlreadyRunning(f"{name} is running; stop it first (`penstock suspend {name}`)")
        await housekeeping.delete_job(db, name)
        if results or _deletes_results(run):
            await housekeeping.delete_result_set(db, run.result_set_name)


async def gc(options: Options, *, older_than: float) -> GcReport:
    """Remove finished runs that a newer one replaced more than `older_than` seconds ago, and runs
    whose command died while it planned them. Results stay: they belong to the result set."""
    async with _opened(options) as db:
        return GcReport(*await housekeeping.collect(db, older_than, _driven))


@asynccontextmanager
async def _opened(options: Options) -> AsyncIterator[Database]:
    async with open_database(options, lambda _: None) as home:
        yield home.db


async def _find(db: Database, name: str) -> Run:
    run = await runs.latest(db, name)
    if run is None:
        known = [run.job for run in await runs.newest_of_all(db)]
        there = f"; there are: {', '.join(known[:20])}" if known else "; none has run here yet"
        raise NotFound(f"no job named {name}{there}")
    return run


def _driven(run: Run) -> bool:
    return identity.alive(run.driver, fresh=run.driver_fresh)


def _deletes_results(run: Run) -> bool:
    # Of a manifest that another version has stored, too: deleting is the way out.
    spec = jsons.loads(run.manifest).get("spec") or {}
    return bool(spec.get("deletionPolicy") == "Delete")


async def _look(db: Database, run: Run) -> Progress:
    return await Observer(db, run).look(time.monotonic(), failures=True)
