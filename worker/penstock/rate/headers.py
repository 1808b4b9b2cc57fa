"""What a server says about its limits in response headers (x-ratelimit-*, as OpenAI sends them)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class LimitHint:
    """One dimension of a limit: how much is allowed, how much is left, when it is whole again.

    limit and remaining: requests or tokens. reset: seconds until remaining equals limit.
    """

    limit: float
    remaining: float
    reset: float

    @property
    def rate(self) -> float | None:
        """Units a second at which the budget refills, by (limit - remaining) / reset.

        None when hardly anything is used: then the quotient says nothing.
        """
        used = self.limit - self.remaining
        if used < 1 or self.reset <= 0:
            return None
        return used / self.reset


def parse_reset(text: str) -> float | None:
    """Seconds of `1s`, `6m0s`, `20ms`, or a plain number of seconds; None when neither."""
    text = text.strip()
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return number(text)


def read_hint(headers: Mapping[str, str], dimension: str) -> LimitHint | None:
    """The hint for `requests` or `tokens`; None unless all three headers make sense."""
    limit, remaining = (
        number(headers.get(f"x-ratelimit-{word}-{dimension}")) for word in ("limit", "remaining")
    )
    reset = parse_reset(headers.get(f"x-ratelimit-reset-{dimension}", ""))
    if limit is None or remaining is None or reset is None or limit <= 0:
        return None
    return LimitHint(limit, remaining, reset)


def number(text: str | None) -> float | None:
    """A header's value as a number from 0; None for anything else."""
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < float("inf") else None
