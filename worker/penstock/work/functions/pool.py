"""A worker's processes: as many as it has cores, each with the user's function loaded.

What a function does to its process (a crash, a hang, a leak) costs its item an attempt. The items
behind it in the same chunk go to another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from penstock.errors import InputError, PenstockError
from penstock.work.functions.outcome import ProcessEnded
from penstock.work.functions.process import Process
from penstock.work.types import Failure, FailureKind, Output

log = logging.getLogger(__name__)

LOOK = 0.05
"""Seconds between looks at the processes that work."""
WORN = 0.75
"""Of its memory limit: a process that keeps more than that after an item gives way to a new one."""
STARTS = 3
"""A process that ends as often before it is ready will not start at all."""
NO_START = "no process starts"
ENDED = "its process ended before it could begin"


class Pool:
    """Processes for one function.

    told: entrypoint, initializer and kwargs. timeout: seconds an item may take. memory: bytes that
    a process may have. threads: that numeric libraries may start in each.
    """

    def __init__(
        self, count: int, told: Mapping[str, Any], *, timeout: float, memory: int, threads: int
    ) -> None:
        self.count = count
        self._told, self._timeout, self._memory, self._threads = told, timeout, memory, threads
        self._turn = asyncio.Semaphore(count)
        self._free: list[Process] = []
        self._busy: set[Process] = set()
        self._watching: asyncio.Task[None] | None = None
        self._closed = self._worn = False

    async def open(self) -> None:
        """Start them all now. Raises InputError when the function cannot be loaded,
        PenstockError when processes end at once."""
        started = await asyncio.gather(
            *(self._start() for _ in range(self.count)), return_exceptions=True
        )
        self._free = [one for one in started if isinstance(one, Process)]
        for one in started:
            if isinstance(one, ProcessEnded):
                raise PenstockError(f"a process for functions does not start: {one}") from one
            if isinstance(one, BaseException):
                raise one

    async def close(self) -> None:
        """End them all and wait until they are gone."""
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
        known = [*self._free, *self._busy]
        self._free = []
        await asyncio.gather(*(process.close() for process in known))

    async def items(self, items: Sequence[Any]) -> list[Output | Failure]:
        """The output of each item, or why there is none."""
        results: list[Output | Failure | None] = [None] * len(items)
        vain = 0
        while open_ones := [index for index, one in enumerate(results) if one is None]:
            try:
                async with self._taken() as process:
                    found = await process.items([items[index] for index in open_ones])
            except (InputError, ProcessEnded) as error:
                failure = Failure(FailureKind.ERROR, NO_START, str(error))
                found = [failure for _ in open_ones]
            vain = vain + 1 if not any(found) else 0
            if vain >= STARTS:  # it ends before it can say what it is at: receiving it is too much
                found[0] = Failure(FailureKind.ERROR, ENDED)
            for index, one in zip(open_ones, found, strict=True):
                results[index] = one
        return [one for one in results if one is not None]

    async def call(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> Any:
        """What `function` returns in a process. Raises what it raises, ProcessEnded, InputError.

        waiting: entered while there is no free process.
        """
        async with self._taken(waiting) as process:
            return await process.call(function, args, kwargs)

    @contextlib.asynccontextmanager
    async def _taken(
        self, waiting: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    ) -> AsyncIterator[Process]:
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        with waiting():
            await self._turn.acquire()
        try:
            with waiting():
                process = await self._next()
            self._busy.add(process)
            try:
                yield process
            finally:
                self._busy.discard(process)
                if not process.alive or self._is_worn(process) or self._closed:
                    await asyncio.shield(process.close())
                else:
                    self._free.append(process)
        finally:
            self._turn.release()

    async def _next(self) -> Process:
        if self._closed:
            raise ProcessEnded(Failure(FailureKind.ERROR, "the worker ends"))
        while self._free:
            process = self._free.pop()
            if process.alive:
                return process
            await process.close()  # it died while it had nothing to do
        return await self._start()

    def _is_worn(self, process: Process) -> bool:
        resident = process.resident()
        if resident <= WORN * self._memory:
            return False
        if not self._worn:
            log.warning(
                "a process keeps %.0f MiB of the %.0f that it may have (python.memoryLimit); such "
                "ones are replaced",
                resident / 2**20,
                self._memory / 2**20,
            )
        self._worn = True
        return True

    async def _start(self) -> Process:
        for left in reversed(range(STARTS)):
            try:
                return await Process.start(self._told, self._threads)
            except ProcessEnded:
                if not left:
                    raise
        raise AssertionError("it starts or says why not")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            for process in self._busy:
                process.check(self._timeout, self._memory)
