"""A Python function of the user's, in the mode that the manifest names.

Without `ctx` the function is the call: it passes the gate, which learns from how it ends. With it
the items only wait for a slot, and each request they make passes the gate (functions/gated.py).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from penstock import jsons
from penstock.errors import InputError
from penstock.rate.bounds import Outcome
from penstock.secrets import masker
from penstock.spec.job import BatchJob
from penstock.spec.processor import PythonProcessor
from penstock.work.failures import timed_out
from penstock.work.functions import machine, outcome
from penstock.work.functions.blocking import Watch
from penstock.work.functions.chunk import Chunk
from penstock.work.functions.context import ItemContext, Services, import_clients
from penstock.work.functions.current import CURRENT, INSIDE, Current, contain_subtasks
from penstock.work.functions.frames import told
from penstock.work.functions.load import (
    WHERE,
    Function,
    fit,
    home,
    initializer,
    load,
    open_path,
    roots,
)
from penstock.work.functions.pool import Pool
from penstock.work.functions.threads import in_threads
from penstock.work.gate import Admission, Gate, Slots
from penstock.work.processors.idempotency import idempotency_key
from penstock.work.types import (
    CallResult,
    Cost,
    Failure,
    FailureKind,
    Output,
    Usage,
    WorkItem,
)

log = logging.getLogger(__name__)

TARGET, TARGET_ASYNC = 0.1, 0.01
"""Seconds that a call of several quick items may last: in a process or a thread, on the loop."""
PART = 0.8
"""Of the memory there is, for all processes together."""
GRACE = 30.0
"""Seconds that a coroutine may take to end once its time is over and it was cancelled."""
STUCK = 5.0
"""Seconds beyond its timeout after which an item that blocks the event loop costs the worker."""


class FunctionProcessor:
    """Calls the function. `start` before the first call. workers: that share this machine."""

    def __init__(self, job: BatchJob, python: PythonProcessor, workers: int) -> None:
        self._python, self._source = python, job.spec.source
        self._result_set = job.result_set
        self._timeout = job.spec.retry.request_timeout
        self._slots = job.spec.scaling.concurrency.max
        self._in_process = python.mode == "process"
        self.processes = min(max(1, machine.cores() // workers), self._slots)
        self._memory = python.memory_limit or int(
            PART * machine.memory() / workers / self.processes
        )
        limit = job.spec.rate_limit
        counted = limit.requests_per_minute is not None or limit.pool is not None
        self._chunk = Chunk(
            TARGET if self._in_process or python.mode == "thread" else TARGET_ASYNC,
            1 if counted else job.spec.checkpoint.max_items,
        )
        self._mask = masker(os.environ)
        self._roots: list[str] = []
        self._function: Function | None = None
        self._pool: Pool | None = None
        self._services: Services | None = None
        self._watch: Watch | None = None
        self._deadlines: set[asyncio.Timeout] = set()

    @property
    def at_once(self) -> int | None:
        """As many as there are processes to do it."""
        return self.processes if self._in_process else None

    @property
    def max_items(self) -> int:
        """So many that a call lasts long enough to be worth its hand-over."""
        return self._chunk.size

    async def start(self, gate: Gate, on_call: Callable[[Outcome, float], None]) -> Admission:
        """Load the function, let the initializer run, start processes. Raises InputError."""
        if self._in_process:
            self._watch = Watch(self._roots, None, self._overdue)
            self._pool = self._new_pool(self._python.entrypoint, self._python.initializer)
            await self._pool.open()
            return gate
        open_path()
        self._roots = roots()
        self._function = load(self._python.entrypoint, self._python.kwargs)
        self._roots.append(home(self._python.entrypoint))
        fit(self._function, self._python.entrypoint, self._python.mode)
        if self._python.initializer is not None:
            await self._initialize(initializer(self._python.initializer))
        self._watch = Watch(self._roots, self._timeout + STUCK, self._overdue)
        if not self._function.is_async:
            return gate
        contain_subtasks()
        if not self._function.takes_context:
            return gate
        from penstock.sources.contents import Contents  # only here: it knows object stores

        await asyncio.to_thread(import_clients, self._function.call)
        self._services = Services(
            gate,
            on_call,
            connections=self._slots,
            timeout=self._timeout,
            read=Contents(self._source, Path.cwd(), os.environ).read,
            pool=lambda: self._new_pool(None, None),
        )
        return Slots(gate, self._slots)

    def cost(self, items: Sequence[WorkItem]) -> Cost:  # noqa: ARG002
        """Of what a function calls nothing is known before."""
        return Cost()

    def preview(self, item: WorkItem) -> dict[str, Any]:
        """The call as it would be made."""
        call: dict[str, Any] = {"function": self._python.entrypoint, "item": item.item}
        return {**call, "kwargs": self._python.kwargs} if self._python.kwargs else call

    def blocked(self) -> tuple[str, float] | None:
        """See `Processor`."""
        return self._watch.worst if self._watch is not None else None

    async def call(self, items: Sequence[WorkItem]) -> CallResult:
        """Call the function for each item, one after the other."""
        began = time.monotonic()
        usage, sent = Usage(), True
        if self._pool is not None:
            results = await self._pool.items([_taken(item) for item in items])
        elif self._services is not None:
            (item,) = items
            result, usage = await self._with_context(item, self._services)
            results, sent = [result], False
        else:
            assert self._function is not None
            if self._function.is_async:
                INSIDE.set(True)
                results = [
                    await self._awaited(self._function, item, asyncio.timeout(self._timeout))
                    for item in items
                ]
            else:
                values = [_taken(item) for item in items]
                results = await in_threads(self._judged, values, self._timeout)
        if sent:
            self._chunk.ended(len(items), time.monotonic() - began)
        if any(isinstance(one, Failure) and one.kind is FailureKind.THROTTLED for one in results):
            self._chunk.singly()
        failure = results[0] if len(results) == 1 and isinstance(results[0], Failure) else None
        return CallResult(results, usage, failure=failure, sent=sent, calls=len(items))

    async def aclose(self) -> None:
        """End the processes, close the connections."""
        if self._watch is not None:
            self._watch.close()
            log.info("the event loop stood still for at most %.0f ms", 1000 * self._watch.lag)
        if self._pool is not None:
            await self._pool.close()
        if self._services is not None:
            await self._services.aclose()

    def _judged(self, item: object) -> Output | Failure:
        assert self._function is not None
        try:
            return outcome.output(self._function.call(item, **self._python.kwargs))
        except BaseException as error:  # sys.exit too: it ends the item, not the worker
            return outcome.failure(error, self._roots, self._mask)

    async def _with_context(
        self, item: WorkItem, services: Services
    ) -> tuple[Output | Failure, Usage]:
        assert self._function is not None
        key = idempotency_key(self._result_set, [item])
        deadline = asyncio.timeout(self._timeout)
        current = Current(key, deadline)
        context = ItemContext(services, item.item_id, item.attempts + 1, current)
        CURRENT.set(current)  # of this call's own task, and of those that it starts
        INSIDE.set(True)
        try:
            result = await self._awaited(self._function, item, deadline, context)
        finally:
            current.over = True
        return result, current.usage

    async def _awaited(
        self, function: Function, item: WorkItem, deadline: asyncio.Timeout, *context: ItemContext
    ) -> Output | Failure:
        self._deadlines.add(deadline)
        try:
            async with deadline:
                value = await function.call(_taken(item), *context, **self._python.kwargs)
            return outcome.output(value)
        except TimeoutError as error:
            if deadline.expired():
                return timed_out(self._timeout)
            return outcome.failure(error, self._roots, self._mask)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return outcome.failure(error, self._roots, self._mask)  # it cancelled itself
        except BaseException as error:  # sys.exit too: it ends the item, not the worker
            return outcome.failure(error, self._roots, self._mask)
        finally:
            self._deadlines.discard(deadline)

    def _overdue(self, now: float) -> str:
        """What cannot be brought to its end, if there is such a thing: nothing but the end of the
        worker helps then."""
        late = (one.when() for one in self._deadlines if one.expired())
        if any(when is not None and now - when > GRACE for when in late):
            return f"{self._python.entrypoint} has not ended {GRACE:.0f} s after it was cancelled"
        return ""

    async def _initialize(self, begin: Callable[[], Any]) -> None:
        try:
            value = begin()
            if inspect.isawaitable(value):
                await value
        except (Exception, SystemExit) as error:
            text = f"{type(error).__name__}: {error}\n{told(error, self._roots)}"
            raise InputError.at(f"{WHERE}.initializer", self._mask(text)) from error

    def _new_pool(self, entrypoint: str | None, first: str | None) -> Pool:
        return Pool(
            self.processes,
            {"entrypoint": entrypoint, "initializer": first, "kwargs": self._python.kwargs},
            timeout=self._timeout,
            memory=self._memory,
            threads=max(1, machine.cores() // self.processes),
        )


def _taken(item: WorkItem) -> Any:
    """The item as it was read, each time: functions may change what they are given."""
    if item.fresh or not item.payload:
        item.fresh = False
        return item.item
    return jsons.loads(item.payload)
