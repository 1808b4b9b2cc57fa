"""The operator as a whole: its parts, the order they start in, and how they end.

    Lease → database (tried once) → full listing → watches → workers, resync, sweep

Nothing waits for the database: while it is away, BatchJobs are told so. The end may come at any
moment: whatever was cut off is seen, and done again, by the next look.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable

from penstock.errors import DatabaseError, PenstockError
from penstock.store.db import Database
from penstock_operator import handlers, resync, sweep, tally
from penstock_operator.access import Access
from penstock_operator.cache import Cache, Key
from penstock_operator.carry_out import Effects
from penstock_operator.connection import Connection
from penstock_operator.controller import Controller
from penstock_operator.database import Runs
from penstock_operator.events import Announcer
from penstock_operator.kube import Kube
from penstock_operator.lease import Lease, identity
from penstock_operator.metrics import Metrics
from penstock_operator.queue import Queue
from penstock_operator.settings import Settings

log = logging.getLogger(__name__)

WORKERS = 4
"""Looks at a time."""
CONNECTIONS = 4
"""To the database, for the looks: with a single one they wait for each other more than for it."""
STATEMENT = 30.0
"""Seconds after which a statement of the operator counts as lost."""
RECONNECT = 1.0
"""Seconds for a connection to come back by itself: after an outage each of them has to."""
RETRY = 5.0
GOODBYE = 1.5
"""Seconds that the parts, and then the Lease, have to end."""


class Operator:
    """Everything that belongs to one running operator. stop: set by SIGTERM and SIGINT."""

    def __init__(self, kube: Kube, settings: Settings) -> None:
        self._kube, self._settings = kube, settings
        self.stop = asyncio.Event()
        self._cache = Cache()
        self._queue: Queue[Key] = Queue()
        self._me = identity()
        self._lease = Lease(kube, settings.namespace, self._me)
        self._connection = Connection(settings.database_url, self._look_at_all)
        self._tally = tally.Tally(kube.calls)
        self.metrics = Metrics(kube.calls, self._cache.phases)
        self._listed = False
        kube.may_write = self._lease.held.is_set

    def ready(self) -> bool:
        """It acts: it holds the Lease and knows what there is."""
        return self._listed and self._lease.held.is_set()

    async def run(self) -> None:
        """Work until `stop` is set. Raises what a part could not get over."""
        self._listen()
        work = asyncio.create_task(self._work(), name="work")
        stopped = asyncio.create_task(self.stop.wait(), name="stop")
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if self.stop.is_set():
            log.info("asked to stop")
        for task in (work, stopped):
            task.cancel()
        await asyncio.wait({work, stopped}, timeout=GOODBYE)
        try:
            async with asyncio.timeout(GOODBYE):
                await self._lease.release()
        except TimeoutError:
            log.warning("the Lease could not be released in time")
        if work.done() and not work.cancelled():
            work.result()

    async def _work(self) -> None:
        looking = [self._database("penstock-operator") for _ in range(CONNECTIONS)]
        aside = self._database("penstock-operator-aside")
        sweep_db = Database(self._settings.database_url, name="penstock-operator-sweep")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._lease.keep(), name="lease")
                group.create_task(self._connection.keep(), name="database")
                await self._lease.held.wait()
                await self._connection.tried.wait()
                await self._first_listing()
                group.create_task(self._watch(), name="watches")
                cluster = await self._identify()
                runs = Runs(looking, aside, cluster)
                access = Access(looking[0], cluster, self._settings)
                effects = Effects(self._kube, runs, self._cache, self._settings, access)
                announcer = Announcer(self._kube)
                controller = Controller(
                    self._kube, self._cache, runs, effects, self._connection, announcer,
                    self.metrics.acted,
                )  # fmt: skip
                group.create_task(announcer.keep(), name="events")
                for number in range(WORKERS):
                    look = self._look(controller)
                    work = self._queue.work(look, self._lease.held.wait)
                    group.create_task(work, name=f"worker {number}")
                sweeping = sweep.Sweep(sweep_db, self._kube, cluster, self._settings.namespaces)
                group.create_task(self._every(resync.EVERY, self._resync, later=True))
                group.create_task(self._every(sweep.EVERY, lambda: self._sweep(sweeping)))
                group.create_task(self._every(tally.EVERY, self._tell, later=True))
        finally:
            for one in (*looking, aside, sweep_db):
                await one.close()

    def _database(self, name: str) -> Database:
        return Database(
            self._settings.database_url,
            name=name,
            patience=RECONNECT,
            command_timeout=STATEMENT,
        )

    async def _identify(self) -> str:
        """What tells this cluster from others that use the same database: the UID of the definition
        of BatchJobs. It lasts as long as any BatchJob can, whoever installs operators where."""
        while True:
            try:
                return str((await self._kube.definition())["metadata"]["uid"])
            except PenstockError as error:
                log.warning("waiting for Kubernetes: %s", error)
                await asyncio.sleep(RETRY)

    async def _first_listing(self) -> None:
        while not self._listed:
            try:
                await self._resync()
                self._listed = True
            except PenstockError as error:
                log.warning("waiting for Kubernetes: %s", error)
                await asyncio.sleep(RETRY)
        log.info("at work, with %d BatchJob(s)", len(self._cache.batchjobs()))

    async def _watch(self) -> None:
        """kopf's tasks, none of which ends by itself."""
        registry = handlers.registry(self._cache, self._queue.mark)
        tasks = await handlers.start(registry, self._settings.namespaces, self._me)
        self._listen()  # kopf has put its own in their place
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            raise RuntimeError("the watches ended")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=GOODBYE)

    def _look(self, controller: Controller) -> Callable[[Key], Awaitable[float | None]]:
        async def look(key: Key) -> float | None:
            started, well = time.monotonic(), False
            try:
                again = await controller.reconcile(key)
                well = True
                return again
            finally:
                seconds = time.monotonic() - started
                self._tally.looked(seconds)
                self.metrics.looked(seconds, well=well)

        return look

    async def _every(
        self, seconds: float, one: Callable[[], Awaitable[None]], *, later: bool = False
    ) -> None:
        """Do something again and again; `later`: not at once. What goes wrong is logged."""
        if later:
            await asyncio.sleep(seconds)
        while True:
            await self._lease.held.wait()
            try:
                await one()
            except PenstockError as error:
                log.warning("%s", error)
            except Exception:  # a full disk, a missing right: nothing that jobs have to stop for
                log.exception("something went wrong beside the jobs")
            await asyncio.sleep(seconds)

    async def _resync(self) -> None:
        await resync.run_once(self._kube, self._cache, self._settings.namespaces)
        self._look_at_all()

    async def _sweep(self, sweeping: sweep.Sweep) -> None:
        if self._connection.why:
            return
        try:
            await sweeping.run_once(self._cache.uids())
        except DatabaseError as error:
            self._connection.lost(error)

    async def _tell(self) -> None:
        line = self._tally.line(len(self._cache.batchjobs()), len(self._queue))
        if line:
            log.info("%s", line)

    def _look_at_all(self) -> None:
        for key in self._cache.batchjobs():
            self._queue.mark(key)

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
