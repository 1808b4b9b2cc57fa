"""`penstock work`: one worker, told by the environment what to work on.

PENSTOCK_DATABASE_URL  where the run is
PENSTOCK_RUN           its number in the database
PENSTOCK_JOB           whose run it has to be, NAMESPACE/NAME (default: anybody's)
PENSTOCK_SLOT          this worker's slot (default: JOB_COMPLETION_INDEX, else 0)
PENSTOCK_WORKERS       how many slots shards were spread over (default 1)
PENSTOCK_OWNER         the name its leases carry (default: made up)
PENSTOCK_FOLDER        where the manifest and the user's modules are (local workers; default: here)
PENSTOCK_LOG           where what functions print goes (local workers)
PENSTOCK_PARENT        set when a local driver tells the rest over standard input, which it holds
                       open: its end means that it is dead

Exit codes: 0 the run has no unfinished item, 1 error, 2 bad input, 130 stopped with work left.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

from penstock.errors import InputError, PenstockError
from penstock.rate.bounds import Bounds
from penstock.rate.leader import Leader
from penstock.rate.member import Member
from penstock.secrets import masker
from penstock.spec.job import BatchJob
from penstock.spec.secrets import api_key
from penstock.store import runs
from penstock.store.db import COMMAND_TIMEOUT, POD_PATIENCE, SLOW, Database
from penstock.work.batch import Former
from penstock.work.gate import Admission, Gate
from penstock.work.pool_key import pool_key
from penstock.work.pooling import Pooling
from penstock.work.processors import build
from penstock.work.stats import WorkerStats
from penstock.work.types import Processor
from penstock.work.worker import End, Worker

log = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0
"""How long calls in flight may take to end once the worker is asked to stop."""
PAUSE_LOOK = 1.0
PROCESSES = "processes: each of them works all the time, more cores may be quicker"

HURRY = signal.SIGUSR1
"""Drops the calls in flight of a worker that drains. A signal of its own: two SIGTERMs in quick
succession may arrive as one."""

EXIT_DONE = 0
EXIT_DRAINED = 130


async def work_main(environ: Mapping[str, str]) -> int:
    """Work on a run until it is finished; returns the exit code."""
    db = Database(
        environ["PENSTOCK_DATABASE_URL"],
        name="penstock-worker",
        patience=None,
        command_timeout=COMMAND_TIMEOUT,
        slow=SLOW,
    )
    # A local driver has just used it; a pod may start while it is away.
    await db.open(patience=0.0 if environ.get("PENSTOCK_PARENT") else POD_PATIENCE)
    service = _Service(db, environ)
    try:
        code = await service.serve()
    finally:
        await db.close()
    if service.abandoned:
        log.warning("%d calls do not end though they were cancelled", service.abandoned)
        logging.shutdown()
        os._exit(code)
    return code


class _Service:
    """Keeps a worker going through pauses, and turns signals into a drain."""

    def __init__(self, db: Database, environ: Mapping[str, str]) -> None:
        self._db = db
        self._run_id = int(environ["PENSTOCK_RUN"])
        self._slot = int(environ.get("PENSTOCK_SLOT") or environ.get("JOB_COMPLETION_INDEX") or 0)
        self._homes = int(environ.get("PENSTOCK_WORKERS") or 1)
        self._environ = environ
        self._stopping = asyncio.Event()
        self._worker: Worker | None = None
        self._starting: asyncio.Future[Admission] | None = None
        self.abandoned = 0
        self._watching: asyncio.Task[None] | None = None
        if environ.get("PENSTOCK_PARENT"):
            self._watching = asyncio.get_running_loop().create_task(self._watch_parent())
            # Ctrl-C reaches the driver as well, which asks for the drain; once is enough.
            signals = [signal.SIGTERM]
        else:
            signals = [signal.SIGTERM, signal.SIGINT]
        for number in signals:
            asyncio.get_running_loop().add_signal_handler(number, self._drain)
        asyncio.get_running_loop().add_signal_handler(HURRY, self._hurry)

    async def serve(self) -> int:
        try:
            return await self._serve()
        finally:
            if self._watching is not None:
                self._watching.cancel()

    async def _serve(self) -> int:
        while True:
            run = await runs.get(self._db, self._run_id)
            runs.check_job(run, self._environ)
            if self._stopping.is_set():
                return EXIT_DRAINED
            if run.phase in ("Paused", "Suspended") or run.suspend:
                # Do not exit: a pod that does would be counted or restarted.
                await self._pause()
            elif run.phase != "Running":
                return EXIT_DONE
            else:
                end = await self._work(run)
                if end in (End.FINISHED, End.DRAINED):
                    return EXIT_DONE if end is End.FINISHED else EXIT_DRAINED

    async def _work(self, run: runs.Run) -> End:
        job = runs.manifest_of(run)
        key = api_key(job.spec.processor, self._environ)
        local = bool(self._environ.get("PENSTOCK_PARENT"))
        if job.spec.processor.python is not None and local:
            self._serve_functions()
        # Pods share no machine that they would know of.
        processor = build(job, api_key=key, workers=self._homes if local else 1)
        try:
            return await self._work_with(run, job, processor, key)
        finally:
            await processor.aclose()

    def _serve_functions(self) -> None:
        """Where their modules and files are; what they print goes to the log, not to the bar."""
        os.chdir(self._environ["PENSTOCK_FOLDER"])
        with Path(self._environ["PENSTOCK_LOG"]).open("a") as log_file:
            for stream in (1, 2):
                os.dup2(log_file.fileno(), stream)

    async def _work_with(
        self, run: runs.Run, job: BatchJob, processor: Processor, key: str | None
    ) -> End:
        owner = self._environ.get("PENSTOCK_OWNER") or f"{self._slot}-{uuid.uuid4().hex[:8]}"
        bounds = _bounds(job, processor)
        stats = WorkerStats()
        member = Member(bounds, str(run.id))
        pooling = Pooling(
            self._db,
            pool_key(job, key),
            member_id=owner,
            run=run.id,
            member=member,
            lead=lambda state: Leader(bounds, owner, state),
        )
        gate = Gate(member, pooling.now, pooling.hurry)
        succeeded_before = (await runs.totals(self._db, run.id))["succeeded"] > 0
        self._starting = asyncio.ensure_future(processor.start(gate, stats.call_ended))
        try:
            admission = await self._starting
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
            return End.DRAINED
        except InputError as error:
            if succeeded_before:  # it did work; this one may be started again
                raise PenstockError(str(error)) from error
            await runs.set_phase(
                self._db,
                run.id,
                "Failed",
                since=("Running",),
                reason=runs.INVALID_INPUT,
                message=masker(self._environ)(str(error)),
            )
            log.error("%s", error)
            return End.FINISHED
        finally:
            self._starting = None
        self._worker = Worker(
            self._db,
            run,
            job.spec,
            processor,
            gate,
            admission=admission,
            stats=stats,
            owner=owner,
            slot=self._slot,
            homes=self._homes,
            former=Former.for_job(job.spec, processor),
            succeeded_before=succeeded_before,
            pooling=pooling,
        )
        if self._stopping.is_set():
            self._worker.stop()
        try:
            end = await self._worker.work(DRAIN_SECONDS)
            log.info("worker %s: %s", owner, end)
            return end
        finally:
            self.abandoned += self._worker.attempts.abandoned
            self._worker = None

    def _drain(self) -> None:
        if self._stopping.is_set():  # asked twice: at once
            self._hurry()
        self._stopping.set()
        if self._worker is not None:
            self._worker.stop()
        if self._starting is not None:
            self._starting.cancel()

    def _hurry(self) -> None:
        if self._worker is not None:
            self._worker.hurry()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(PAUSE_LOOK):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _watch_parent(self) -> None:
        """Standard input ends when the driver dies, however it dies; then stop at once."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await reader.read()
        log.warning("the driver is gone")
        self._db.give_up()  # nobody is left to bring it back
        self._drain()
        self._hurry()


def _bounds(job: BatchJob, processor: Processor) -> Bounds:
    concurrency, limit = job.spec.scaling.concurrency, job.spec.rate_limit
    return Bounds(
        min_concurrency=processor.at_once or concurrency.min,
        max_concurrency=processor.at_once or concurrency.max,
        fixed_by=PROCESSES if processor.at_once else "",
        requests_per_second=limit.requests_per_minute and limit.requests_per_minute / 60,
        tokens_per_second=limit.tokens_per_minute and limit.tokens_per_minute / 60,
    )
