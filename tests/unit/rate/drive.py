"""Rate control before limiters that count exactly, in time that is only a number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from penstock.rate.bounds import CallReport, Outcome
from penstock.rate.dimension import Dimension
from penstock.rate.leader import Leader, Orders
from penstock.rate.member import Member
from penstock.simulate.limits import Limiter

TICK = 0.2
LONGEST_PAUSE = 1.0


def drive(
    dimension: Dimension, limiter: Limiter, start: float, end: float, units: float = 1.0
) -> Iterator[float]:
    """One client that hears at once what became of a call; yields each time it tells of one."""
    now, next_tick = start, start
    knock = 0.0
    while now < end:
        while next_tick <= now:
            dimension.tick(next_tick)
            next_tick += TICK
        admitted = limiter.wait(now, units) == 0
        if admitted:
            limiter.take(now, units)
        dimension.call(now, units, admitted=admitted)
        yield now
        turn = min(units / dimension.pace, LONGEST_PAUSE)
        knock = 0.0 if admitted else min(max(turn, 1.6 * knock), LONGEST_PAUSE)
        now += max(turn, knock)


def through(drive: Iterator[float]) -> None:
    """Go to the end."""
    for _ in drive:
        pass


def answered(sent_at: float, **more: Any) -> CallReport:
    """A call that went well."""
    return CallReport(Outcome.OK, sent_at, **more)


def refused(sent_at: float, **more: Any) -> CallReport:
    """A call that was answered 429."""
    return CallReport(Outcome.THROTTLED, sent_at, **more)


def orders(at: float, **other: Any) -> dict[str, Any]:
    """Orders as a leader gives them to its only member, without a limit."""
    return {
        "at": at,
        "active": True,
        "claim": True,
        "calls": 10,
        "single": False,
        "requests": None,
        "tokens": None,
        "safe": [None, None],
        "slot": 0,
        "of": 1,
        "resumeAt": 0.0,
        "holdUntil": 0.0,
        "tense": False,
        "rate": None,
        "why": "",
    } | other


def report(until: float, **other: Any) -> dict[str, Any]:
    """A report as a member with much to send makes it."""
    return {
        "job": "a",
        "holding": 0,
        "until": until,
        "calls": [],
        "retryAt": 0.0,
        "completed": 0,
        "busy": 0.0,
        "inFlight": 1,
        "starved": False,
        "hints": {},
    } | other


def sends(member: Member, start: float, end: float, latency: float | None = 0.05) -> list[float]:
    """The times at which a member sends that always has something to send; every call is answered
    after the latency, or never where that is None."""
    now, sent, out = start, [], list[float]()
    while now < end:
        while out and latency is not None and out[0] + latency <= now:
            member.ended(now, answered(out.pop(0)), len(out) + 1)
        pause = member.wait(now, len(out))
        if pause == 0:
            member.sent(now, 0, 1.0)
            sent.append(now)
            out.append(now)
            continue
        next_end = out[0] + latency if out and latency is not None else math.inf
        now = min(now + (math.inf if pause is None else pause), max(next_end, now + 1e-9), end)
    return sent


def tick_on(
    leader: Leader, reports: dict[str, dict[str, Any]], now: float, seconds: float
) -> Orders:
    """Tick twice a second for so long, with reports of members that send nothing more."""
    told = leader.tick(now, {name: (told, 0.0) for name, told in reports.items()})
    for _ in range(round(seconds * 2)):
        now += 0.5
        fresh = {name: (told | {"until": now}, 0.0) for name, told in reports.items()}
        told = leader.tick(now, fresh)
    return told
