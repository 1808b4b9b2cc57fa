"""What members report, as the leader reads it: checked, since others may write to a shared pool."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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


def read(told: Mapping[str, Any]) -> Report | None:
    """None for what no member of this version writes."""
    try:
        report = Report(
            job=str(told["job"]),
            until=_number(told["until"]),
            calls=tuple(_seen(entry) for entry in told["calls"]),
            retry_at=_number(told["retryAt"]),
            completed=int(_number(told["completed"])),
            busy=_number(told["busy"]),
            in_flight=int(_number(told["inFlight"])),
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


def read_orders(told: Mapping[str, Any] | None) -> Wanted | None:
    """None where there are none, or for what no leader of this version writes."""
    try:
        return None if told is None else _wanted(told)
    except _UNREADABLE:
        return None


def _wanted(told: Mapping[str, Any]) -> Wanted:
    requests, tokens = told["safe"]
    return Wanted(
        at=_number(told["at"]),
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
        resume_at=_number(told["resumeAt"]),
        hold_until=_number(told["holdUntil"]),
        rate=_rate(told["rate"]),
        why=str(told["why"]),
    )


def read_state(told: Mapping[str, Any] | None) -> tuple[float, dict[str, dict[str, Any]]]:
    """When an earlier leader wrote its state, and the limits in it; nothing where it is none."""
    try:
        if told is None:
            return 0.0, {}
        limits: dict[str, dict[str, Any]] = {
            str(name): {
                "rate": _positive(limit["rate"]),
                "window": _rate(limit["window"]),
                "doubt": _number(limit["doubt"]),
            }
            for name, limit in told["limits"].items()
        }
        return _number(told["at"]), limits
    except _UNREADABLE:
        return 0.0, {}


def _seen(entry: Sequence[Any]) -> Seen:
    at, calls, tokens, refused = entry
    return Seen(_number(at), _positive(calls), max(0.0, _number(tokens)), _number(refused))


def _rate(value: Any) -> float | None:
    return None if value is None else _positive(value)


def _positive(value: Any) -> float:
    number = _number(value)
    if number <= 0:
        raise ValueError(f"{value} is not more than 0")
    return number


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is no number to reckon with")
    return number
