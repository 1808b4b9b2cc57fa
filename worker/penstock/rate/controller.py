"""When the next call may go out: concurrency, pace and pauses of one worker.

Two things push back and need opposite cures (docs/architecture.md, "Rate control"): a rate limit
answers 429 and wants a pace; an overloaded server wants fewer calls in flight. `RateController` is
the one interface to both. Pure: time is an argument, seconds of a monotonic clock.

Slow start: every success while the permits are used allows one more call, which doubles them each
round trip. The first 429, a header or a stated limit hands over to the pacer (rate/pace.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from penstock.rate.headers import read_hint
from penstock.rate.pace import LearnedPace
from penstock.rate.pacer import Pacer

START_CONCURRENCY = 4
OVERLOAD_CUT = 0.7
OVERLOAD_PAUSE = 0.5
OVERLOAD_PAUSE_MAX = 30.0
QUOTA_PAUSE = 0.5
"""Between calls that find out whether a spent quota is meant."""


class Outcome(StrEnum):
    """What a call's end says about the far side's capacity; names are those of the metrics."""

    OK = "ok"
    THROTTLED = "throttled"  # 429
    OVERLOADED = "overloaded"  # 503, 529
    QUOTA = "quota"
    ERROR = "error"
    TIMEOUT = "timeout"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class RateConfig:
    """The bounds a job sets. Rates are a second, None when unknown (they are learned)."""

    min_concurrency: int
    max_concurrency: int
    requests_per_second: float | None = None
    tokens_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class CallReport:
    """One call that ended. sent_at and the time it is reported at are of one clock.

    tokens: what was reserved before the call; used_tokens: what the server counted, if it said.
    reached: whether the call got to the server at all.
    """

    outcome: Outcome
    sent_at: float
    retry_after: float | None = None
    headers: Mapping[str, str] | None = None
    tokens: int = 0
    used_tokens: int | None = None
    reached: bool = True


class RateController:
    """Decides how many calls may be in flight and when the next may go."""

    def __init__(self, config: RateConfig) -> None:
        self.config = config
        fixed = config.min_concurrency == config.max_concurrency
        stated = config.requests_per_second is not None
        start = config.max_concurrency if fixed or stated else START_CONCURRENCY
        self._limit = float(min(max(start, config.min_concurrency), config.max_concurrency))
        self._fixed = fixed
        self._slow_start = not fixed and not stated
        self._requests = LearnedPace(config.requests_per_second)
        self._tokens = Pacer(config.tokens_per_second or float("inf"))
        self._share = 1.0
        self._resume_at = float("-inf")
        self._paused_at = float("-inf")
        self._overloads = 0
        self.last_wait = ""

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return max(self.config.min_concurrency, int(self._limit))

    @property
    def requests_per_second(self) -> float | None:
        """The pace that is kept, whole fleet; None while nothing limits it."""
        rate = self._requests.rate
        return None if rate == float("inf") else rate / self._share

    def set_share(self, share: float) -> None:
        """This worker's part of stated limits, 0 < share <= 1 (1 / number of workers)."""
        if share == self._share:
            return
        self._requests.scale(share / self._share)
        if self.config.tokens_per_second is not None:
            self._tokens.rate = self.config.tokens_per_second * share
        self._share = share

    def wait(self, now: float, in_flight: int) -> float | None:
        """Seconds until the next call may go: 0 for now, None when a call has to end first."""
        if in_flight >= self.limit:
            self.last_wait = "concurrency"
            return None
        pause = self._resume_at - now
        pace = max(self._requests.wait(now), self._tokens.wait(now))
        if pause <= 0 and pace <= 0:
            return 0.0
        self.last_wait = "pause" if pause > pace else "pace"
        return max(pause, pace)

    def sent(self, now: float, tokens: int, jitter: float) -> None:
        """A call goes out now. jitter: a factor near 1 (0.9 to 1.1) that spreads many workers."""
        self._requests.take(now, jitter)
        self._tokens.take(now, tokens, jitter)

    def ended(self, now: float, report: CallReport, in_flight: int) -> None:
        """A call ended; learn from it. in_flight: calls still out, this one included."""
        if report.used_tokens is not None:
            self._tokens.give_back(report.tokens - report.used_tokens)
        if not report.reached:
            self._unreached(now, report)
        elif report.outcome is Outcome.THROTTLED:
            self._throttled(now, report)
        elif report.outcome in (Outcome.OVERLOADED, Outcome.TIMEOUT):
            self._overloaded(now, report)
        elif report.outcome is Outcome.QUOTA:
            self._pause(now, QUOTA_PAUSE)
        else:
            self._requests.admitted(now)
            if report.outcome is Outcome.OK:
                self._succeeded(in_flight)
        hint = read_hint(report.headers, "requests") if report.headers else None
        if hint is not None and self._requests.hinted(now, hint, self._share):
            self._end_slow_start()

    def held_back(self) -> str:
        """One phrase on what held the last call back; empty when nothing did."""
        rate = self.requests_per_second
        if self.last_wait in ("pace", "pause") and rate is not None:
            known = "stated" if self.config.requests_per_second is not None else "learned"
            return f"rate limit, {known}: {rate * 60:,.0f} requests/min"
        if self.last_wait == "pace":
            return (
                f"rate limit, stated: {(self.config.tokens_per_second or 0) * 60:,.0f} tokens/min"
            )
        if self.last_wait == "pause":
            return "the server asks for a pause"
        if self.last_wait == "concurrency":
            if self.limit >= self.config.max_concurrency:
                return f"concurrency cap {self.config.max_concurrency} a worker"
            return f"concurrency {self.limit} a worker (slow start or overload)"
        return ""

    def _succeeded(self, in_flight: int) -> None:
        self._overloads = 0
        if self._fixed or in_flight < self._limit / 2:
            return
        step = 1.0 if self._slow_start else 1.0 / self._limit
        self._limit = min(self._limit + step, float(self.config.max_concurrency))

    def _throttled(self, now: float, report: CallReport) -> None:
        self._end_slow_start()
        if report.sent_at <= self._paused_at:  # it was on its way when the pause began
            if report.retry_after is not None:
                self._resume_at = max(self._resume_at, now + report.retry_after)
            return
        self._pause(now, self._requests.throttled(now, report.retry_after))

    def _overloaded(self, now: float, report: CallReport) -> None:
        self._slow_start = False
        if report.sent_at <= self._paused_at:
            return
        if not self._fixed:
            self._limit = max(float(self.config.min_concurrency), self._limit * OVERLOAD_CUT)
        if report.outcome is Outcome.OVERLOADED:
            self._overloads += 1
            default = min(OVERLOAD_PAUSE * 2.0 ** (self._overloads - 1), OVERLOAD_PAUSE_MAX)
            self._pause(now, report.retry_after if report.retry_after is not None else default)
        else:
            self._pause(now, 0.0)

    def _unreached(self, now: float, report: CallReport) -> None:
        """Nobody is there: knock now and then instead of as fast as refusals come back."""
        if report.sent_at > self._paused_at:
            self._overloads += 1
            wait = OVERLOAD_PAUSE * 2.0 ** (self._overloads - 1)
            self._pause(now, min(wait, OVERLOAD_PAUSE_MAX))

    def _pause(self, now: float, seconds: float) -> None:
        self._paused_at = now
        self._resume_at = max(self._resume_at, now + seconds)

    def _end_slow_start(self) -> None:
        """From here the pace limits; permits only cap it."""
        if self._slow_start:
            self._slow_start = False
            self._limit = float(self.config.max_concurrency)
