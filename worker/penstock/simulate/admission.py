"""Who may pass now: request and token limit together, for each key, address or connection."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from penstock.simulate import limits
from penstock.simulate.options import SimulatorConfig

Dimension = Literal["requests", "tokens"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the limits say to one call.

    refused_by: the dimension that refused it, None when it may pass. retry_after: seconds until
    it would pass. headers: the hints this provider gives, ready to be sent.
    """

    refused_by: Dimension | None
    retry_after: float
    headers: dict[str, str]


_PASSED = Verdict(None, 0.0, {})


class Admission:
    """All limits of a provider. A client that is new finds its limits untouched."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._clients: dict[Hashable, dict[Dimension, limits.Limiter]] = {}
        self._factor = 1.0
        self.limited = config.rpm is not None or config.tpm is not None

    def admit(self, client: Hashable, now: float, tokens: int) -> Verdict:
        """Decide on one call, and count it."""
        if not self.limited:
            return _PASSED
        limiters = self._clients.get(client)
        if limiters is None:
            limiters = self._clients[client] = self._fresh()
        waits = [
            (limiter.wait(now, _cost(dimension, tokens)), dimension)
            for dimension, limiter in limiters.items()
        ]
        wait, dimension = max(waits)
        for name, limiter in limiters.items():
            if wait == 0:
                limiter.take(now, _cost(name, tokens))
            elif self._config.count_rejected:
                limiter.take_refused(now, _cost(name, tokens))
        if wait > 0 and self._config.count_rejected:
            wait = max(limiters[name].wait(now, _cost(name, tokens)) for name in limiters)
        return Verdict(dimension if wait > 0 else None, wait, self._hints(limiters, now, wait))

    def forget(self, client: Hashable) -> None:
        """Drop what is known of a client that will not come back (a closed connection)."""
        self._clients.pop(client, None)

    def change(self, now: float, factor: float) -> None:
        """From now on the limits are so many times those stated; what is used stays used."""
        self._factor = factor
        for limiters in self._clients.values():
            for dimension, limiter in self._fresh().items():
                limiters[dimension].change(now, limiter.per_minute)

    def per_minute(self) -> dict[Dimension, float]:
        """What each limit really lets through a minute."""
        return {dimension: limiter.per_minute for dimension, limiter in self._fresh().items()}

    def _fresh(self) -> dict[Dimension, limits.Limiter]:
        stated: list[tuple[Dimension, float | None]] = [
            ("requests", self._config.rpm),
            ("tokens", self._config.tpm),
        ]
        return {
            dimension: limits.build(self._config, per_minute * self._factor)
            for dimension, per_minute in stated
            if per_minute is not None
        }

    def _hints(
        self, limiters: dict[Dimension, limits.Limiter], now: float, wait: float
    ) -> dict[str, str]:
        headers: dict[str, str] = {}
        if self._config.hints == "none":
            return headers
        if wait > 0:
            # Whole seconds as HTTP wants them, and the exact figure beside it, as OpenAI sends it.
            headers["Retry-After"] = str(math.ceil(wait))
            headers["retry-after-ms"] = str(math.ceil(wait * 1000))
        if self._config.hints == "headers":
            for name, limiter in limiters.items():
                headers[f"x-ratelimit-limit-{name}"] = f"{limiter.limit:g}"
                headers[f"x-ratelimit-remaining-{name}"] = str(math.floor(limiter.remaining(now)))
                headers[f"x-ratelimit-reset-{name}"] = duration(limiter.reset(now))
        return headers


def duration(seconds: float) -> str:
    """Seconds as OpenAI's headers write them: `20ms`, `1s`, `1.5s`, `6m0s`, `1h0m0s`."""
    milliseconds = math.ceil(seconds * 1000 - 1e-6)
    if milliseconds <= 0:
        return "0s"
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{rest / 1000:g}s"
    if minutes == 0:
        return text
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}"


def _cost(dimension: Dimension, tokens: int) -> int:
    return 1 if dimension == "requests" else tokens
