"""The work queue: which key is due when. Nothing that was marked is lost, and no key is worked on
twice at the same time.

`Due` is the pure core, with time as an argument; `Queue` adds the clock and the waiting.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

log = logging.getLogger(__name__)
K = TypeVar("K", bound=Hashable)

FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0
"""Seconds until a key that failed is tried again: doubled with each failure in a row."""
PATIENCE = 120.0
"""Seconds that one piece of work may take."""


class Due(Generic[K]):
    """Keys with the time at which each is due. Times are seconds by any clock that only grows."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        self._busy: set[K] = set()
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._due.keys() | self._busy)

    def mark(self, key: K, at: float) -> None:
        """The key needs work at this time, or earlier when it was marked for earlier. While it is
        being worked on, the mark stays for afterwards: what is marked now was not seen then."""
        self._due[key] = min(at, self._due.get(key, at))

    def take(self, now: float) -> K | None:
        """The key that has been due for longest; it is not given out again before `done` or
        `failed`. None when nothing is due."""
        ready = [(at, key) for key, at in self._due.items() if at <= now and key not in self._busy]
        if not ready:
            return None
        _, key = min(ready, key=lambda entry: entry[0])
        del self._due[key]
        self._busy.add(key)
        return key

    def done(self, key: K, now: float, again: float | None) -> None:
        """The work on a key went well. again: seconds until it is to be worked on in any case."""
        self._busy.discard(key)
        self._failures.pop(key, None)
        if again is not None:
            self.mark(key, now + again)

    def failed(self, key: K, now: float) -> float:
        """The work on a key went wrong; returns the seconds until it is tried again."""
        self._busy.discard(key)
        count = self._failures[key] = self._failures.get(key, 0) + 1
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(count - 1, 16))
        self.mark(key, now + delay)
        return delay

    def next(self) -> float | None:
        """When something will be due that nobody works on."""
        return min((at for key, at in self._due.items() if key not in self._busy), default=None)


class Queue(Generic[K]):
    """A queue that several workers take from."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._due: Due[K] = Due()
        self._clock = clock
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def mark(self, key: K, delay: float = 0.0) -> None:
        """The key needs work, at the latest in so many seconds."""
        self._due.mark(key, self._clock() + delay)
        self._news.set()

    async def work(
        self,
        one: Callable[[K], Awaitable[float | None]],
        allowed: Callable[[], Awaitable[object]],
    ) -> None:
        """Be one of the workers, for ever. `one` does the work on a key and returns the seconds
        until the key is due again, None for not before it is marked. allowed: returns when work
        may be done."""
        while True:
            await allowed()
            key = await self._take()
            try:
                async with asyncio.timeout(PATIENCE):
                    again = await one(key)
            except Exception as error:
                delay = self._due.failed(key, self._clock())
                known = getattr(error, "exit_code", None) is not None
                log.warning(
                    "%s: %s; again in %.0f s",
                    key, error if str(error) else type(error).__name__, delay,
                    exc_info=None if known or isinstance(error, TimeoutError) else error,
                )  # fmt: skip
            else:
                self._due.done(key, self._clock(), again)
            self._news.set()

    async def _take(self) -> K:
        while True:
            key = self._due.take(self._clock())
            if key is not None:
                return key
            due = self._due.next()
            self._news.clear()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                    await self._news.wait()
            except TimeoutError:
                continue
