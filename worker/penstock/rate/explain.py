"""What rate control holds a worker's calls back with, in plain words. Pure."""

from __future__ import annotations

import time
from enum import StrEnum

from penstock.rate.bounds import Bounds

OVERLOADED = "the far side is overloaded (503): as fast as it lets calls through"

AS_STATED = 0.98
"""Of a limit that is stated: with less than this part of it, it is another one that was learned."""

LATEST = 1e11
"""Seconds since the epoch: some three thousand years, what clocks can tell."""


class Hold(StrEnum):
    """What the next call waits for."""

    PACE = "pace"  # the rate limit
    PAUSE = "pause"  # the far side asked for one
    OVERLOAD = "overload"  # as fast as an overloaded far side lets calls through
    CALLS = "calls"  # as many are in flight as may be
    REST = "rest"  # other workers do it all


def limit(bounds: Bounds, calls: float | None, tokens: float | None) -> str:
    """calls, tokens: a second, as far as they are known; tokens only where they hold it back."""
    if tokens is not None:
        # Of the tokens' limit only the pace is known here, which is a little off.
        return _limit(float(f"{tokens:.2g}"), bounds.tokens_per_second, "tokens")
    if calls is not None:
        return _limit(calls, bounds.requests_per_second, "requests")
    return "still finding out how fast calls may come"


def _limit(rate: float, stated: float | None, unit: str) -> str:
    if stated is not None and rate >= AS_STATED * stated:
        return f"rate limit, stated: {60 * stated:,.0f} {unit}/min"
    return f"rate limit, learned: {60 * rate:,.0f} {unit}/min"


def pause(until: float, *, asked: bool, overloaded: bool, away: bool = False) -> str:
    """until: seconds since the epoch; asked: by a Retry-After; away: no connection comes about."""
    why = "refuses all calls (429)"
    if away:
        why = "cannot be reached"
    elif overloaded:
        why = "is overloaded (503)"
    elif asked:
        why = "asks for it (Retry-After)"
    if not abs(until) < LATEST:
        return f"pause: the far side {why}"
    at = time.strftime("%H:%M:%S %Z", time.localtime(until))
    return f"pause until {at}: the far side {why}"


def calls(bounds: Bounds, allowed: int, known: str) -> str:
    """allowed: calls that this worker may have in flight; known: what is known of the knee."""
    most = bounds.max_concurrency
    if bounds.fixed:
        return bounds.fixed_by or f"scaling.concurrency: fixed at {most} in flight in a worker"
    if allowed >= most:
        return f"scaling.concurrency.max: {most} in flight in a worker, more may be quicker"
    return known or "looking for the knee"
