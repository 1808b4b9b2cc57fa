"""One dimension of a limit, calls or tokens: from what happened to the pace. Pure; seconds.

The fleet's calls come in the order in which they were sent, each once it is known whether it was
admitted. Until the first refusal the pace doubles while it is used (slow start); from then on it is
measured (rate/estimate.py) and probed (rate/probe.py).
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from penstock.rate.episodes import Episode, Mark, account
from penstock.rate.estimate import LimitEstimate
from penstock.rate.journal import Journal
from penstock.rate.loss import LossBudget
from penstock.rate.probe import Probe

START = 64.0
"""Units a second at first."""
DOUBLE_EVERY = 0.18
DOUBLE_WHEN, QUICK = 0.6, 250.0
"""Of the pace: used that much, it doubles, and is four times as much where it is so many calls a
second already: few limits are as high as that."""
LOOK_BACK = 8.0
DENSE_SECONDS, DENSE_CALLS = 1.0, 16.0
DENSE_LEAST, DENSE_REFUSED, DENSE_SHARE = 10, 5, 0.25
SAFE = 0.99
COMPARED = 6
"""Resumptions by which accounts are compared."""
GUESSED = 0.02
"""Doubt about a limit that was learned elsewhere or earlier."""
SLOWEST = 0.02
BELOW_STATED = 0.9995


class Dimension:
    """A limit that is learned. grain: units of a call. ceiling: units a second that are stated; the
    pace never passes it, and it is the first guess. start: units a second at first. passive: what
    is refused now is not thought to be for this limit. told_until: when the far side said that
    something would pass again."""

    def __init__(
        self, grain: float = 1.0, ceiling: float | None = None, start: float = START
    ) -> None:
        self.grain = grain
        self._ceiling = ceiling
        self.journal = Journal()
        self.limit = LimitEstimate(grain)
        self.loss = LossBudget()
        self.probe = Probe(start, math.inf if ceiling is None else ceiling * BELOW_STATED)
        self.starting = True
        self.passive = False
        self.told_until = 0.0
        self.episodes = 0
        self._blocked: float | None = None
        self._refusals = 0
        self._refused_at = 0.0
        self._doubled = 0.0
        self._last_total = 0.0
        self._latest: deque[Mark] = deque(maxlen=COMPARED)
        self._recent: deque[tuple[float, float, bool]] = deque()
        self._sent = 0.0
        if ceiling is not None:
            self.start_from({"rate": ceiling}, 0.0)

    @property
    def pace(self) -> float:
        """Units a second to send at; infinity while nothing speaks for such a limit."""
        if self.passive and self.limit.rate is None:
            return math.inf
        return self.probe.pace

    @property
    def safe(self) -> float:
        """Units a second to send at when nobody watches: a little below the limit."""
        if self.limit.rate is None or (self.passive and self._ceiling is None):
            return self.pace
        return min(self.pace, (SAFE - self.limit.doubt) * self.limit.rate)

    @property
    def blocked(self) -> int:
        """Refusals in a row that were the latest to be known; 0 when something was admitted."""
        return self._refusals if self._blocked is not None else 0

    def call(self, at: float, units: float, *, admitted: bool) -> None:
        """A call that was sent at this time; times never go back."""
        self._recent.append((at, units, admitted))
        self._sent += units
        if not admitted:
            if self._blocked is None:
                self._blocked, self._refusals = at, 0
            self._refusals += 1
            self._refused_at = at
            return
        if self._blocked is not None:
            self._resume(at)
        self.journal.admit(at, units)

    def tick(self, now: float) -> None:
        """Everything that was sent until now is known."""
        while self._recent and self._recent[0][0] < now - LOOK_BACK:
            self._sent -= self._recent.popleft()[1]
        if self._blocked is not None or self.passive:
            return
        if self.starting:
            self._double(now)
            return
        passed = self.journal.total - self._last_total
        self.limit.kept_up(now - self.probe.since, passed)
        self.probe.grow(
            now,
            self.journal.total / self.grain,
            self.used(now),
            doubt=self.limit.doubt,
            sure=self.limit.sure,
            window=self.limit.window or 0.0,
            spent=self.loss.spent(passed / self.grain),
        )

    def used(self, now: float) -> float:
        """The share of the pace that was sent since it was set, or of late."""
        span = min(LOOK_BACK, max(now - self.probe.since, 1.0))
        return self._sent_within(now, span) / span / self.pace

    def learned(self) -> dict[str, Any] | None:
        """What the next job can start from; None while nothing was learned."""
        limit = self.limit
        if self.starting or limit.rate is None:
            return None
        return {"rate": limit.rate, "window": limit.window, "doubt": max(limit.doubt, GUESSED)}

    def start_from(self, learned: dict[str, Any], now: float) -> None:
        """Begin with what was learned before, as a guess that a few calls will test."""
        rate = float(learned["rate"])
        self.limit.begin_at(rate, learned.get("doubt", GUESSED))
        self.limit.window = learned.get("window")
        self.starting = False
        self.probe.set(rate, now, 0.0, refused=False)

    def account(self) -> tuple[float, float] | None:
        """The rate of the latest resumptions and how far they stray from it, in calls; None while
        there are too few. Says which of two limits it is that the far side counts."""
        marks = tuple(self._latest)
        if len(marks) < COMPARED or marks[-1].at <= marks[0].at:
            return None
        rate, stray = account(marks)
        return rate, stray / self.grain

    def set_grain(self, grain: float) -> None:
        """Units of a call, on average."""
        self.grain = self.limit.grain = grain

    def take_over(self, now: float, rate: float) -> None:
        """It is this limit after all, at about this rate."""
        self.passive = self.starting = False
        self.limit.begin_at(rate, GUESSED)
        self._set(now, refused=False)

    def give_way(self) -> None:
        """It is another limit after all."""
        self.passive, self.starting = True, False
        self.limit.rate = None

    def _double(self, now: float) -> None:
        if self.journal.first is None:
            self._doubled = now
        elif now - self._doubled >= DOUBLE_EVERY:
            span = now - self._doubled
            used = self._sent_within(now, span) / span
            if used > DOUBLE_WHEN * self.probe.pace:
                self.probe.pace *= 4 if self.probe.pace >= QUICK * self.grain else 2
            self._doubled = now

    def _sent_within(self, now: float, seconds: float) -> float:
        if seconds >= LOOK_BACK:
            return self._sent
        total = 0.0
        for at, units, _ in reversed(self._recent):
            if at <= now - seconds:
                break
            total += units
        return total

    def _resume(self, at: float) -> None:
        assert self._blocked is not None
        began, self._blocked = self._blocked, None
        shut = max(self._refused_at, min(at, self.told_until))
        episode = Episode(began, shut, at, self._refusals, self.journal.total, self.probe.pace)
        self.episodes += 1
        if self.journal.first is None:  # refused from the first call on: others use it, too
            return
        self._latest.append(episode.mark(self.grain))
        if self.passive:
            return
        if self.starting:
            self.starting = False
            self.limit.begin(self.journal, episode)
            self._set(at, refused=False)
            return
        fits = self.limit.learn(self.journal, episode, self.probe.taken(), self._dense(at))
        if fits:
            calls = (self.journal.total - self._last_total) / self.grain
            self.loss.spend(self._refusals, calls)
        else:
            self.probe.forget()
        self._set(at, refused=fits)

    def _set(self, at: float, *, refused: bool) -> None:
        assert self.limit.rate is not None
        pace = max(SLOWEST * self.grain, self.limit.rate * (1 + self.loss.margin))
        calls = self.journal.total / self.grain
        self.probe.set(pace, at, calls, refused=refused)
        self._last_total = self.journal.total

    def _dense(self, at: float) -> float | None:
        """Units a second that were admitted while refusals were frequent; None: they are rare."""
        calls_a_second = self.probe.pace / self.grain
        since = at - max(DENSE_SECONDS, DENSE_CALLS / max(calls_a_second, 0.1))
        span = [call for call in self._recent if call[0] > since]
        refused = [call for call in span if not call[2]]
        few = len(span) < DENSE_LEAST or len(refused) < DENSE_REFUSED
        if few or len(refused) <= DENSE_SHARE * len(span):
            return None
        began = refused[0][0]
        admitted = [units for when, units, passed in span if passed and when >= began]
        if len(admitted) < 4 or at <= began:
            return None
        return sum(admitted) / (at - began)
