"""Pacing: at most so much a second, evenly, with no burst saved up (GCRA).

The generic cell rate algorithm keeps one number, the theoretical arrival time `tat`: the moment at
which everything let through so far would have been let through at exactly the rate (ITU-T I.371).
Pure: time is an argument, in seconds of any one clock.
"""

from __future__ import annotations

import math

LATE = 0.05
"""Seconds by which a call may come late without delaying those after it: timers are never exact."""


class Pacer:
    """Lets cost pass at a rate. rate: cost units a second; infinity lets everything pass."""

    def __init__(self, rate: float = float("inf")) -> None:
        self.rate = rate
        self._tat = float("-inf")

    def wait(self, now: float) -> float:
        """Seconds until the next one may pass; 0 when it may now."""
        return max(0.0, self._tat - now)

    def take(self, now: float, cost: float) -> None:
        """Let one of this cost pass."""
        if self.rate != float("inf"):
            self._tat = max(self._tat, now - LATE) + cost / self.rate

    def change(self, now: float, rate: float) -> None:
        """Go on at another rate; what is left to wait is of the new one."""
        if self._tat > now:
            self._tat = now + (self._tat - now) * min(self.rate / rate, 1.0)
        self.rate = rate

    def give_back(self, cost: float) -> None:
        """Correct a cost that turned out smaller (or, negative, larger) than was taken."""
        if self.rate != float("inf") and self._tat != float("-inf"):
            self._tat -= cost / self.rate

    def rest(self) -> None:
        """Let the next one pass at once."""
        self._tat = float("-inf")

    def fall_in(self, now: float, phase: float) -> None:
        """Pass at multiples of 1/rate, shifted by phase (a fraction of it): pacers of one rate with
        phases 0, 1/n, 2/n … take turns. Costs at most one turn."""
        if self.rate == float("inf"):
            return
        turn = 1 / self.rate
        if self._tat < now + turn:
            slot = (math.ceil(now / turn - phase) + phase) * turn
            self._tat = slot if slot >= self._tat - turn / 2 else slot + turn
