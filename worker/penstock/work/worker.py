"""A worker: claims shards, sends their items through the gate to the processor, writes checkpoints.

Four loops share one event loop: feed (database -> backlog), dispatch (backlog -> gate -> call),
checkpoint (results -> database) and heartbeat (leases, totals, what is asked of the run). The same
worker runs in a pod and in a process of `penstock run`.
"""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum
from typing import Any

from penstock.errors import Fenced
from penstock.rate.explain import Hold
from penstock.spec import tolerance
from penstock.spec.job import BatchJobSpec
from penstock.store import runs, shards
from penstock.store.db import Database
from penstock.store.runs import Run
from penstock.work.attempts import Attempts
from penstock.work.backlog import Backlog
from penstock.work.batch import Former
from penstock.work.checkpoint import Checkpointer
from penstock.work.gate import Admission, Gate
from penstock.work.leases import Held, Leases
from penstock.work.pooling import Pooling
from penstock.work.stats import Stall, WorkerStats
from penstock.work.supply import Supply
from penstock.work.suspects import Suspects
from penstock.work.types import Processor

log = logging.getLogger(__name__)

HEARTBEAT = 1.0
IDLE_LOOK = 0.3
IDLE_LOOK_MAX = 1.0
"""Seconds between looks for work when there is none to claim, at first and later."""
MAX_WAITING = 1_000
"""Items in back-off beyond which no fresh ones are fetched."""
AHEAD_SECONDS = 0.5


class End(StrEnum):
    """Why a worker stopped."""

    FINISHED = "finished"  # the run has no unfinished item, or has ended
    PAUSED = "paused"  # budget, quota, key, or suspended
    EDITED = "edited"  # the manifest changed
    DRAINED = "drained"  # asked to stop


