"""What a far side let through of late, over the whole fleet: admissions in order, with totals.

Amounts are in the units of one dimension: calls, or tokens. Pure; times are seconds of one clock.
"""

from __future__ import annotations

from bisect import bisect_right

KEEP = 190.0
"""Seconds that are kept: three times the longest window that is looked for. Refusals of so long as
two of them are compared, each by the window before it."""


class Journal:
    """Admissions, added in the order of their times. total: units admitted since it began."""

    def __init__(self) -> None:
        self.total = 0.0
        self.first: float | None = None
        self._times: list[float] = []
        self._totals: list[float] = []
        self._forgotten = 0.0

    def admit(self, at: float, units: float) -> None:
        """So much was let through."""
        if self.first is None:
            self.first = at
        self.total += units
        self._times.append(at)
        self._totals.append(self.total)
        if len(self._times) % 1024 == 0:
            self._forget(at - KEEP)

    def until(self, time: float) -> float:
        """Units let through until then, since it began; of a time that is no longer kept, until the
        first that is."""
        index = bisect_right(self._times, time)
        return self._totals[index - 1] if index else self._forgotten

    def between(self, after: float, until: float) -> float:
        """Units let through at times in (after, until], as far back as is kept."""
        return self.until(until) - self.until(after)

    def _forget(self, before: float) -> None:
        index = bisect_right(self._times, before)
        if index:
            self._forgotten = self._totals[index - 1]
            del self._times[:index], self._totals[:index]
