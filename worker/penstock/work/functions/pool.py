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

from penstock.errors import InputError
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

    async def open(self) -> None:
        """Start them all now. Raises InputError when the function cannot be loaded."""
        started = await asyncio.gather(
            *(self._start() for _ in range(self.count)), return_exceptions=True
        )
        self._free = [one for one in started if isinstance(one, Process)]
        for one in started:
            if isinstance(one, ProcessEnded):
                raise InputError.at("spec.processor.python", str(one)) from one
            if isinstance(one, BaseException):
                raise one

    async def close(self) -> None:
        """End them all and wait until they are gone."""
        if self._watching is not None:
            self._watching.cancel()
        known = [*self._free, *self._busy]
        self._free = []
        await asyncio.gather(*(process.close() for process in known))

    async def items(self, items: Sequence[Any]) -> list[Output | Failure]:
        """The output of each item, or why there is none."""
        results: list[Output | Failure | None] = [None] * len(items)
        while open_ones := [index for index, one in enumerate(results) if one is None]:
            try:
                async with self._taken() as process:
                    found = await process.items([items[index] for index in open_ones])
            except (InputError, ProcessEnded) as error:
                failure = Failure(FailureKind.ERROR, NO_START, str(error))
                found = [failure] * len(open_ones)
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
                process = self._free.pop() if self._free else await self._start()
            self._busy.add(process)
            try:
                yield process
            finally:
                self._busy.discard(process)
                if not process.alive or process.resident() > WORN * self._memory:
                    await asyncio.shield(process.close())
                else:
                    self._free.append(process)
        finally:
            self._turn.release()

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
