"""How many calls the whole fleet may have in flight: by the knee, or with room for a known pace.

Where a rate limit is what holds the calls back, the pace decides, and calls in flight only need
room. Where the pace is not reached although that room is used up, it is the far side that cannot
keep up: then the knee is looked for. Pure; times are seconds of one clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from penstock.rate.bounds import Bounds
from penstock.rate.knee import Knee

FULL, PACED, FREE = 0.95, 0.9, 0.7
"""Where FULL of the calls that may be in flight are, and less than PACED of the pace is sent, the
far side cannot keep up. It can again when the pace is sent with less than FREE of them."""
ROOM = 3.0
"""So many times the calls in flight that the pace needs may be, once it was reached."""
START = 16
"""Calls in flight at first where a pace is known: few enough for a far side that cannot keep it."""
GAIN, DRIFT = 0.2, 0.002
"""Part of a change of the latency that is taken in at once, and of a rise of the calm one: in a jam
it grows, and must not give room for more of it."""


class InFlight:
    """latency: seconds of a call of late; None while none has ended."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        known = bounds.requests_per_second is not None or bounds.tokens_per_second is not None
        self._knee = Knee(bounds.min_concurrency, bounds.max_concurrency)
        if known:
            self.begin_paced()
        self._members = 1
        self._allowed = 0
        self._by_knee = True
        self.latency: float | None = None
        self._calm: float | None = None

    def learned(self) -> dict[str, Any]:
        """What the next leader goes on with: calls in flight, whether they are at the knee, and the
        seconds of a call in calm."""
        return {"level": self._knee.level, "found": not self.climbing, "latency": self._calm}

    def start_from(self, learned: Mapping[str, Any]) -> None:
        """Go on where another leader stopped a moment ago."""
        least, most = self._bounds.min_concurrency, self._bounds.max_concurrency
        level = learned["level"]
        # For as many members as are needed for it; `allow` hears how many there are.
        self._members = max(1, math.ceil(level / most))
        least, most = least * self._members, most * self._members
        self._knee = Knee(least, most, home=level if learned["found"] else None, start=level)
        self.latency = self._calm = learned["latency"]

    def begin_paced(self) -> None:
        """The pace is known from the start; does nothing once anything was measured."""
        self._knee.begin_at(START)

    @property
    def climbing(self) -> bool:
        """Whether the knee is still looked for."""
        return self._knee.home is None

    @property
    def by_knee(self) -> bool:
        """Whether it is not a pace that holds the calls back."""
        return self._by_knee

    def explain(self) -> str:
        """In plain words, what is known of the knee."""
        return self._knee.explain()

    def allow(
        self,
        now: float,
        members: int,
        completed: int,
        busy: float,
        in_flight: float,
        *,
        pace: float | None,
        used: float,
        idle: bool,
    ) -> int:
        """Calls that may be in flight now.

        completed, busy: calls answered since the last time, and the sum of their seconds. pace:
        calls a second that a rate limit allows, None while none is known; used: the share of it
        that is sent. idle: nothing to send, or all is paused.
        """
        most = self._bounds.max_concurrency * members
        if members != self._members:
            self._members = members
            self._knee.resize(self._bounds.min_concurrency * members, most)
        if completed:
            self._hear(busy / completed)
        if pace is not None and used < PACED and in_flight >= FULL * self._allowed:
            self._by_knee = True
        elif pace is None or (used >= PACED and in_flight < FREE * self._allowed):
            self._by_knee = pace is None
        if self._by_knee or self._calm is None:
            self._allowed = self._knee.observe(now, completed, busy, in_flight, idle)
        else:
            self._knee.observe(now, completed, busy, in_flight, True)
            needed = math.ceil(ROOM * (pace or 0.0) * self._calm)
            self._allowed = min(max(needed, members), most)
        return self._allowed

    def _hear(self, latency: float) -> None:
        known = self.latency
        self.latency = latency if known is None else known + GAIN * (latency - known)
        if self._calm is None or self.latency < self._calm:
            self._calm = self.latency
        else:
            self._calm += DRIFT * (self.latency - self._calm)
