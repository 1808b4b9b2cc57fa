"""Who blocks the event loop: found out by a thread that looks at it, and named.

A coroutine that computes, or calls something that waits without `await`, holds up all other items
of its worker, its heartbeat and its checkpoints.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

from penstock.work.functions.frames import is_theirs, place

log = logging.getLogger(__name__)

TICK = 0.02
BLOCKED = 0.1
"""Seconds without a tick after which somebody is blamed."""
EXIT_STUCK = 70


class Watch:
    """Looks at the loop that it is started on. fatal: seconds after which a loop that does not turn
    ends the worker: its item is found out then, as for a crash.

    lag: the longest time, in seconds, that the loop did not turn. blocked: seconds by function.
    """

    def __init__(self, roots: Sequence[str], fatal: float) -> None:
        self.lag = 0.0
        self.blocked: dict[str, float] = {}
        self._roots, self._fatal = roots, fatal
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
        self._timer = self._loop.call_later(TICK, self._tick)

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
            if looked - since > self._fatal:
                log.error("%s has not come back for %.0f s; the worker ends", name, looked - since)
                logging.shutdown()
                os._exit(EXIT_STUCK)

    def _name(self) -> str | None:
        """The innermost of the user's functions that the loop's thread is in."""
        frame: FrameType | None = sys._current_frames().get(self._thread)
        while frame is not None:
            if is_theirs(frame.f_code, self._roots):
                return place(frame.f_code, frame.f_code.co_firstlineno, self._roots)
            frame = frame.f_back
        return None
