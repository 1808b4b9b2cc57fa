"""A far side that says it is overloaded (503, 529): slower, if that helps.

Unlike a 429 this measures no limit. Some answers of this kind come from one machine of many, or on
their way, whatever the pace: nothing is gained by going slower then. So the pace is cut to a little
less than what passed when their share is large, rises again when it is small, and is let go when it
came down to a part of what it was and their share did not. Pure; seconds of one clock.
"""

from __future__ import annotations

import math

from penstock.rate.pacer import Pacer

SPAN, FEW = 1.0, 40
"""Seconds and calls over which the share is taken, at least."""
TOLERATED, ABOVE, FORGET = 0.1, 1.5, 0.9998
"""Share of the calls that may end like that. Where cuts do not help, ABOVE the share there is; that
is forgotten a little with each span."""
NOISE = 2.0
"""Standard errors by which the share may be larger by chance, where nothing was cut yet."""
GAP = 10.0
"""Seconds without an answer, as in a pause, after which what was found before counts no more."""
CUT, PART, HELPED = 0.9, 0.2, 0.8
"""Of what passed, once the share is too large. Where no more than PART of what was sent before is
sent, and the share is not below HELPED of what it was, the pace is not what it comes from."""
RISE, GROWTH, MOST_RISE = 0.02, 1.6, 1.0
"""Of the pace, the first rise after a cut; how much larger each next one is; the largest."""
FREE = 1.3
"""Times what is sent: a pace so high holds nothing back."""


class Overload:
    """One worker's pace before an overloaded far side; none at first."""

    def __init__(self) -> None:
        self._pacer = Pacer()
        self._began: float | None = None
        self._last = 0.0
        self._passed = self._refused = 0
        self._tolerated = TOLERATED
        self._before: tuple[float, float] | None = None
        self._rise = RISE

    @property
    def slow(self) -> bool:
        """Whether it holds calls back."""
        return not math.isinf(self._pacer.rate)

    def wait(self, now: float) -> float:
        """Seconds until the next call may go."""
        return self._pacer.wait(now) if self.slow else 0.0

    def sent(self, now: float) -> None:
        """A call goes out."""
        self._pacer.take(now, 1.0)

    def ended(self, now: float, *, refused: bool) -> None:
        """A call was answered; refused: by a far side that is overloaded."""
        if self._began is None or now - self._last > GAP:
            self._began, self._passed, self._refused = now, 0, 0
            self._pacer.rate = math.inf
        self._last = now
        self._refused += refused
        self._passed += not refused
        seconds, calls = now - self._began, self._passed + self._refused
        if seconds < SPAN or calls < FEW:
            return
        share = self._refused / calls
        chance = 0.0 if self.slow else NOISE * math.sqrt(self._tolerated / calls)
        if share <= self._tolerated + chance:
            self._before = None
            self._pacer.rate *= 1 + self._rise
            self._rise = min(GROWTH * self._rise, MOST_RISE)
            if self._pacer.rate > FREE * calls / seconds:
                self._pacer.rate = math.inf
        else:
            self._rise = RISE
            self._before = self._before or (calls / seconds, share)
            sent, was = self._before
            if calls / seconds <= PART * sent and share >= HELPED * was:
                self._before = None
                self._tolerated = min(1.0, ABOVE * share)
                self._pacer.rate = math.inf
            elif self._passed:  # where nothing passes there is no pace to find
                self._pacer.rate = CUT * self._passed / seconds
        self._tolerated = max(TOLERATED, FORGET * self._tolerated)
        self._began, self._passed, self._refused = now, 0, 0
