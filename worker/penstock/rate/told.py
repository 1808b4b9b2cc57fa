"""What members report, as the leader reads it: checked, since others may write to a shared pool.

What makes no sense is left aside as a whole. What could be true, but would hold the pool for long
if it is not, is bounded by the reader's own clock: it harms for as long as it is said again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

FORMAT = 1
"""Raised with each change of what reports, orders or states hold or mean. Workers that differ in it
meet in pools of their own (work/pool_key.py): neither could read what the other writes."""

AHEAD = 1.0
"""Seconds by which a time that has passed may lie ahead of the reader's clock."""
LONGEST = 3600.0
"""Seconds of a pause that are believed; whoever asks for more is asked again after them."""
HELD = 10.0
"""Seconds that a leader may hold a member still with one order; this version's does for 3."""
BEHIND = 4.0
"""Seconds by which a report may be behind: what it does not tell of holds up all the others."""
LEAST, MOST, MOST_DOUBT = 1 / 3600, 1e9, 0.9
"""Units a second: no limit is less, or nothing would ever be tried again, or more. And doubt, which
is a part of it."""
MOST_CALLS, MOST_TOKENS, MOST_COUNTED = 1e5, 1e10, 1e12
"""Calls and tokens in an entry of a report, and calls and seconds that a worker has counted. Totals
of more would swallow what is added later."""

_UNREADABLE = (AttributeError, KeyError, OverflowError, TypeError, ValueError)


class Seen(NamedTuple):
    """Calls that a member told of: sent at this time, how many, their tokens, and whether they were
    refused: 1 yes, 0 no, -1 not known yet."""

    at: float
    calls: float
    tokens: float
    refused: float


@dataclass(frozen=True, slots=True)
class Report:
    """What one member saw of late (rate/member.py says what each is)."""

    job: str
    until: float
    calls: tuple[Seen, ...]
    retry_at: float
    completed: int
    busy: float
    in_flight: int
    holding: int
    starved: bool
    hints: Mapping[str, float]


def read(told: Mapping[str, Any], now: float) -> Report | None:
    """None for what no member of this version writes. now: of the leader's clock."""
    try:
        report = Report(
            job=str(told["job"]),
            until=max(now - BEHIND, min(_number(told["until"]), now + AHEAD)),
            calls=tuple(_seen(entry, now + AHEAD) for entry in told["calls"]),
            retry_at=min(_number(told["retryAt"]), now + LONGEST),
            completed=int(_number(told["completed"], MOST_COUNTED)),
            busy=_number(told["busy"], MOST_COUNTED),
            in_flight=int(_number(told["inFlight"], MOST_CALLS)),
            holding=int(_number(told["holding"])),
            starved=bool(told["starved"]),
            hints={str(name): _positive(rate) for name, rate in told["hints"].items()},
        )
    except _UNREADABLE:
        return None
    return report


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the leader wants of one member (rate/leader.py makes them). Rates are this member's
    share, a second; None without a limit. slot, of: its turn among so many."""

    at: float
    active: bool
    claim: bool
    calls: int
    single: bool
    tense: bool
    requests: float | None
    tokens: float | None
    safe: tuple[float | None, float | None]
    slot: int
    of: int
    resume_at: float
    hold_until: float
    rate: float | None
    why: str


def read_orders(told: Mapping[str, Any] | None, now: float) -> Wanted | None:
    """None where there are none, or for what no leader of this version writes. now: of the member's
    clock."""
    try:
        return None if told is None else _wanted(told, now)
    except _UNREADABLE:
        return None


def _wanted(told: Mapping[str, Any], now: float) -> Wanted:
    requests, tokens = told["safe"]
    return Wanted(
        at=min(_number(told["at"]), now + AHEAD),
        active=bool(told["active"]),
        claim=bool(told["claim"]),
        calls=max(0, int(_number(told["calls"]))),
        single=bool(told["single"]),
        tense=bool(told["tense"]),
        requests=_rate(told["requests"]),
        tokens=_rate(told["tokens"]),
        safe=(_rate(requests), _rate(tokens)),
        slot=int(_number(told["slot"])),
        of=max(1, int(_number(told["of"]))),
        resume_at=min(_number(told["resumeAt"]), now + LONGEST),
        hold_until=min(_number(told["holdUntil"]), now + HELD),
        rate=_rate(told["rate"]),
        why=str(told["why"]),
    )


@dataclass(frozen=True, slots=True)
class Learned:
    """What an earlier leader wrote: when, the limits, and calls in flight (rate/in_flight.py)."""

    at: float = 0.0
    limits: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    in_flight: Mapping[str, Any] = field(default_factory=dict)


def read_state(told: Mapping[str, Any] | None) -> Learned:
    """Nothing where it is none."""
    try:
        if told is None:
            return Learned()
        limits: dict[str, dict[str, Any]] = {
            str(name): {
                "rate": max(_positive(limit["rate"], MOST), LEAST),
                "window": None if limit["window"] is None else _positive(limit["window"], LONGEST),
                "doubt": min(max(_number(limit["doubt"]), 0.0), MOST_DOUBT),
            }
            for name, limit in told["limits"].items()
        }
        calls = told["inFlight"]
        in_flight = {
            "level": max(1, int(_number(calls["level"], MOST_CALLS))),
            "found": bool(calls["found"]),
            "latency": None if calls["latency"] is None else _positive(calls["latency"], LONGEST),
        }
        return Learned(_number(told["at"]), limits, in_flight)
    except _UNREADABLE:
        return Learned()


def _seen(entry: Sequence[Any], latest: float) -> Seen:
    at, calls, tokens, refused = entry
    return Seen(
        min(_number(at), latest),
        _positive(calls, MOST_CALLS),
        max(0.0, _number(tokens, MOST_TOKENS)),
        _number(refused),
    )


def _rate(value: Any) -> float | None:
    return None if value is None else min(max(_positive(value), LEAST), MOST)


def _positive(value: Any, most: float = math.inf) -> float:
    number = _number(value, most)
    if number <= 0:
        raise ValueError(f"{value} is not more than 0")
    return number


def _number(value: Any, most: float = math.inf) -> float:
    number = float(value)
    if not math.isfinite(number) or number > most:
        raise ValueError(f"{value} is no number to reckon with")
    return number
