"""The span of time over which always the same number was admitted when a refusal came.

That span is the window of a limiter that counts by the window, and the number is its limit. For a
bucket that is kept empty every span will do; then the bucket's own account is as good, and no
window is needed. Pure; times are seconds of one clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.rate.episodes import Mark, account
from penstock.rate.journal import Journal

SHORTEST, LONGEST = 0.8, 62.0
STEP, FINE_STEP, FINE_STEPS = 1.025, 0.004, 5
FEWEST = 4
NEARLY = 1.5, 0.01
"""Calls, and part of them, by which numbers may differ that count as the same."""
BLUR, BLURRED = 1.1, 0.04
"""Seconds by which a resumption may come late, and the part of a window that adds to them."""
JUST_BEFORE = 1e-6
CLEARLY = 0.5
"""Of the bucket's error: by so much a window has to explain the refusals better."""


@dataclass(frozen=True, slots=True)
class Window:
    """A window of so many seconds that lets so many units through."""

    seconds: float
    units: float


def find(journal: Journal, marks: Sequence[Mark], grain: float) -> Window | None:
    """The window that explains the latest resumptions, if it does so clearly better than a bucket.

    A bucket that was empty at two instants admitted exactly rate · time in between; its error is
    how far the admissions stray from that line. A window's error is how far the numbers admitted in
    the window before each resumption differ. grain: units of a call, the least error there is.
    """
    if len(marks) < FEWEST or journal.first is None:
        return None
    last = marks[-1]
    rate, stray = account(marks)
    bucket = stray / grain
    if bucket < FEWEST or rate <= 0:
        return None
    best = _best(journal, marks, grain, FEWEST * grain / rate, last.at - journal.first)
    if best is None:
        return None
    error, units = _error(journal, marks, best)
    calls, error = units / grain, error / grain
    if error + 2 < CLEARLY * bucket and calls >= 8 and error < 0.1 * calls:
        return Window(best, units)
    return None


def common(
    journal: Journal, marks: tuple[Mark, Mark], grain: float, shortest: float, known: float
) -> Window | None:
    """The window over which the same number was admitted before both resumptions, where it is known
    that there is a window: of those that fit the one nearest to what is known of it, in seconds,
    and none below `shortest`. grain: units of a call.

    In a window that slides, that number had been admitted when the refusals began, too; one that
    is fixed went by a whole number of times between the resumptions.
    """
    fit: list[float] = []
    seconds = max(SHORTEST, shortest)
    while seconds < LONGEST:
        error, units = _error(journal, marks, seconds)
        slack = NEARLY[0] * grain + NEARLY[1] * units
        full = [journal.between(mark.began - seconds, mark.began) for mark in marks]
        slides = all(abs(before - units) <= slack for before in full)
        steps = max(full) <= 2 * units + slack  # of two of them at most
        apart = marks[1].at - marks[0].at
        off = abs(apart - seconds * max(1, round(apart / seconds)))
        fits = error <= slack and units >= FEWEST * grain
        if fits and (slides or (steps and off <= BLUR + BLURRED * seconds)):
            fit.append(seconds)
        seconds *= 1 + FINE_STEP
    if not fit:
        return None
    best = min(fit, key=lambda seconds: abs(math.log(seconds / known)))
    return Window(best, _error(journal, marks, best)[1])


def _best(
    journal: Journal, marks: Sequence[Mark], grain: float, shortest: float, longest: float
) -> float | None:
    candidates = []
    seconds = max(SHORTEST, shortest)
    while seconds < min(LONGEST, longest):
        candidates.append(seconds)
        seconds *= STEP
    if not candidates:
        return None

    def score(seconds: float) -> float:
        error, units = _error(journal, marks, seconds)
        return (error + grain) / max(units, grain)

    rough = min(candidates, key=score)
    fine = [rough * (1 + FINE_STEP * step) for step in range(-FINE_STEPS, FINE_STEPS + 1)]
    return min(fine, key=score)


def _error(journal: Journal, marks: Sequence[Mark], seconds: float) -> tuple[float, float]:
    """How far the numbers in such a window differ, and the latest of them."""
    counts = [
        journal.between(mark.at - seconds - JUST_BEFORE, mark.at - JUST_BEFORE) for mark in marks
    ]
    return max(counts) - min(counts), counts[-1]
