"""The pace between two episodes: near the limit, and slowly up while nothing is refused.

Pure; times are seconds of one clock, amounts are counted in calls.
"""

from __future__ import annotations

import math

from penstock.rate.estimate import Pace
from penstock.rate.loss import BUDGET

PATIENCE = 1.5 / BUDGET
"""Calls without a refusal after which a known limit may have risen."""
IMPATIENCE = 20.0
"""The same while the limit is only guessed."""
AGAIN = 0.25
"""Of that until the next rise."""
SMALLEST_STEP, STEP_OF_WINDOW, LARGEST_STEP = 0.004, 0.01, 0.25
TOWARDS = 1 / 3
"""Of the way to the pace that was refused last, at each rise below it."""
LONG_ENOUGH = 60.0
"""Seconds without a refusal after which a guess is tested, however few calls there were."""
USED = 0.85
"""Of the pace: where less is sent, nothing is learned from not being refused."""
QUIET, HASTY = 1.2, 0.3
"""Windows that pass before each rise: a window tells late. Fewer while its limit is only guessed.
"""


class Probe:
    """pace: units a second to send at. most: what it never passes, also while nothing is refused: a
    pace that nobody sends at would be tested by nothing, and a refusal would be taken for its."""

    def __init__(self, pace: float, most: float = math.inf) -> None:
        self.pace = min(pace, most)
        self._most = most
        self._refused = 0.0
        self._rises = 0
        self._step = 0.0
        self._since = self._risen = 0.0
        self._from = 0.0
        self._changes: list[tuple[float, float]] = [(0.0, self.pace)]

    @property
    def since(self) -> float:
        """When the pace was set last."""
        return self._since

    def taken(self) -> Pace:
        """How fast was sent since the pace was set."""
        return Pace(tuple(self._changes), self._step if self._rises else 0.0)

    def set(self, pace: float, now: float, calls: float, *, refused: bool) -> None:
        """After an episode. calls: admitted so far. refused: the pace before was too fast, and not
        just a guess."""
        if refused:
            self._refused = self.pace
        self.pace = min(pace, self._most)
        self._since, self._risen, self._from = now, now, calls
        self._rises, self._step = 0, 0.0
        self._changes = [(now, self.pace)]

    def forget(self) -> None:
        """The limit is another one: what was refused before says nothing."""
        self._refused = 0.0

    def grow(
        self,
        now: float,
        calls: float,
        used: float,
        *,
        doubt: float,
        sure: bool,
        window: float,
        spent: float,
    ) -> None:
        """Nothing was refused until now. calls: admitted so far; used: the share of the pace that
        was really sent; spent: multiple of the loss budget that was lost of late."""
        if sure:
            patience = PATIENCE * max(0.7, min(3.0, spent))
        else:
            # Who was refused too often waits longer, but not again and again.
            waits = 1.0 if self._rises else max(1.0, min(4.0, spent))
            patience = min(PATIENCE, max(IMPATIENCE, 1 / doubt) * waits)
        waited = now - self._risen
        enough = calls - self._from >= patience or (not sure and waited >= LONG_ENOUGH)
        if not enough or waited < (QUIET if sure else HASTY) * window:
            return
        self._risen, self._from = now, calls - (1 - AGAIN) * patience
        if used < USED or self.pace >= self._most:
            return
        self._rises += 1
        if self.pace < 0.998 * self._refused:
            step = max(0.002, (self._refused / self.pace - 1) * TOWARDS)
        else:
            least = max(STEP_OF_WINDOW if window else SMALLEST_STEP, 0.2 * doubt)
            step = min(LARGEST_STEP, least * math.pow(2.0, min(self._rises - 1, 16)))
        self._step = min(step, self._most / self.pace - 1)
        self.pace = min(self.pace * (1 + step), self._most)
        self._changes.append((now, self.pace))
