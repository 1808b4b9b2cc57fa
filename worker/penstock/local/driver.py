"""`penstock run`: plan, work and export on one machine.

The same three steps as on a cluster; worker processes stand in for pods, an embedded PostgreSQL for
a server. The driver never touches items: it plans, keeps workers alive, shows how it goes, exports.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from penstock.errors import AlreadyRunning, InputError
from penstock.export.destination import Destination, destination
from penstock.local import identity, logfile
from penstock.local.banner import concurrency_phrase
from penstock.local.database import Home, log_folder, open_database
from penstock.local.interrupts import Interrupts, interrupts
from penstock.local.options import Options, Outcome, View
from penstock.local.prepare import Prepared, base, effective, forget_half_plan, prepare
from penstock.local.workers import Workers
from penstock.spec.job import BatchJob
from penstock.store import ending, runs, shards
from penstock.store.db import Database
from penstock.store.observe import Observer
from penstock.store.progress import Progress
from penstock.store.runs import Run
from penstock.work.functions.check import check_function
from penstock.work.functions.machine import cores

log = logging.getLogger(__name__)

LOOK = 0.25
"""Seconds between looks at the run."""
KILL_AFTER = 3
"""The third Ctrl-C ends the workers without waiting."""

EXIT_COMPLETE, EXIT_FAILED, EXIT_WITH_FAILED_ITEMS, EXIT_PAUSED, EXIT_INTERRUPTED = 0, 1, 3, 4, 130


async def run(job: BatchJob, manifest: Path | None, options: Options, view: View) -> Outcome:
    """Run a job to its end, or as far as it goes, and say how that went.

    manifest: the file it came from; paths in it are relative to that file's folder. Raises
    PenstockError (InputError, AlreadyRunning, DatabaseError, ExportError).
    """
    job = effective(job, options)
    if job.spec.suspend:
        raise InputError.at("spec.suspend", "is true; to run it here: --set suspend=false")
    target = destination(job, base(manifest), options.output)
    if target is not None:
        await target.check()
    workers = Workers(options.workers or usual_workers(job))
    with interrupts() as taken:
        try:
            try:
                await workers.prestart()
                await check_function(job, base(manifest))
                return await _run(job, manifest, options, view, workers, target, taken)
            finally:
                await workers.close()
        except asyncio.CancelledError:
            if not taken.happened:
                raise
            view.notice("interrupted")
            return Outcome(EXIT_INTERRUPTED, None)


async def _run(
    job: BatchJob,
    manifest: Path | None,
    options: Options,
    view: View,
    workers: Workers,
    target: Destination | None,
    taken: Interrupts,
) -> Outcome:
    async with open_database(options, view.notice) as home:
        log_file = log_folder(home, options) / f"{job.name}.log"
        logfile.configure(log_file, "driver")
        started = time.monotonic()
        try:
            prepared = await prepare(home.db, job, manifest, options, workers.count, view)
        except asyncio.CancelledError:
            if home.db.lost_at is None:
                await forget_half_plan(home.db, job)
            raise
        if prepared.nothing:
            view.notice(prepared.nothing)
            looked = await Observer(home.db, prepared.run).look(started, failures=True)
            return Outcome(EXIT_COMPLETE, looked)
        view.banner(job, prepared.plan, concurrency_phrase(job, workers.count, cores()), log_file)
        drive = _Drive(
            home, job, prepared, workers, view, log_file, target, started, base(manifest)
        )
        taken.handler = drive.interrupt
        return await drive.drive()


class _Drive:
    """One command's time with one run."""

    def __init__(
        self,
        home: Home,
        job: BatchJob,
        prepared: Prepared,
        workers: Workers,
        view: View,
        log_file: Path,
        target: Destination | None,
        started: float,
        folder: Path,
    ) -> None:
        self._db: Database = home.db
        self._run: Run = prepared.run
        self._policy = job.spec.failure_policy
        self._deadline = job.spec.active_deadline_seconds
        self._view, self._target = view, target
        self._observer = Observer(home.db, prepared.run)
        self._workers = workers
        self._told = {
            "PENSTOCK_DATABASE_URL": home.dsn,
            "PENSTOCK_LOG": str(log_file),
            "PENSTOCK_FOLDER": str(folder),
        }
        self._before = prepared.run.active_seconds
        self._started = started
        self._me = identity.me()
        self._interrupts = 0
        self._seen: Progress | None = None
        self._driving: asyncio.Task[Progress] | None = None
        self._exporting: asyncio.Task[int] | None = None

    async def drive(self) -> Outcome:
        self._driving = asyncio.create_task(self._to_the_end())
        try:
            progress = await self._driving
        except asyncio.CancelledError:
            if not self._driving.cancelled() or self._seen is None:
                raise
            progress = self._seen  # the database is away, this is the last we know
        self._view.finished(progress)
        return Outcome(self._exit_code(progress), progress)

    async def _to_the_end(self) -> Progress:
        progress = await self._end(await self._work())
        await runs.driver_gone(self._db, self._run.id, self._me, self._seconds(time.monotonic()))
        return progress

    async def _work(self) -> bool:
        """Whether every item is done."""
        if self._run.phase == "Exporting" or not await shards.unfinished(self._db, self._run.id):
            return True
        working = asyncio.create_task(self._workers.run(self._db, self._run.id, self._told))
        try:
            while not working.done():
                await asyncio.wait([working], timeout=LOOK)
                await self._look()
            return working.result() and not await shards.unfinished(self._db, self._run.id)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._workers.kill()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    async def _look(self) -> None:
        now = time.monotonic()
        asked = await runs.driver_alive(self._db, self._run.id, self._me, self._seconds(now))
        if asked is None:
            raise AlreadyRunning(
                f"{self._run.job}: the run was deleted, or another command goes on with it"
            )
        if asked["suspend"] and asked["phase"] == "Running":
            await self._set_phase("Suspended", "Suspended", "asked for by `penstock suspend`")
        late = self._deadline is not None and self._seconds(now) > self._deadline
        if late and asked["phase"] == "Running":
            message = f"it took longer than activeDeadlineSeconds, {self._deadline:,} s"
            await self._set_phase("Failed", "DeadlineExceeded", message, since=("Running",))
        over = late or asked["suspend"] or asked["phase"] in ("Paused", "Suspended", "Failed")
        if over and not self._interrupts:
            self._interrupts = 1
            self._workers.stop()
        self._seen = await self._observer.look(now, seconds=self._seconds(now))
        self._view.progress(self._seen)

    async def _end(self, finished: bool) -> Progress:
        run = await runs.get(self._db, self._run.id)
        if finished and not run.ended:
            await ending.begin_export(self._db, run.id)
            run = await runs.get(self._db, run.id)
        exported = run.phase in ("Exporting", "Failed") and await self._export(run)
        if run.phase == "Exporting" and exported:
            await ending.close(self._db, run, self._policy)
        now = time.monotonic()
        return await self._observer.look(now, seconds=self._seconds(now), failures=True)

    async def _export(self, run: Run) -> bool:
        """Write the results where they are wanted. False when that was interrupted."""
        if self._target is None:
            return True
        work = self._target.write(self._db, run, self._view.notice)
        self._exporting = asyncio.create_task(work)
        await asyncio.wait([self._exporting])
        if self._exporting.cancelled():
            return False
        self._exporting.result()
        self._exporting = None
        await runs.set_output(self._db, run.id, self._target.name)
        return True

    async def _set_phase(
        self,
        phase: str,
        reason: str = "",
        message: str = "",
        *,
        since: tuple[str, ...] = runs.OPEN_PHASES,
    ) -> None:
        await runs.set_phase(
            self._db, self._run.id, phase, since=since, reason=reason, message=message
        )

    def _exit_code(self, progress: Progress) -> int:
        if progress.phase == "Complete":
            return EXIT_WITH_FAILED_ITEMS if progress.failed else EXIT_COMPLETE
        if progress.phase == "Failed":
            return EXIT_FAILED
        if progress.phase in ("Paused", "Suspended"):
            return EXIT_PAUSED
        return EXIT_INTERRUPTED

    def interrupt(self) -> None:
        """Asked to stop: in good order at first, then sooner and sooner."""
        self._interrupts += 1
        if self._exporting is not None and not self._exporting.done():
            self._view.notice("stopping: the same command writes the results again")
            self._exporting.cancel()
            return
        if self._interrupts >= KILL_AFTER:
            self._workers.kill()
            return
        if self._db.lost_at is not None:
            if self._interrupts > 1 and self._driving is not None:
                self._workers.kill()
                self._driving.cancel()
                return
            self._view.notice("the database is away: Ctrl-C again ends without it")
        elif self._interrupts == 1:
            self._view.notice("stopping: calls in flight may end, again Ctrl-C drops them")
        self._workers.stop()

    def _seconds(self, now: float) -> float:
        """Working time so far, with that of earlier commands."""
        return self._before + now - self._started


def usual_workers(job: BatchJob) -> int:
    """How many workers there are when nobody says so: one; of functions that run in processes, as
    many as there are cores."""
    python = job.spec.processor.python
    if python is None or python.mode != "process":
        return 1
    return min(cores(), job.spec.scaling.concurrency.max)
