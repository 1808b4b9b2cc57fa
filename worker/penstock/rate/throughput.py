"""How much a far side gets done at a number of calls in flight: measured, and compared. Pure.

A measurement leaves out the calls that were under way when the number changed: they tell of the
number before. What is left is a count of answers with chance in it: of m answers the rate is off by
about spread / √m, where spread is how much single answers differ (their coefficient of variation).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST_OF_ONE = 400.0
"""Answers that one measurement counts for at most: beyond them its error is not chance any more."""
MEMORY = 1500.0
"""Answers that an estimate remembers."""

GUESS = 4.0
"""A guess rests on no more than so many answers."""


class Meter:
    """Answers and seconds at one number in flight, once `calls` answers and `seconds` are over."""

    def __init__(self, calls: float, seconds: float) -> None:
        self._calls = calls
        self._seconds = seconds
        self.answers = 0.0
        self.seconds = 0.0
        self._busy = 0.0
        self._in_flight = 0.0  # call seconds

    def add(self, seconds: float, answers: int, busy: float, in_flight: float) -> None:
        """A stretch of time and the answers that came in it; of one in which the old calls ran
        out, only the part after that counts."""
        late = min(_after(self._calls, answers), _after(self._seconds, seconds))
        self._calls = max(0.0, self._calls - answers)
        self._seconds = max(0.0, self._seconds - seconds)
        self.answers += late * answers
        self.seconds += late * seconds
        self._busy += late * busy
        self._in_flight += late * seconds * in_flight

    def estimate(self) -> Estimate:
        """The rate as answers in a time; wants both."""
        return self._estimate(self.answers / self.seconds)

    def by_latency(self) -> Estimate:
        """The rate as calls in flight by how long they took (Little's law)."""
        mean = self._in_flight / self.seconds
        return self._estimate(mean * self.answers / self._busy if self._busy > 0 else math.inf)

    def _estimate(self, rate: float) -> Estimate:
        return Estimate(math.log(rate), min(self.answers, MOST_OF_ONE))


def _after(left: float, of: float) -> float:
    """The part of a stretch that comes after what is left to wait for."""
    if left <= 0:
        return 1.0
    return max(0.0, 1.0 - left / of) if of > 0 else 0.0


@dataclass(slots=True)
class Estimate:
    """The logarithm of a rate, or of the ratio of two, and how many answers it rests on."""

    log: float
    answers: float

    def add(self, other: Estimate) -> None:
        """One more measurement of the same."""
        self.log += (other.log - self.log) * other.answers / (self.answers + other.answers)
        self.answers = min(MEMORY, self.answers + other.answers)


def guess(rates: dict[int, Estimate], level: int) -> Estimate:
    """What the rate of a number that was not tried probably is, from those that were: between two
    of them what a power law says; above all of them half as steep as it was below; below all of
    them as the root of the number."""
    below = sorted(one for one in rates if one < level)
    above = min((one for one in rates if one > level), default=None)
    if not below:
        assert above is not None
        return Estimate(rates[above].log + 0.5 * math.log(level / above), GUESS)
    low = rates[below[-1]]
    if above is not None:
        high = rates[above]
        part = math.log(level / below[-1]) / math.log(above / below[-1])
        answers = max(GUESS, min(low.answers, high.answers) / 4)
        return Estimate(low.log + part * (high.log - low.log), answers)
    slope = 0.0
    if len(below) > 1:
        slope = (low.log - rates[below[-2]].log) / math.log(below[-1] / below[-2])
    rise = min(max(slope, 0.0), 1.0) / 2 * math.log(level / below[-1])
    return Estimate(low.log + rise, GUESS)


class Spread:
    """How much chance there is in an answer, learned from measurements of one rate."""

    LEAST, MOST = 0.3, 1.5

    def __init__(self) -> None:
        self._square = 0.7**2
        self._drift = 0.0

    def error(self, *estimates: Estimate) -> float:
        """Standard error of the sum or difference of these logarithms."""
        return math.sqrt(self._square * sum(1 / one.answers for one in estimates))

    def surprise(self, known: Estimate, measured: Estimate) -> bool:
        """Learn from a further measurement of a known rate. True when the last ones lie to one side
        of it by more than chance explains: the rate has changed."""
        off = measured.log - known.log
        self._drift = 0.7 * self._drift + 0.3 * off / self.error(known, measured)
        if abs(self._drift) > 1.7:  # four standard deviations of this moving mean
            self._drift = 0.0
            return True
        square = off**2 / (1 / known.answers + 1 / measured.answers)
        self._square += (min(square, 9 * self._square) - self._square) / 16
        self._square = min(max(self._square, self.LEAST**2), self.MOST**2)
        return False
