"""Both limits of a pool, of calls and of tokens: which of them binds, and the paces of both.

A provider may count calls, tokens, or both, and rarely says which of them a 429 was for. What is
stated or told in headers is kept; else both are accounted for, and the one whose account fits the
instants of exhaustion better is the one that is paced by. Pure; seconds.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

from penstock.rate.bounds import Bounds
from penstock.rate.dimension import START, Dimension
from penstock.rate.estimate import SURE

REFUSALS, TELLING = 12, 3.0
"""Latest refusals, and standard errors by which their calls are larger than others', that show that
tokens are counted."""
VARIED = 0.1
"""Of the mean: calls whose tokens vary less are as good an account as the tokens."""
LARGER = 0.15
"""Of the mean: by so much, too."""
BETTER = 0.6
"""Of the other's error: so much less shows which of two limits is counted."""
MEAN_OVER = 200.0
"""Calls over which the mean number of tokens is taken."""
LOOK_BACK = 8.0
PASSED = 1.3


class Limits:
    """requests, tokens: the two dimensions. A job whose calls have no tokens has only the first."""

    def __init__(self, bounds: Bounds) -> None:
        # As many calls in flight as are asked for, from the first moment on, where that is fixed.
        start = math.inf if bounds.fixed else START
        self.requests = Dimension(ceiling=bounds.requests_per_second, start=start)
        self.tokens = Dimension(ceiling=bounds.tokens_per_second)
        self.tokens.passive = bounds.tokens_per_second is None
        self._stated = [
            bounds.requests_per_second is not None,
            bounds.tokens_per_second is not None,
        ]
        self._compared = 0
        self._hinted = False
        self._grain: float | None = None
        self._sent: deque[tuple[float, float, float]] = deque()
        self._sums = [0.0, 0.0]
        self._variance = self._measured = 0.0
        self._sizes: deque[float] = deque(maxlen=REFUSALS)

    @property
    def both(self) -> tuple[Dimension, Dimension]:
        """Calls and tokens."""
        return self.requests, self.tokens

    @property
    def starting(self) -> bool:
        """Whether nothing was refused yet and no limit is known."""
        return self.requests.starting

    @property
    def told(self) -> bool:
        """Whether the far side told of its limit and has not refused anything yet."""
        return self._hinted and not self.episodes

    @property
    def episodes(self) -> int:
        """How many there were so far."""
        return self.requests.episodes

    @property
    def blocked(self) -> int:
        """Refusals in a row that were the latest to be known."""
        return self.requests.blocked

    @property
    def calls_a_second(self) -> float:
        """What both paces together come to."""
        by_tokens = self.tokens.pace / (self._grain or 1.0)
        return min(self.requests.pace, by_tokens)

    @property
    def rate(self) -> float | None:
        """Calls a second that the limit allows; None while it is not known."""
        if self.starting:
            return None
        known = [self.requests.limit.rate or math.inf]
        if self.requests.pace > PASSED * known[0]:
            return None  # it was passed without a refusal: the limit is another one
        if self.tokens.limit.rate and self._grain:
            known.append(self.tokens.limit.rate / self._grain)
        least = min(known)
        return None if math.isinf(least) else least

    def used(self, now: float) -> float:
        """The share of the pace that was sent of late."""
        return self.requests.used(now) if not self.requests.passive else self.tokens.used(now)

    def learned(self) -> dict[str, Any]:
        """What the next job can start from."""
        found = {"requests": self.requests.learned(), "tokens": self.tokens.learned()}
        return {name: learned for name, learned in found.items() if learned is not None}

    def start_from(self, learned: Mapping[str, Any], now: float) -> None:
        """Begin with what was learned before; what is stated stands."""
        if self._stated == [False, False]:
            if "requests" in learned:
                self.requests.start_from(learned["requests"], now)
            elif "tokens" in learned:
                self.requests.give_way()
                self.tokens.take_over(now, learned["tokens"]["rate"])

    def hinted(self, hints: Mapping[str, float], now: float) -> None:
        """What headers say of each limit, in units a second: a guess to start from."""
        rate = hints.get("requests")
        known = self.requests.limit.rate
        told = self.requests.starting or (self._hinted and not self.requests.episodes)
        if rate and told and (known is None or abs(rate / known - 1) > 0.05):
            self._hinted = True
            self.requests.start_from({"rate": rate, "doubt": SURE}, now)
        if "tokens" in hints and self.tokens.passive and self.tokens.limit.rate is None:
            self.tokens.take_over(now, hints["tokens"])
            self._stated[1] = True

    def told_to_wait(self, until: float) -> None:
        """A Retry-After: nothing will pass before."""
        for dimension in self.both:
            dimension.told_until = until

    def call(self, at: float, calls: float, tokens: float, *, admitted: bool) -> None:
        """Calls that were sent at this time, with their tokens in sum."""
        if tokens:
            if self._grain is None and self._stated == [False, True]:
                self.requests.give_way()  # not before: calls without tokens have another limit
            self._measure(tokens / calls, calls, admitted=admitted)
        self._sent.append((at, calls, tokens))
        self._sums[0] += calls
        self._sums[1] += tokens
        self._share_out(at)
        self.requests.call(at, calls, admitted=admitted)
        if tokens:
            self.tokens.call(at, tokens, admitted=admitted)
        if self.requests.episodes != self._compared:
            self._compared = self.requests.episodes
            self._compare(at)

    def tick(self, now: float) -> None:
        """Everything that was sent until now is known."""
        self.requests.tick(now)
        self.tokens.tick(now)

    def _measure(self, tokens: float, calls: float, *, admitted: bool) -> None:
        """Mean and spread of the tokens of a call, and of those of refused calls."""
        known = tokens if self._grain is None else self._grain
        self._measured = min(MEAN_OVER, self._measured + calls)
        gain = min(1.0, calls / self._measured)
        self._variance += gain * ((tokens - known) ** 2 - self._variance)
        self._grain = known + gain * (tokens - known)
        self.tokens.set_grain(self._grain)
        if not admitted:
            self._sizes.append(tokens)

    def _large_ones_are_refused(self) -> bool:
        few = len(self._sizes) < REFUSALS / 2 or self._measured < MEAN_OVER / 4
        if few or self._grain is None or self._variance <= 0:
            return False
        excess = sum(self._sizes) / len(self._sizes) - self._grain
        if excess < LARGER * self._grain:  # calls of one size tell nothing, and sizes drift
            return False
        return excess > TELLING * math.sqrt(self._variance / len(self._sizes))

    def _share_out(self, now: float) -> None:
        """Where both limits stand, a refusal is for the one that is used more."""
        while self._sent and self._sent[0][0] < now - LOOK_BACK:
            _, calls, tokens = self._sent.popleft()
            self._sums[0] -= calls
            self._sums[1] -= tokens
        if self.requests.limit.rate and self.tokens.limit.rate:
            by_calls = self._sums[0] / self.requests.limit.rate
            by_tokens = self._sums[1] / self.tokens.limit.rate
            self.requests.passive = by_tokens > by_calls
            self.tokens.passive = not self.requests.passive

    def _compare(self, now: float) -> None:
        """Where none is stated: which account of the latest episodes is the better one?"""
        if any(self._stated):
            return
        calls, tokens = self.requests.account(), self.tokens.account()
        if self.tokens.passive and self._large_ones_are_refused():
            rate = tokens[0] if tokens else (self.requests.limit.rate or 0.0) * (self._grain or 0.0)
            if rate:
                self._sizes.clear()
                self.requests.give_way()
                self.tokens.take_over(now, rate)
            return
        alike = self._grain is None or self._variance < (VARIED * self._grain) ** 2
        if calls is None or tokens is None or alike:
            return
        if self.tokens.passive and tokens[1] + 1 < BETTER * calls[1]:
            self.requests.give_way()
            self.tokens.take_over(now, tokens[0])
        elif self.requests.passive and calls[1] + 1 < BETTER * tokens[1]:
            self.tokens.give_way()
            self.requests.take_over(now, calls[0])
