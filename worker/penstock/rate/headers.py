"""What a server says about its limits in response headers (x-ratelimit-*, as OpenAI sends them)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.web import number

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


MINUTE = 60.0
SAME = 0.3
"""Seconds by which the end of a window may seem to differ from one answer to the next."""
LEAST = 1e-3
"""A limit of less makes no sense."""
SHORTEST, LONGEST = 1.0, 120.0
"""Seconds of reset: what is shorter is a bucket's, what is longer no limit to be paced by."""


@dataclass(frozen=True, slots=True)
class LimitHint:
    """One dimension of a limit: how much is allowed, how much is left, when it is whole again.

    limit and remaining: requests or tokens. reset: seconds until remaining equals limit.
    """

    limit: float
    remaining: float
    reset: float

    def per_second(self, longest: float, *, part: bool) -> float | None:
        """Units a second that the limit comes to; None when it is one of hours or days. longest:
        the longest reset that was seen, which for a window is its length; part: of a window whose
        beginning was not seen, so that it may be longer.

        A bucket's limit is what a minute refills, and its reset the time that takes from now on; a
        window's limit is what a window holds, and its reset the time until it is empty.
        """
        if longest > LONGEST:
            return None
        a_minute = self.limit / MINUTE
        refill = (self.limit - self.remaining) / self.reset if self.reset > 0 else a_minute
        if longest < SHORTEST or part or abs(refill / a_minute - 1) < 0.1:
            return a_minute
        return self.limit / longest


class ResetReader:
    """What a header says over time. A reset that runs down with the clock is that of a fixed
    window, and when it jumps up again the window's whole length is seen."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._end: float | None = None
        self._since = 0.0
        self._runs_down = self._whole = False

    def read(self, hint: LimitHint, now: float) -> float | None:
        """Units a second, as far as is known by now."""
        self._longest = max(self._longest, hint.reset)
        end = now + hint.reset
        if self._end is not None and abs(end - self._end) < SAME:
            self._runs_down = self._runs_down or now - self._since > 2 * SAME
        else:
            self._whole = self._whole or (self._runs_down and hint.reset > SHORTEST)
            self._end, self._since = end, now
        return hint.per_second(self._longest, part=self._runs_down and not self._whole)


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
    if limit is None or remaining is None or reset is None or limit < LEAST:
        return None
    return LimitHint(limit, remaining, reset)
