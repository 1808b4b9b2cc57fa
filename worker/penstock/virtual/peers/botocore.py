"""botocore's adaptive retry mode: a token bucket whose rate follows a cubic after each 429."""

from __future__ import annotations

import math

from penstock.rate.bounds import CallReport
from penstock.virtual.peers.base import Peer

_SCALE = 0.4
_CUT = 0.7
_LEAST = 0.5  # requests a second


class Botocore(Peer):
    """Calls go as they come until the first 429; then at a rate.

    The rate is measured in half seconds (smoothed by 0.8). A 429 takes it to 0.7 of what was
    measured, and it comes back along a cubic, never above twice what is measured. Retry-After is
    not read.
    """

    pause = 0.0

    def __init__(self, threads: int = 64) -> None:
        super().__init__(threads)
        self._limited = False
        self._rate = _LEAST
        self._tokens = 0.0
        self._filled_at = 0.0
        self._measured = 0.0
        self._answers = 0
        self._bucket = 0.0
        self._most = 0.0
        self._back_after = 0.0
        self._cut_at = 0.0

    def wait(self, now: float, in_flight: int) -> float | None:
        """As the threads and, after the first 429, the bucket have it."""
        pause = super().wait(now, in_flight)
        if not self._limited or pause is None:
            return pause
        self._fill(now)
        return max(pause, (1 - self._tokens) / self._rate)

    def sent(self, now: float, tokens: int, jitter: float) -> None:  # noqa: ARG002
        """Take a token."""
        if self._limited:
            self._fill(now)
            self._tokens -= 1

    def passed(self, now: float, latency: float, in_flight: int) -> None:  # noqa: ARG002
        """Back up along the cubic."""
        self._measure(now)
        if self._limited:
            self._set(now, _SCALE * (now - self._cut_at - self._back_after) ** 3 + self._most)

    def refused(self, now: float, report: CallReport) -> None:  # noqa: ARG002
        """Down, and a new cubic."""
        self._measure(now)
        self._most = min(self._measured, self._rate) if self._limited else self._measured
        self._back_after = (self._most * (1 - _CUT) / _SCALE) ** (1 / 3)
        self._cut_at = now
        self._limited = True
        self._set(now, self._most * _CUT)

    def _block(self, now: float, report: CallReport) -> None:
        """The rate alone decides."""

    def _measure(self, now: float) -> None:
        bucket = math.floor(now * 2) / 2
        self._answers += 1
        if bucket > self._bucket:
            rate = self._answers / (bucket - self._bucket)
            self._measured = 0.8 * rate + 0.2 * self._measured
            self._answers, self._bucket = 0, bucket

    def _set(self, now: float, rate: float) -> None:
        self._fill(now)
        self._rate = max(_LEAST, min(rate, 2 * self._measured))

    def _fill(self, now: float) -> None:
        filled = self._tokens + (now - self._filled_at) * self._rate
        self._tokens = min(max(1.0, self._rate), filled)
        self._filled_at = now
