"""Peers that change their concurrency by how long answers take: Vector, Gradient2, Vegas."""

from __future__ import annotations

import math
from random import Random

from penstock.rate.bounds import CallReport
from penstock.virtual.peers.base import Peer


class Vector(Peer):
    """Vector's adaptive request concurrency: one more a round trip, a tenth less under pressure.

    Pressure is a 429, or a mean of the round far above the moving mean (2.5 deviations, weighted
    0.4).
    """

    def __init__(self, most: int = 200) -> None:
        super().__init__(1)
        self._most = most
        self._mean: float | None = None
        self._variance = 0.0
        self._round: list[float] = []
        self._round_ends = 0.0
        self._pressed = False
        self._reached = False

    def passed(self, now: float, latency: float, in_flight: int) -> None:
        """Note the time; at the end of a round, decide."""
        self._reached = self._reached or in_flight >= self.limit
        self._round.append(latency)
        self._decide(now)

    def refused(self, now: float, report: CallReport) -> None:  # noqa: ARG002
        """Pressure."""
        self._pressed = True
        self._decide(now)

    def _decide(self, now: float) -> None:
        current = sum(self._round) / len(self._round) if self._round else None
        if self._mean is None:
            if current is not None:
                self._mean = current
                self._round_ends = now + current
            return
        if now < self._round_ends:
            return
        slow = current is not None and current >= self._mean + 2.5 * math.sqrt(self._variance)
        if self._pressed or slow:
            self._limit = max(1, int(self._limit * 0.9))
        elif self._reached and current is not None and current <= self._mean:
            self._limit = min(self._most, self._limit + 1)
        if current is not None:
            step = 0.4 * (current - self._mean)
            self._variance = 0.6 * (self._variance + step * (current - self._mean))
            self._mean += step
        self._round_ends = now + self._mean
        self._round = []
        self._pressed = self._reached = False


class Gradient2(Peer):
    """Netflix's Gradient2: the long against the short average of latencies; 429s do not count.

    limit ← 0.8 limit + 0.2 (limit · gradient + 4), the gradient between 0.5 and 1; each sample is
    the average of ten answers.
    """

    def __init__(self, start: int = 20, least: int = 1, most: int = 200) -> None:
        super().__init__(start)
        self._least, self._most = least, most
        self._sample: list[float] = []
        self._peak = 0
        self._long = 0.0
        self._samples = 0

    def passed(self, now: float, latency: float, in_flight: int) -> None:  # noqa: ARG002
        """Every tenth answer decides."""
        self._sample.append(latency)
        self._peak = max(self._peak, in_flight)
        if len(self._sample) < 10:
            return
        short, peak = sum(self._sample) / 10, self._peak
        self._sample, self._peak = [], 0
        self._samples += 1
        # The long average is a plain one for its first ten samples, then of six hundred.
        weight = 1 / self._samples if self._samples <= 10 else 2 / 601
        self._long += (short - self._long) * weight
        if self._long > 2 * short:
            self._long *= 0.9
        if peak < self._limit / 2:
            return
        gradient = max(0.5, min(1.0, self._long / short))
        wanted = 0.8 * self._limit + 0.2 * (self._limit * gradient + 4)
        self._limit = max(self._least, min(self._most, wanted))


class Vegas(Peer):
    """Netflix's Vegas: keeps the queue, limit · (1 - shortest / latency), between 3 and 6 logs.

    A 429 takes one log10 of the limit off. The shortest latency is learned anew now and then.
    """

    def __init__(self, seed: int, start: int = 20, most: int = 1000) -> None:
        super().__init__(start)
        self._most = most
        self._shortest = math.inf
        self._answers = 0
        self._random = Random(f"{seed} vegas").uniform
        self._probe = self._random(0.5, 1.0)

    def passed(self, now: float, latency: float, in_flight: int) -> None:  # noqa: ARG002
        """Every answer decides."""
        self._answers += 1
        if self._answers >= self._probe * 30 * self._limit:
            self._answers, self._probe = 0, self._random(0.5, 1.0)
            self._shortest = latency
            return
        if latency < self._shortest:
            self._shortest = latency
            return
        if in_flight * 2 < self._limit:
            return
        step = self._log
        queue = math.ceil(self._limit * (1 - self._shortest / latency))
        if queue <= step:
            self._limit += 6 * step
        elif queue < 3 * step:
            self._limit += step
        elif queue > 6 * step:
            self._limit -= step
        self._limit = max(1, min(self._most, self._limit))

    def refused(self, now: float, report: CallReport) -> None:  # noqa: ARG002
        """A little less."""
        self._limit = max(1, self._limit - self._log)

    @property
    def _log(self) -> int:
        return max(1, int(math.log10(self._limit)))
