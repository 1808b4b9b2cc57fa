"""The pace of requests: stated, told by headers, or learned from 429s. Pure; time is an argument.

A 429 says that the budget is empty now, so what was admitted over the last seconds is close to what
the limit allows. The pace goes a little below that, then grows back slowly towards the ceiling at
which the last 429 came, and past it more and more boldly when none comes.
"""

from __future__ import annotations

from collections import deque

from penstock.rate.headers import LimitHint
from penstock.rate.pacer import Pacer

FIRST_CUT = 0.85
MAX_CUT = 0.3
LOOK_BACK = 5.0
LONG_RETRY_AFTER = 3.0
WINDOW = 60.0
MAX_PAUSE = 20.0
GROW_EVERY = 1.0
BUCKET = 0.1


class LearnedPace:
    """Requests a second, with what was learned about them."""

    def __init__(self, stated: float | None) -> None:
        self._stated = stated
        self._pacer = Pacer(stated if stated is not None else float("inf"))
        self._ceiling = float("inf")
        self._floor = 0.0
        self._admitted: deque[list[float]] = deque()  # [time, how many], a tenth of a second each
        self._last_episode = float("-inf")
        self._cuts = 0
        self._empty_episodes = 0
        self._admitted_since = 0
        self._grown_at = float("-inf")
        self._raises = 0
        self._waited = False

    @property
    def rate(self) -> float:
        """Requests a second; infinity while nothing limits them."""
        return self._pacer.rate

    def scale(self, factor: float) -> None:
        """The worker's share changed: everything that is known scales with it."""
        self._pacer.rate *= factor
        self._ceiling *= factor
        self._floor *= factor
        if self._stated is not None:
            self._stated *= factor

    def wait(self, now: float) -> float:
        """Seconds until the next request may go."""
        seconds = self._pacer.wait(now)
        self._waited = self._waited or seconds > 0
        if self._pacer.rate != float("inf") and now - self._grown_at >= GROW_EVERY:
            self._grow(now)
        return seconds

    def take(self, now: float, jitter: float) -> None:
        """A request goes out."""
        self._pacer.take(now, 1.0, jitter)

    def admitted(self, now: float) -> None:
        """A request was let through by the far side."""
        self._admitted_since += 1
        if self._admitted and now - self._admitted[-1][0] < BUCKET:
            self._admitted[-1][1] += 1
            return
        self._admitted.append([now, 1])
        while self._admitted[0][0] < now - WINDOW:
            self._admitted.popleft()

    def throttled(self, now: float, retry_after: float | None) -> float:
        """A new episode of 429s; returns how many seconds to pause."""
        window = retry_after is not None and retry_after > LONG_RETRY_AFTER
        if self._stated is not None and not window:
            # The limit is known; the server only counts a little differently.
            self._pacer.rate = max(self._pacer.rate * 0.98, self._stated * 0.5)
        elif window:
            self._floor = self._ceiling = sum(n for _, n in self._admitted) / WINDOW
            self._pacer.rate = max(0.97 * self._floor, 1.0 / WINDOW)
        else:
            self._cut(now)
        self._empty_episodes = 0 if self._admitted_since else self._empty_episodes + 1
        self._admitted_since = 0
        self._last_episode = self._grown_at = now
        self._raises = 0
        if retry_after is not None:
            return retry_after
        first = 1.5 / self._pacer.rate if self._pacer.rate > 0 else MAX_PAUSE
        return min(max(first, 0.02) * 2.0**self._empty_episodes, MAX_PAUSE)

    def hinted(self, now: float, hint: LimitHint, share: float) -> bool:
        """Use what the headers say; False when they do not limit by the minute.

        The limit is taken as a minute's, corrected by how much of it is left (a full budget may be
        drawn on, an empty one must refill); 429s keep correcting it.
        """
        if self._stated is not None:
            return False
        a_second = hint.limit / 60.0
        refill = hint.rate
        if refill is not None and hint.remaining < hint.limit * 0.5 and refill < a_second * 0.25:
            return False  # a limit by the day, say: 429s have to teach the rest
        left = hint.remaining / hint.limit
        factor = min(max(1.0 + 0.6 * (left - 0.05), 0.6), 1.5)
        self._ceiling = a_second * share
        if now - self._last_episode > 2.0:
            self._pacer.rate = self._ceiling * factor
        return True

    def _cut(self, now: float) -> None:
        rate = self._pacer.rate
        span = LOOK_BACK
        if self._admitted:
            span = min(LOOK_BACK, max(now - self._admitted[0][0], 0.5))
        recent = sum(n for at, n in self._admitted if at >= now - span) / span
        if rate == float("inf"):
            self._ceiling = max(recent, 0.2)
            self._pacer.rate = FIRST_CUT * self._ceiling
            return
        close = now - self._last_episode < max(8.0, 40.0 / rate)
        self._cuts = self._cuts + 1 if close else 0
        self._ceiling = rate
        self._pacer.rate = max(rate * (1 - min(MAX_CUT, 0.02 * 2.0**self._cuts)), self._floor, 0.01)

    def _grow(self, now: float) -> None:
        if self._grown_at == float("-inf"):
            self._grown_at = now
        used, self._waited = self._waited, False
        quiet = now - self._grown_at
        self._grown_at = now
        if self._stated is not None:
            self._pacer.rate = min(self._stated, self._pacer.rate * 1.01)
        elif used and quiet < 10.0:
            rate = self._pacer.rate
            if rate < 0.93 * self._ceiling:
                self._pacer.rate = rate * 1.035
            elif rate < self._ceiling:
                self._pacer.rate = rate * 1.001
            else:
                self._raises += 1
                step = 0.005 * 2.0 ** max(0, self._raises // 4 - 3)
                self._pacer.rate = rate * (1 + min(step, 0.25))
