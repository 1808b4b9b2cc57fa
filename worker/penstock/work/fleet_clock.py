"""The time that all workers of a pool have in common: the database's, told from its answers.

An answer says what the database's clock showed at some moment between question and answer; the
quicker the answer, the closer that is known. So the quickest of late ones counts. Pure: times are
arguments, in seconds; `local` is this process's monotonic clock.
"""

from __future__ import annotations

from collections import deque

REMEMBERED = 30.0
"""Seconds for which an answer counts: clocks drift apart, by some milliseconds in this time."""
SLOWEST = 0.9
"""Where the time is found to be ahead it goes on at this speed until it is right: never back, and
never at a standstill."""


class FleetClock:
    """Turns local time into the fleet's.

    guess: the fleet's time less the local one, for as long as nothing was heard (the difference of
    this machine's wall clock, say).
    """

    def __init__(self, guess: float) -> None:
        self._offset = guess
        self._heard: deque[tuple[float, float, float]] = deque()  # local time, round trip, offset
        self._shown: tuple[float, float] | None = None  # local time and what was said then
        self.error = float("inf")

    def heard(self, asked: float, answered: float, there: float) -> None:
        """The database's clock showed `there` between `asked` and `answered` (both local).

        `error` is then how far the time may be off, in seconds either way.
        """
        if not self._heard:
            self._shown = None  # whatever was said so far was a guess
        trip = max(answered - asked, 0.0)
        self._heard.append((answered, trip, there - (asked + answered) / 2))
        while answered - self._heard[0][0] > REMEMBERED:
            self._heard.popleft()
        _, trip, self._offset = min(self._heard, key=lambda one: one[1])
        self.error = trip / 2

    def at(self, local: float) -> float:
        """The fleet's time at a local time that is not before the last one asked for."""
        now = local + self._offset
        if self._shown is not None:
            before, shown = self._shown
            now = max(now, shown + SLOWEST * (local - before))
        self._shown = (local, now)
        return now
