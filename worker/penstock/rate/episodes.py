"""Episodes: refusals with nothing let through in between, and the instant at which it went on.

An episode's end, the resumption, is the one moment at which what a far side counts is known: its
budget had been empty and just sufficed again. Limits are measured from resumption to resumption
(rate/estimate.py). Pure; times are seconds of one clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LONG, LONG_CALLS = 3.0, 6.0
"""Seconds, and calls at the pace that was kept, beyond which an episode shows a window: a bucket
would have let something through."""


@dataclass(frozen=True, slots=True)
class Episode:
    """began, ended: times of the first refusal and of the first admission after it. shut: until
    when it is known that nothing would have passed, by the last refusal or what it told to wait;
    what follows may have been nothing to send. refusals: in between. total: units admitted until
    then. pace: units a second that were sent at."""

    began: float
    shut: float
    ended: float
    refusals: int
    total: float
    pace: float

    def is_long(self, grain: float) -> bool:
        """Whether it lasted longer than a bucket takes to refill. grain: units of a call."""
        calls_a_second = max(self.pace / grain, 0.1)
        return self.shut - self.began > max(LONG, LONG_CALLS / calls_a_second)

    def mark(self, grain: float) -> Mark:
        """What is remembered of it."""
        return Mark(self.ended, self.total, self.is_long(grain), self.began)


@dataclass(frozen=True, slots=True)
class Mark:
    """A resumption that is remembered: when, units admitted until then, after a long episode? And
    when that episode began."""

    at: float
    total: float
    long: bool
    began: float


def account(marks: Sequence[Mark]) -> tuple[float, float]:
    """The rate at which a bucket that was empty at each of these instants filled, and how far the
    admissions stray from it: units a second, and units. At least two marks of different times."""
    first, last = marks[0], marks[-1]
    rate = (last.total - first.total) / max(last.at - first.at, 1e-6)
    strays = [mark.total - first.total - rate * (mark.at - first.at) for mark in marks]
    return rate, max(strays) - min(strays)
