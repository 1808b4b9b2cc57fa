"""The loss budget: how far from the measured limit the pace is kept.

Never to be refused means never to know whether more would pass. So a share of the calls may be
refused: while it is less, the pace lies a little above the limit, else below it. Pure.
"""

from __future__ import annotations

import math

BUDGET = 0.003
"""Refusals a call that are aimed at."""
HORIZON = 700.0
"""Calls after which what happened counts half."""
LEAST_CALLS = 300.0
STEP, LOWEST, HIGHEST = 0.001, -0.003, 0.005


class LossBudget:
    """margin: the pace's distance from the limit, as a fraction of it."""

    def __init__(self) -> None:
        self.margin = 0.004
        self._refused = self._passed = 0.0

    def spent(self, calls: float = 0.0) -> float:
        """What was refused of late, as a multiple of the budget. calls: that have passed since."""
        fade = math.pow(0.5, calls / HORIZON)
        return self._refused * fade / max(self._passed * fade + calls, LEAST_CALLS) / BUDGET

    def spend(self, refusals: float, admissions: float) -> None:
        """An episode cost so many refusals; so many calls had passed since the one before."""
        fade = math.pow(0.5, admissions / HORIZON)
        self._refused = self._refused * fade + refusals
        self._passed = self._passed * fade + admissions
        change = STEP * max(-1.0, min(1.0, -math.log(self.spent())))
        self.margin = min(HIGHEST, max(LOWEST, self.margin + change))
