"""Plain functions in threads: whatever they wait for, the event loop turns meanwhile.

A thread cannot be ended from outside. One that overstays its time is left behind, and its item
fails that attempt; so each call has a thread of its own, which nobody waits for at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from penstock.work.failures import timed_out
from penstock.work.types import Failure, Output

Judge = Callable[[object], Output | Failure]
"""Calls the function with an item, and says what became of it; never raises."""


@dataclass(slots=True)
class _Chunk:
    """What a thread has done. since: when it began its item."""

    results: list[Output | Failure] = field(default_factory=list)
    since: float = 0.0
    abandoned: bool = False


async def in_threads(
    judge: Judge, items: Sequence[object], seconds: float
) -> list[Output | Failure]:
    """What became of each item, one after the other; `seconds` for each."""
    results: list[Output | Failure] = []
    while len(results) < len(items):
        results += await _in_a_thread(judge, items[len(results) :], seconds)
    return results


async def _in_a_thread(
    judge: Judge, items: Sequence[object], seconds: float
) -> list[Output | Failure]:
    loop, chunk = asyncio.get_running_loop(), _Chunk(since=time.monotonic())
    done: asyncio.Future[None] = loop.create_future()

    def finish() -> None:
        if not done.done():
            done.set_result(None)

    def work() -> None:
        try:
            for item in items:
                chunk.since = time.monotonic()
                result = judge(item)
                if chunk.abandoned:
                    return
                chunk.results.append(result)
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
                loop.call_soon_threadsafe(finish)

    threading.Thread(target=work, daemon=True, name="penstock-function").start()
    while not done.done():
        left = chunk.since + seconds - time.monotonic()
        if left <= 0:
            chunk.abandoned = True
            return [*chunk.results, timed_out(seconds)][: len(items)]
        try:
            await asyncio.wait([done], timeout=left)
        except asyncio.CancelledError:
            chunk.abandoned = True
            raise
    return chunk.results
