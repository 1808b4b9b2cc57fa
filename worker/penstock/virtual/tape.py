"""What happened in a simulated run, second by second."""

from __future__ import annotations

import math

from penstock.virtual.scenario import Scenario

EPISODE_GAP = 2.0
"""429s less than so many seconds apart are one episode."""


class Tape:
    """Counts by job and second. Second i is the time from i to i + 1."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        seconds = math.ceil(scenario.duration) + 1
        jobs = range(len(scenario.all_jobs))
        self.accepted_by_job = [[0] * seconds for _ in jobs]
        self.refused_by_job = [[0] * seconds for _ in jobs]
        self.answered_by_job = [[0] * seconds for _ in jobs]
        self.tokens = [0] * seconds
        self.episodes: list[float] = []
        self.learned: list[float | None] = []
        self.in_flight: list[int] = []
        self.finished_at: float | None = None
        self._last_refused = -math.inf
        self._left = scenario.items if scenario.items is not None else math.inf

    def accepted(self, now: float, job: int, tokens: int) -> None:
        """A call was let through."""
        second = int(now)
        self.accepted_by_job[job][second] += 1
        self.tokens[second] += tokens
        self._left -= 1
        if self._left == 0:
            self.finished_at = now

    def refused(self, now: float, job: int) -> None:
        """A call got a 429."""
        self.refused_by_job[job][int(now)] += 1
        if now - self._last_refused >= EPISODE_GAP:
            self.episodes.append(now)
        self._last_refused = now

    def answered(self, now: float, job: int) -> None:
        """A call that was let through has its answer."""
        self.answered_by_job[job][int(now)] += 1

    def sample(self, learned: float | None, in_flight: int) -> None:
        """Once a second: the limit as it is thought to be, and the calls in flight."""
        self.learned.append(learned)
        self.in_flight.append(in_flight)
