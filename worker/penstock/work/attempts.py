"""Attempts: one call for a group of items, and what follows from how it ended.

What follows is decided by `retry.decide` (pure); this puts it into effect: write the result, try
again later, try alone, split the group, pause the job.
"""

from __future__ import annotations

import asyncio
import logging
import random
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from penstock import jsons
from penstock.errors import Fenced
from penstock.rate.bounds import CallReport
from penstock.spec.job import Retry
from penstock.store.shards import ResultRow
from penstock.work import failures, retry
from penstock.work.backlog import Backlog
from penstock.work.batch import halves
from penstock.work.checkpoint import Checkpointer
from penstock.work.gate import Admission, Permit
from penstock.work.stats import WorkerStats
from penstock.work.types import CallResult, Failure, FailureKind, Output, Processor, WorkItem

log = logging.getLogger(__name__)

REFUSAL_PAUSE = 0.5
LAST_SECONDS = 3.0
"""For what is cancelled to end: code of others may not want to."""


class Attempts:
    """Calls in flight, and what becomes of their items.

    abandoned: so many did not end when they were cancelled, so that the process has to.
    """

    def __init__(
        self,
        processor: Processor,
        gate: Admission,
        backlog: Backlog,
        checkpointer: Checkpointer,
        stats: WorkerStats,
        policy: Retry,
        *,
        succeeded_before: bool,
        wake: Callable[[], None],
        on_bug: Callable[[BaseException], None],
        pause: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._processor, self._gate, self._backlog = processor, gate, backlog
        self._checkpointer, self._stats, self._policy = checkpointer, stats, policy
        self._succeeded_before = succeeded_before
        self._wake, self._on_bug, self._pause = wake, on_bug, pause
        self._refusals = 0
        self._refused_since = 0.0
        self._away_since: float | None = None
        self._running: dict[asyncio.Task[None], Sequence[WorkItem]] = {}
        self.abandoned = 0
        self._dropped: weakref.WeakSet[asyncio.Task[None]] = weakref.WeakSet()
        self._settled: dict[int, tuple[int, asyncio.Future[None]]] = {}

    def tokens(self, group: Sequence[WorkItem]) -> int:
        """Tokens to reserve for a call of these items."""
        return self._processor.cost(group).tokens

    def start(self, group: Sequence[WorkItem], permit: Permit) -> None:
        """Make the call in the background."""
        task = asyncio.create_task(self._attempt(group, permit))
        self._running[task] = group
        task.add_done_callback(self._done)

    async def idle(self) -> None:
        """Wait until no call is in flight, about to start, or waiting to be made again."""
        while self._running or len(self._backlog):
            if self._running:
                await asyncio.wait(list(self._running), return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(0.05)

    async def alone(self, item: WorkItem) -> None:
        """Do one item to its end, whatever that is. Raises Fenced when it is no longer ours."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settled[item.position] = (item.shard, future)
        self._backlog.add([item])
        self._wake()
        await future

    def cancel_shard(self, shard: int) -> None:
        """Stop the calls for a shard that has a newer owner. One that also carries items of other
        shards goes on for their sake."""
        for task, group in self._running.items():
            if all(item.shard == shard for item in group):
                self._drop(task)
        for position, (held, future) in list(self._settled.items()):
            if held == shard:
                del self._settled[position]
                if not future.done():
                    future.set_exception(Fenced(f"shard {shard} has a newer owner"))

    async def drain(self, seconds: float, hurry: asyncio.Event) -> None:
        """Wait for the calls in flight, at most so long and not once `hurry` is set, then cancel
        what is left."""
        ended = asyncio.gather(*self._running, return_exceptions=True)
        impatient = asyncio.ensure_future(hurry.wait())
        either: list[asyncio.Future[Any]] = [ended, impatient]
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        impatient.cancel()
        left = list(self._running)
        for task in left:
            self._drop(task)
        if left:
            _, pending = await asyncio.wait(left, timeout=LAST_SECONDS)
            self.abandoned = len(pending)

    def _drop(self, task: asyncio.Task[None]) -> None:
        self._dropped.add(task)
        task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_bug(error)

    async def _attempt(self, group: Sequence[WorkItem], permit: Permit) -> None:
        now = asyncio.get_running_loop().time
        began, report = now(), None
        try:
            result = await self._call(group)
            seconds = now() - began
            if result.sent:
                report = _report(result, permit)
            if report is not None and report.reached:
                self._away_since = None
                self._stats.call_ended(report.outcome, seconds, result.calls)
        finally:
            self._gate.release(permit, report)
        _add_usage(group, result)
        if result.failure is not None:
            await self._decide(group, result.failure, seconds)
        else:
            for item, end in zip(group, result.results, strict=True):
                if isinstance(end, Output):
                    self._succeed(item, end)
                else:
                    await self._decide([item], end, seconds, shared=len(group) > 1)
        self._wake()

    async def _call(self, group: Sequence[WorkItem]) -> CallResult:
        task = asyncio.current_task()
        try:
            return await self._processor.call(group)
        except asyncio.CancelledError:
            if task is None or task in self._dropped:
                raise
            # Nobody here did: code that the call ran into has. Its items must not be lost by that.
            while task.uncancel():
                pass
            failure = failures.dropped("the call was cancelled from inside")
            return CallResult([failure] * len(group), failure=failure, sent=False)
        except Exception as bug:
            log.exception("a call failed in a way that was not foreseen")
            reason = f"internal error: {type(bug).__name__}"
            failure = Failure(FailureKind.ERROR, reason, failures.clean(str(bug)))
            return CallResult([failure] * len(group), failure=failure, sent=False)

    async def _decide(
        self,
        group: Sequence[WorkItem],
        failure: Failure,
        seconds: float,
        *,
        shared: bool = False,
    ) -> None:
        now = asyncio.get_running_loop().time()
        if not failure.reached and self._away_since is None:
            self._away_since = now
        decision = retry.decide(
            failure,
            attempts=max(item.attempts for item in group) + 1,
            elapsed=max(item.elapsed for item in group) + seconds,
            size=len(group),
            policy=self._policy,
            succeeded_before=self._succeeded_before,
            away=0.0 if self._away_since is None else now - self._away_since,
            jitter=random.random(),
        )
        match decision:
            case retry.Again(after=after, counts=counts, elapses=elapses):
                for item in group:
                    item.attempts += counts
                    item.elapsed += seconds + after if elapses else 0.0
                    item.alone = item.alone or shared
                self._again(group, now + after)
            case retry.Split(after=after):
                for half in halves(group):
                    self._again(half, now + after)
            case retry.Pause() as pause:
                await self._pause_or_wait(group, pause, now)
            case retry.Fail(reason=reason):
                for item in group:
                    item.attempts += 1
                    self._fail(item, reason, failure.message)

    async def _pause_or_wait(
        self, group: Sequence[WorkItem], pause: retry.Pause, now: float
    ) -> None:
        if self._refusals == 0:
            self._refused_since = now
        self._refusals += 1
        self._again(group, now + REFUSAL_PAUSE)
        lasted = now - self._refused_since
        if self._refusals >= pause.refusals and lasted >= pause.lasting:
            await self._pause(pause.reason, pause.message)

    def _again(self, group: Sequence[WorkItem], at: float) -> None:
        self._stats.retries += 1
        self._backlog.again(group, at)

    def _succeed(self, item: WorkItem, output: Output) -> None:
        text = output.text
        try:
            text = jsons.dumps(output.value) if text is None else text
        except ValueError as error:
            self._fail(item, "output is not JSON", str(error))
            return
        self._succeeded_before = True
        self._away_since = None
        self._refusals = 0
        item.attempts += 1
        self._end(item, succeeded=True, output=text)

    def _fail(self, item: WorkItem, reason: str, message: str) -> None:
        self._end(item, succeeded=False, reason=reason, error=message or None)

    def fail_unsent(self, item: WorkItem, reason: str, message: str) -> None:
        """End an item as failed without a call."""
        self._fail(item, reason, message)

    def _end(
        self,
        item: WorkItem,
        *,
        succeeded: bool,
        reason: str | None = None,
        error: str | None = None,
        output: str | None = None,
    ) -> None:
        row = ResultRow(
            shard=item.shard,
            position=item.position,
            item_id=item.item_id,
            fingerprint=item.fingerprint,
            succeeded=succeeded,
            attempts=item.attempts,
            reason=_storable(reason),
            error=_storable(error),
            output=output,
            prompt_tokens=item.prompt_tokens,
            completion_tokens=item.completion_tokens,
        )
        self._checkpointer.add(row, item.epoch)
        waiter = self._settled.pop(item.position, None)
        if waiter is not None and not waiter[1].done():
            waiter[1].set_result(None)


def _report(result: CallResult, permit: Permit) -> CallReport:
    failure = result.failure
    used = result.usage.prompt_tokens + result.usage.completion_tokens
    return CallReport(
        outcome=failures.outcome(failure),
        sent_at=permit.sent_at,
        retry_after=failure.retry_after if failure is not None else None,
        headers=result.headers,
        tokens=permit.tokens,
        used_tokens=used or None,
        reached=failure is None or failure.reached,
    )


def _add_usage(group: Sequence[WorkItem], result: CallResult) -> None:
    """Spread a call's tokens evenly over its items; the first ones get what does not divide."""
    count = len(group)
    for index, item in enumerate(group):
        item.prompt_tokens += _part(result.usage.prompt_tokens, count, index)
        item.completion_tokens += _part(result.usage.completion_tokens, count, index)


def _part(total: int, count: int, index: int) -> int:
    return total // count + (index < total % count)


def _storable(text: str | None) -> str | None:
    """PostgreSQL text holds no NUL."""
    return text.replace("\x00", "\\0") if text else text
