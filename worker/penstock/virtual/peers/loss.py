"""Peers that change their concurrency by 429s: AIMD in three versions."""

from __future__ import annotations

import math

from penstock.rate.bounds import CallReport
from penstock.virtual.peers.base import Peer


class DataDesigner(Peer):
    """NeMo DataDesigner: a quarter less at the first 429 of a burst, one more after 25 answers.

    Growth stops a tenth above the limit that the last 429 after an answer came at. (A burst are the
    calls that were out when the limit was cut, so that it is cut again if the next ones are
    refused, too. Both readings are those in its favour.)
    """

    pause = 2.0
    backoff = 1.0

    def __init__(self, start: int = 32, most: int = 64) -> None:
        super().__init__(start)
        self._most = most
        self._ceiling = math.inf
        self._answers = 0
        self._cut_at = -math.inf
        self._in_a_row = False

    def passed(self, now: float, latency: float, in_flight: int) -> None:  # noqa: ARG002
        """One more after each 25 answers without a 429 between them."""
        self._in_a_row = False
        self._answers += 1
        if self._answers >= 25:
            self._answers = 0
            most = min(self._most, self._ceiling + max(1.0, 0.1 * self._ceiling))
            self._limit = max(self._limit, min(self._limit + 1, most))

    def refused(self, now: float, report: CallReport) -> None:
        """Only the first of a burst cuts."""
        self._answers = 0
        if report.sent_at > self._cut_at:
            self._cut_at = now
            if not self._in_a_row:
                self._ceiling = self._limit
            self._in_a_row = True
            self._limit = max(1, math.floor(self._limit * 0.75))


class Inspect(Peer):
    """inspect_ai: doubles until the first 429, then 5 % more a round; a fifth less an episode.

    A round is as many answers as the limit; it counts when four fifths of the limit were used. The
    15 s after a cut are one episode.
    """

    def __init__(self, least: int = 4, start: int = 20, most: int = 100) -> None:
        super().__init__(start)
        self._least, self._most = least, most
        self._answers = 0
        self._peak = 0
        self._slow_start = True
        self._cut_again = 0.0

    def passed(self, now: float, latency: float, in_flight: int) -> None:  # noqa: ARG002
        """Grow after a full round."""
        if now < self._cut_again:
            return
        self._peak = max(self._peak, in_flight)
        self._answers += 1
        if self._answers < max(self._limit, 4):
            return
        used = self._peak >= 0.8 * self._limit
        self._answers = self._peak = 0
        if used:
            step = self._limit if self._slow_start else max(1, round(0.05 * self._limit))
            self._limit = min(self._most, self._limit + step)

    def refused(self, now: float, report: CallReport) -> None:
        """Cut once an episode."""
        self._slow_start = False
        self._answers = self._peak = 0
        if now >= self._cut_again:
            self._limit = max(self._least, int(self._limit * 0.8))
            self._cut_again = now + max(15.0, report.retry_after or 0.0)


class BatchGateway(Peer):
    """llm-d's batch gateway: half at a 429, one more after a limit's worth of answers; 5 to 10."""

    def __init__(self, least: int = 5, most: int = 10) -> None:
        super().__init__(most)
        self._least, self._most = least, most
        self._answers = 0

    def passed(self, now: float, latency: float, in_flight: int) -> None:  # noqa: ARG002
        """One more after a window of answers."""
        self._answers += 1
        if self._answers >= self._limit:
            self._answers = 0
            self._limit = min(self._most, self._limit + 1)

    def refused(self, now: float, report: CallReport) -> None:  # noqa: ARG002
        """Half, each time."""
        self._answers = 0
        self._limit = max(self._least, int(self._limit / 2))
