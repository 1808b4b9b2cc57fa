"""The three ways in which providers count: token bucket, sliding window, fixed window.

Pure: the time is an argument, in seconds of any clock that does not go back. A call costs some
units (1 request, or its tokens). One that costs more than the limit can ever hold is let through
when the limit is untouched, so that a client with one large item is slowed down, not stuck.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

from penstock.simulate.options import SimulatorConfig

_FUZZ = 1e-9  # a client that waits exactly as long as it was told must not fail on rounding


class Limiter(Protocol):
    """One limit on one dimension (requests or tokens) of one client."""

    limit: float
    """What the `x-ratelimit-limit-*` header says."""
    per_minute: float
    """What the limit really lets through in the long run (windows hold whole units)."""

    def wait(self, now: float, cost: float) -> float:
        """Seconds until a call of this cost would be let through; 0 when it would be now."""
        ...

    def take(self, now: float, cost: float) -> None:
        """Count a call that was let through."""
        ...

    def take_refused(self, now: float, cost: float) -> None:
        """Count a call that was refused, for providers that do so."""
        ...

    def remaining(self, now: float) -> float:
        """Units left at this instant, never negative."""
        ...

    def reset(self, now: float) -> float:
        """Seconds until the limit is untouched again if nothing more is sent."""
        ...

    def change(self, now: float, per_minute: float) -> None:
        """From now on so many units a minute are let through; what is used stays used."""
        ...


class TokenBucket:
    """Fills evenly and holds `depth` seconds' worth (at least one unit); starts full."""

    def __init__(self, per_minute: float, depth: float) -> None:
        self._depth = depth
        self._set(per_minute)
        self._level = self.capacity
        self._at = -math.inf

    def wait(self, now: float, cost: float) -> float:
        missing = min(cost, self.capacity) - self._fill(now)
        return missing / self.rate if missing > _FUZZ else 0.0

    def take(self, now: float, cost: float) -> None:
        self._level = self._fill(now) - cost

    def take_refused(self, now: float, cost: float) -> None:
        # Never into debt: whoever stops hammering is served again after one refill.
        level = self._fill(now)
        self._level = min(level, max(0.0, level - cost))

    def remaining(self, now: float) -> float:
        return max(0.0, self._fill(now))

    def reset(self, now: float) -> float:
        return (self.capacity - self._fill(now)) / self.rate

    def change(self, now: float, per_minute: float) -> None:
        level = self._fill(now)
        self._set(per_minute)
        self._level = min(level, self.capacity)

    def _set(self, per_minute: float) -> None:
        self.limit = self.per_minute = per_minute
        self.rate = per_minute / 60
        self.capacity = max(1.0, self.rate * self._depth)

    def _fill(self, now: float) -> float:
        if now > self._at:
            self._level = min(self.capacity, self._level + (now - self._at) * self.rate)
            self._at = now
        return self._level


class SlidingWindow:
    """At most so many units in any `window` seconds: each counts for `window` after it came."""

    def __init__(self, per_minute: float, window: float) -> None:
        self.window = window
        self._set(per_minute)
        self._used = 0.0
        self._events: deque[tuple[float, float]] = deque()

    def wait(self, now: float, cost: float) -> float:
        self._expire(now)
        excess = self._used + min(cost, self.limit) - self.limit
        if excess <= _FUZZ:
            return 0.0
        for at, units in self._events:
            excess -= units
            if excess <= _FUZZ:
                return at + self.window - now
        raise AssertionError("the events in the window add up to what is used")

    def take(self, now: float, cost: float) -> None:
        self._expire(now)
        self._events.append((now, cost))
        self._used += cost

    def take_refused(self, now: float, cost: float) -> None:
        self.take(now, cost)
        # What is older than a full window's worth decides nothing any more: keeps the log bounded
        # however hard a client hammers.
        while self._used - self._events[0][1] >= self.limit:
            self._used -= self._events.popleft()[1]

    def remaining(self, now: float) -> float:
        self._expire(now)
        return max(0.0, self.limit - self._used)

    def reset(self, now: float) -> float:
        self._expire(now)
        return self._events[-1][0] + self.window - now if self._events else 0.0

    def change(self, now: float, per_minute: float) -> None:  # noqa: ARG002
        self._set(per_minute)

    def _set(self, per_minute: float) -> None:
        self.limit = _window_limit(per_minute, self.window)
        self.per_minute = self.limit * 60 / self.window

    def _expire(self, now: float) -> None:
        # The same sum as in `wait`, so that a client that waits as long as told finds it expired.
        while self._events and self._events[0][0] + self.window - now <= _FUZZ:
            self._used -= self._events.popleft()[1]


class FixedWindow:
    """At most so many units between one tick of the clock's `window` and the next."""

    def __init__(self, per_minute: float, window: float) -> None:
        self.window = window
        self._set(per_minute)
        self._used = 0.0
        self._number = -1

    def wait(self, now: float, cost: float) -> float:
        self._turn(now)
        if self._used + min(cost, self.limit) <= self.limit + _FUZZ:
            return 0.0
        return self._left(now)

    def take(self, now: float, cost: float) -> None:
        self._turn(now)
        self._used += cost

    def take_refused(self, now: float, cost: float) -> None:
        self.take(now, cost)

    def remaining(self, now: float) -> float:
        self._turn(now)
        return max(0.0, self.limit - self._used)

    def reset(self, now: float) -> float:
        self._turn(now)
        return self._left(now) if self._used else 0.0

    def change(self, now: float, per_minute: float) -> None:  # noqa: ARG002
        self._set(per_minute)

    def _set(self, per_minute: float) -> None:
        self.limit = _window_limit(per_minute, self.window)
        self.per_minute = self.limit * 60 / self.window

    def _left(self, now: float) -> float:
        return max(_FUZZ, (self._number + 1) * self.window - now)

    def _turn(self, now: float) -> None:
        number = math.floor(now / self.window + _FUZZ)
        if number > self._number:
            self._number, self._used = number, 0.0


def build(config: SimulatorConfig, per_minute: float) -> Limiter:
    """A fresh limiter of the configured kind for so many units a minute."""
    if config.limit == "token":
        return TokenBucket(per_minute, config.depth)
    if config.limit == "sliding":
        return SlidingWindow(per_minute, config.window)
    return FixedWindow(per_minute, config.window)


def _window_limit(per_minute: float, window: float) -> float:
    return float(max(1, math.floor(per_minute * window / 60 + _FUZZ)))
