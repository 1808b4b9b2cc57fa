"""Who blocks the event loop: found out by a thread that looks at it, and named.

A coroutine that computes, or calls something that waits without `await`, holds up all other items
of its worker, its heartbeat and its checkpoints.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from penstock.work.functions.frames import is_theirs, place

log = logging.getLogger(__name__)

TICK = 0.02
BLOCKED = 0.1
"""Seconds without a tick after which somebody is blamed."""
ARM, LATER = 1.0, 5.0
"""Seconds between two looks from the loop itself; of grace for the thread that knows a name."""
EXIT_STUCK = 70


def _end(why: str) -> NoReturn:
    log.error("%s; the worker ends", why)
    logging.shutdown()
    os._exit(EXIT_STUCK)


class Watch:
    """Looks at the loop that it is started on. fatal: seconds after which a loop that does not turn
    ends the worker: its item is found out then, as for a crash; None where no function runs on it.
    overdue: asked now and then for what ends the worker, too.

    lag: the longest time, in seconds, that the loop did not turn. blocked: seconds by function.
    """

    def __init__(
        self, roots: Sequence[str], fatal: float | None, overdue: Callable[[float], str]
    ) -> None:
        self.lag = 0.0
        self.blocked: dict[str, float] = {}
        self._roots, self._fatal, self._overdue = roots, fatal, overdue
        self._armed = float("-inf")
        self._loop = asyncio.get_running_loop()
        self._ticked = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.get_ident()
        self._timer = self._loop.call_later(TICK, self._tick)
        self._looker = threading.Thread(target=self._look, daemon=True, name="penstock-watch")
        self._looker.start()

    def close(self) -> None:
        """Stop looking."""
        self._timer.cancel()
        faulthandler.cancel_dump_traceback_later()
        self._over.set()
        self._looker.join()

    @property
    def worst(self) -> tuple[str, float] | None:
        """The function that blocked it longest, and for how many seconds; None for nobody."""
        told = dict(self.blocked)
        return max(told.items(), key=lambda one: one[1]) if told else None

    def _tick(self) -> None:
        now = time.monotonic()
        self.lag = max(self.lag, now - self._ticked - TICK)
        self._ticked = now
        if now > self._armed + ARM:
            self._armed = now
            self._arm()
        self._timer = self._loop.call_later(TICK, self._tick)

    def _arm(self) -> None:
        """A function in C that keeps Python's lock lets no other thread look: this one needs none,
        writes where everything stands, and ends the process."""
        if self._fatal is not None:
            faulthandler.dump_traceback_later(self._fatal + LATER, exit=True, file=2)
        late = self._overdue(self._loop.time())
        if late:
            _end(late)

    def _look(self) -> None:
        looked = time.monotonic()
        while not self._over.wait(TICK):
            before, looked = looked, time.monotonic()
            since = self._ticked
            if looked - since < BLOCKED or looked - before > BLOCKED:
                continue  # all is well; or it was this thread that did not get to run
            name = self._name()
            if name is None:
                continue
            if name not in self.blocked:
                log.warning(
                    "%s blocks the event loop, and with it all other items of this worker: use "
                    "mode: process, or ctx.process for the part that computes",
                    name,
                )
            new = looked - max(since, before) if name in self.blocked else looked - since
            self.blocked[name] = self.blocked.get(name, 0.0) + new
            if self._fatal is not None and looked - since > self._fatal:
                _end(f"{name} has not come back for {looked - since:.0f} s")

    def _name(self) -> str | None:
        """The innermost of the user's functions that the loop's thread is in."""
        frame: FrameType | None = sys._current_frames().get(self._thread)
        while frame is not None:
            if is_theirs(frame.f_code, self._roots):
                return place(frame.f_code, frame.f_code.co_firstlineno, self._roots)
            frame = frame.f_back
        return None
