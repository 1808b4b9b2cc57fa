"""The far side in virtual time: who is let through, what a client is told, how long it takes.

The limits are those of `penstock simulate`; so is the contended backend. This module adds what
only a whole run has: limits that change on the way, and windows whose phase nobody chose.
"""

from __future__ import annotations

import math
from random import Random

from penstock.simulate.admission import duration
from penstock.simulate.backend import Contended
from penstock.simulate.limits import Limiter
from penstock.virtual.scenario import Provider, Tokens

REFUSAL = 0.08
"""Seconds until a 429 is back."""

Headers = dict[str, str]


class VirtualProvider:
    """One provider, from its start. All times are seconds of the run."""

    def __init__(self, described: Provider, rng: Random) -> None:
        self._requests = described.limiter(described.requests_per_minute)
        self._tokens = described.limiter(described.tokens_per_minute)
        self._named: list[tuple[str, Limiter]] = [
            (name, limiter)
            for name, limiter in (("requests", self._requests), ("tokens", self._tokens))
            if limiter is not None
        ]
        # Real windows begin when they like, not when a job does.
        self._phase = rng.uniform(0, 3600)
        self._steps = sorted(((step.at, step.factor) for step in described.steps), reverse=True)
        self._limits = [limiter.per_minute for _, limiter in self._named]
        self._count_rejected = described.count_rejected
        self._retry_after = described.hints != "none"
        self._with_headers = described.hints == "headers"

    def admit(self, now: float, tokens: int) -> tuple[bool, float | None, Headers | None]:
        """Decide on a call and count it: whether it passes, its Retry-After in seconds, headers."""
        while self._steps and now >= self._steps[-1][0]:
            self._change(*self._steps.pop())
        clock = now + self._phase
        wait = 0.0
        for name, limiter in self._named:
            wait = max(wait, limiter.wait(clock, 1 if name == "requests" else tokens))
        if wait == 0:
            for name, limiter in self._named:
                limiter.take(clock, 1 if name == "requests" else tokens)
            return True, None, self._headers(clock) if self._with_headers else None
        if self._count_rejected:
            for name, limiter in self._named:
                cost = 1 if name == "requests" else tokens
                limiter.take_refused(clock, cost)
                wait = max(wait, limiter.wait(clock, cost))
        if not self._retry_after:
            return False, None, None
        headers = self._headers(clock) if self._with_headers else None
        return False, retry_after(wait), headers

    def _headers(self, clock: float) -> Headers:
        headers: Headers = {}
        for name, limiter in self._named:
            headers[f"x-ratelimit-limit-{name}"] = f"{limiter.limit:g}"
            headers[f"x-ratelimit-remaining-{name}"] = str(math.floor(limiter.remaining(clock)))
            headers[f"x-ratelimit-reset-{name}"] = duration(limiter.reset(clock))
        return headers

    def _change(self, at: float, factor: float) -> None:
        for (_, limiter), per_minute in zip(self._named, self._limits, strict=True):
            limiter.change(at + self._phase, per_minute * factor)


def retry_after(wait: float) -> float:
    """What a server says that knows the wait: whole seconds above one, the exact figure below."""
    return float(math.ceil(wait)) if wait > 1 else wait


class Bills:
    """What calls cost, drawn: the client's estimate and what the server really counts."""

    def __init__(self, described: Tokens, rng: Random) -> None:
        self._described = described
        self._mu = math.log(described.mean) - described.sigma**2 / 2
        self._rng = rng

    def draw(self) -> tuple[int, int]:
        """(estimated, real) tokens of the next call, at least 1 each."""
        told, rng = self._described, self._rng
        real = min(rng.lognormvariate(self._mu, told.sigma), told.max or math.inf)
        off = rng.uniform(-told.estimate_error, told.estimate_error)
        return max(1, round(real * (1 + told.estimate_bias) * (1 + off))), max(1, round(real))


def best_rate(described: Provider, most: int) -> float:
    """Calls a second that the backend answers at the best of all fixed concurrencies up to `most`.

    Exact in the long run: a shared backend whose n calls each advance at speed(n) gets n·speed(n)
    seconds of work done in a second.
    """
    mean = described.latency.mean
    if not described.slots and not described.contention:
        return most / mean
    most = min(most, described.slots or most)
    speed = Contended(described.slots, described.contention).speed
    return max(running * speed(running) for running in range(1, most + 1)) / mean