class Worker:
    """One worker of a run. `work` runs until the end; `stop` asks it to drain."""

    def __init__(
        self,
        db: Database,
        run: Run,
        spec: BatchJobSpec,
        processor: Processor,
        gate: Gate,
        *,
        admission: Admission,
        stats: WorkerStats,
        owner: str,
        slot: int,
        homes: int,
        former: Former,
        succeeded_before: bool,
        pooling: Pooling,
    ) -> None:
        self._pooling = pooling
        self.owner, self.slot = owner, slot
        self.db, self.run, self.spec, self.gate = db, run, spec, gate
        self.stats, self._admission, self._processor = stats, admission, processor
        self.leases = Leases()
        self.backlog = Backlog(former)
        self.supply = Supply(db, run, self.leases, owner, slot % max(homes, 1))
        self.checkpointer = Checkpointer(
            db,
            run,
            self.leases,
            max_items=spec.checkpoint.max_items,
            max_interval=spec.checkpoint.max_interval,
            on_flushed=self._flushed,
            on_fenced=self.fenced,
            before_last=self._say_totals,
        )
        self.attempts = Attempts(
            processor,
            admission,
            self.backlog,
            self.checkpointer,
            self.stats,
            spec.retry,
            succeeded_before=succeeded_before,
            wake=self.wake,
            on_bug=self._bug,
            pause=self.pause_run,
        )
        gate.member.holding = self._holding
        self._suspects = Suspects(
            db, run.id, self.leases, self.supply, self.attempts, self.checkpointer, self.fenced
        )
        self._ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._hurry = asyncio.Event()
        self._hungry = asyncio.Event()
        self._ready = asyncio.Event()
        self._items_per_second = 0.0
        self._failed_unchecked = False
        self._dry = False  # nothing is left to claim

    def stop(self, end: End = End.DRAINED) -> None:
        """Begin to drain; the first reason given counts."""
        if not self._ended.done():
            self._ended.set_result(end)

    def hurry(self) -> None:
        """Do not wait for calls in flight any more once draining."""
        self._hurry.set()

    async def work(self, drain_seconds: float) -> End:
        """Work until the run is finished or `stop` is called, then drain: no new calls, those in
        flight get `drain_seconds`, what they gave is written, leases are given back."""
        await self._pooling.join()
        loops = [
            asyncio.create_task(loop, name=name)
            for name, loop in (
                ("feed", self._feed()),
                ("dispatch", self._dispatch()),
                ("checkpoint", self.checkpointer.run_forever()),
                ("heartbeat", self._heartbeat()),
                ("pool", self._pooling.run_forever()),
            )
        ]
        loop_failed = False
        try:
            await self._say_totals()
            everything: list[asyncio.Future[Any]] = [self._ended, *loops]
            await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
            for task in loops:
                if task.done() and not task.cancelled():
                    task.result()  # a bug in a loop ends the worker loudly
            return self._ended.result()
        except Exception:
            loop_failed = True
            raise
        finally:
            for task in loops[:2]:
                task.cancel()
            await self.attempts.drain(0.0 if self._is_finished() else drain_seconds, self._hurry)
            for task in loops[2:]:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            if not loop_failed:  # else it dies with what it holds, like after a crash
                await self.checkpointer.flush()
                await shards.release(self.db, self.run.id, self.owner)
                await self._say_totals()
            await self._pooling.leave()

    def wake(self) -> None:
        """Something may have become ready to send."""
        self._ready.set()

    async def pause_run(self, reason: str, message: str) -> None:
        """Pause the whole run: nothing is wrong with the items."""
        log.warning("pausing the job: %s: %s", reason, message)
        await runs.set_phase(
            self.db, self.run.id, "Paused", since=("Running",), reason=reason, message=message
        )
        self.stop(End.PAUSED)

    # feed

    async def _feed(self) -> None:
        pause = IDLE_LOOK
        while True:
            wanted = self._wanted()
            if wanted <= 0:
                if not self.gate.member.claims:
                    await self._rest()
                await self._wait(self._hungry, HEARTBEAT)
                continue
            held = await self.supply.next_shard(wanted)
            self._dry = held is None
            if held is None:
                if not self.leases.pairs() and await self.supply.run_finished():
                    self.stop(End.FINISHED)
                self.wake()
                await self._wait(self._hungry, pause)
                pause = min(pause * 1.5, IDLE_LOOK_MAX)
                continue
            pause = IDLE_LOOK
            if held.careful:
                await self._suspects.clear(held)
            else:
                await self._fetch(held, wanted)

    async def _rest(self) -> None:
        """Without a share of the pace: give back what is not begun, and see when all is done."""
        if self._holding():
            return
        if self.leases.pairs():
            await self.checkpointer.flush()
            await shards.release(self.db, self.run.id, self.owner)
            for lo, _ in self.leases.pairs():
                self.leases.drop(lo)
        elif await self.supply.run_finished():
            self.stop(End.FINISHED)

    def _holding(self) -> int:
        """Items that were fetched and have not ended."""
        return self.leases.outstanding

    async def _fetch(self, held: Held, wanted: int) -> None:
        try:
            items = await self.supply.fetch(held, wanted)
        except Fenced:
            self.fenced(held.lease.lo)
            return
        self.backlog.add(items)
        self.wake()
        if held.exhausted:
            self.checkpointer.nudge()

    def _wanted(self) -> int:
        if not self.gate.member.claims:
            return 0
        limit, batch = self._admission.limit, self._processor.max_items
        if self.backlog.waiting > max(MAX_WAITING, 10 * limit * batch):
            return 0  # what fails now would only pile up
        free = max(0, limit - self._admission.in_flight)
        ahead = int(AHEAD_SECONDS * self._items_per_second) + 1
        return free * batch + max(ahead, batch) - self.backlog.fresh

    # dispatch

    async def _dispatch(self) -> None:
        loop, stats, admission = asyncio.get_running_loop(), self.stats, self._admission
        while True:
            now, since = loop.time(), stats.begin()
            if not self.checkpointer.has_room:
                await self.checkpointer.wait_for_room()
                stats.waited(Stall.CHECKPOINT, since)
                continue
            group = self.backlog.pop(now)
            if self._wanted() > 0:
                self._hungry.set()
            if group is None:
                if not admission.in_flight:
                    self.checkpointer.hurry()
                due = self.backlog.next_due()
                await self._wait(self._ready, HEARTBEAT if due is None else due - now)
                stats.waited(self._stall(), since)
                continue
            permit = await admission.acquire(self.attempts.tokens(group))
            stats.waited(admission.held, since)
            # While it waited for its permit its shard may have got a newer owner.
            group = [item for item in group if self.leases.holds(item.shard, item.epoch)]
            if not group:
                admission.release(permit, None)
                continue
            self.attempts.start(group, permit)
            stats.peak_in_flight = max(stats.peak_in_flight, admission.in_flight)

    def _stall(self) -> str:
        """Why there is nothing to send."""
        limit = self._admission.limit
        if self._admission.in_flight >= limit:
            return Hold.CALLS if limit else Hold.REST
        if not self._dry:
            return Stall.ITEMS
        return Stall.RETRIES if self.backlog.waiting else Stall.LEFT

    # heartbeat

    async def _heartbeat(self) -> None:
        before = self.stats.finished
        while True:
            await asyncio.sleep(HEARTBEAT)
            pairs = self.leases.pairs()
            if pairs:
                mine = await shards.renew(self.db, self.run.id, pairs)
                for lo, _ in pairs:
                    if lo not in mine and lo in self.leases:
                        self.fenced(lo)
            await self._say_totals()
            if self._failed_unchecked:
                self._failed_unchecked = False
                await self._check_failure_policy()
            done = self.stats.finished
            self._items_per_second = 0.5 * self._items_per_second + 0.5 * (done - before)
            before = done

    async def _say_totals(self) -> None:
        member = self.gate.member
        control = await runs.worker_seen(
            self.db,
            self.run.id,
            self.owner,
            self.slot,
            self.stats.snapshot(
                in_flight=self._admission.in_flight,
                concurrency=self._admission.limit,
                rate=member.rate,
                waits=member.held,
                explain=member.explain,
                blocked=self._processor.blocked(),
            ),
        )
        if control is None:  # the run was deleted
            self.stop(End.FINISHED)
            return
        if control["suspend"] or control["phase"] in ("Paused", "Suspended"):
            self.stop(End.PAUSED)
        elif control["phase"] != "Running":
            self.stop(End.FINISHED)
        elif control["revision"] != self.run.revision:
            self.stop(End.EDITED)

    async def _check_failure_policy(self) -> None:
        failed = (await runs.totals(self.db, self.run.id))["failed"] + self.run.bad
        why = tolerance.exceeded(self.spec.failure_policy, self.run.total, failed)
        if why is not None:
            await runs.set_phase(
                self.db,
                self.run.id,
                "Failed",
                since=("Running",),
                reason=tolerance.REASON,
                message=why,
            )
            self.stop(End.FINISHED)

    # events

    def _flushed(self, items: int, failed: int, seconds: float) -> None:
        self.stats.finished += items
        self._failed_unchecked = self._failed_unchecked or failed > 0
        self.stats.checkpoint_seconds += seconds
        self._hungry.set()

    def fenced(self, lo: int) -> None:
        """A shard has a newer owner: stop what belongs to it, and forget it."""
        self.leases.drop(lo)
        self.backlog.drop_shard(lo)
        self.checkpointer.drop_shard(lo)
        self.attempts.cancel_shard(lo)

    def _bug(self, error: BaseException) -> None:
        """An attempt ended in a way nobody foresaw: its items would never end."""
        if not self._ended.done():
            self._ended.set_exception(error)

    def _is_finished(self) -> bool:
        ended = self._ended
        return ended.done() and not ended.exception() and ended.result() is End.FINISHED

    @staticmethod
    async def _wait(event: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await event.wait()
        except TimeoutError:
            pass
        event.clear()
