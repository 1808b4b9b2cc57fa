"""The gate: what every call passes before it goes out. Puts the rate decisions into effect.

`RateController` decides (pure); the gate waits, counts what is in flight and reports back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from penstock.rate.controller import CallReport, RateController


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one call. sent_at: event-loop seconds. tokens: what was reserved."""

    sent_at: float
    tokens: int


class Gate:
    """Admission of calls, one at a time and in order."""

    def __init__(self, controller: RateController, rng: Callable[[], float] = random.random):
        self.controller = controller
        self.in_flight = 0
        self._rng = rng
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()

    async def acquire(self, tokens: int) -> Permit:
        """Wait until a call that needs `tokens` may go, and let it."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            while True:
                now = loop.time()
                seconds = self.controller.wait(now, self.in_flight)
                if seconds is not None and seconds <= 0:
                    break
                self._changed.clear()
                try:
                    # A pause may be cut short by a limit that rises: look again once a second.
                    async with asyncio.timeout(1.0 if seconds is None else min(seconds, 1.0)):
                        await self._changed.wait()
                except TimeoutError:
                    pass
            self.in_flight += 1
            self.controller.sent(now, tokens, 0.9 + 0.2 * self._rng())
            return Permit(now, tokens)

    def release(self, report: CallReport | None) -> None:
        """The call ended; None when it was cancelled and says nothing about the far side."""
        if report is not None:
            now = asyncio.get_running_loop().time()
            self.controller.ended(now, report, self.in_flight)
        self.in_flight -= 1
        self._changed.set()
