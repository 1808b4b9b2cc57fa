"""The pool's side of rate control: learns from all members' reports and gives each its orders.

Exactly one member of a pool runs a leader at a time. What it learned goes into a small state, from
which the next leader, or the next job, starts. As few members as can carry the pace get a share of
it, taking turns in one rhythm: the irregularity of many that send by themselves would use up a
shallow bucket at a fraction of its rate. Pure: time is an argument, seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from penstock.rate.bounds import Bounds
from penstock.rate.dimension import START
from penstock.rate.in_flight import InFlight
from penstock.rate.limits import Limits
from penstock.rate.member import RESULT
from penstock.rate.told import AHEAD, Report, Seen, read, read_state

DEAD = 3.0
"""Seconds without a report after which a member's share goes to the others."""
IDLE = 1.5
"""Seconds after which a job that had nothing to send leaves its share to others."""
PER_MEMBER = 40.0
"""Calls a second that one member is given before the next gets a share."""
CALLS_AT_START = 8
"""Calls in flight that a member is given before the next gets a share, while nothing is known: many
with one call each would rarely have them all out at once."""
ROOM = 1.3
"""Of the calls in flight that the pace needs."""
CALM = 3.0
"""Seconds after an episode in which members sync often."""
FIRST_PROBE, LAST_PROBE, PROBE_GROWTH, PROBE_PART = 0.05, 1.0, 1.6, 0.06
"""Seconds between two single calls while nothing passes: at first, at most, and the part of the
time that nothing passed which they may be after long. A far side that counts what it refuses, too,
lets nothing pass until they are seldom enough."""
FRESH, OLD_DOUBT = 30.0, 0.3
"""Seconds for which what an earlier leader learned is believed, and the doubt about it later: so
much that a limit which was raised is found in seconds."""
GAP = 3.0
"""Seconds between two ticks after which reports do not tell everything any more."""
LONG_PAUSE = 0.3
"""Seconds of a Retry-After that stops the whole fleet and not just who was told."""

Reports = Mapping[str, tuple[Mapping[str, Any], float]]


@dataclass(frozen=True, slots=True)
class Orders:
    """What follows from a tick. state: what was learned; orders: for each member."""

    state: dict[str, Any]
    orders: dict[str, dict[str, Any]]


class Leader:
    """The control of one pool. me: the member that runs it, which always has a share."""

    def __init__(self, bounds: Bounds, me: str, state: Mapping[str, Any] | None = None) -> None:
        self._bounds, self._me = bounds, me
        self.limits = Limits(bounds)
        self._learned: Mapping[str, Any] | None = state
        self._ticked = float("-inf")
        self._seen: dict[str, float] = {}
        self._waiting: list[Seen] = []
        self._unsettled: dict[str, list[Seen]] = {}
        self._settled = 0.0
        self._active: tuple[str, ...] = (me,)
        self._claiming = frozenset({me})
        self._resume_at = 0.0
        self._probe_at = 0.0
        self._shut_at = 0.0
        self._tries = 0
        self._in_flight = InFlight(bounds)
        self._completed = 0
        self._busy = 0.0
        self._wanting: dict[str, float] = {}
        self._counted: dict[str, tuple[int, float]] = {}
        self._tense_until = 0.0

    def tick(self, now: float, reports: Reports) -> Orders:
        """Take in what members reported (report, its age in seconds) and decide."""
        if now - self._ticked > GAP:
            # What was admitted meanwhile is not known: accounts over such a gap would be wrong.
            learned = self._from_earlier(now) if self._learned else self.limits.learned()
            self.limits = Limits(self._bounds)
            self.limits.start_from(learned, now)
            self._waiting, self._learned = [], None
        self._ticked = now
        heard = {name: read(told, now) for name, (told, age) in reports.items() if age < DEAD}
        alive = {name: report for name, report in heard.items() if report is not None}
        self._forget(reports, alive)
        episodes = self.limits.episodes
        for name in sorted(alive):
            self._take_in(name, alive[name])
        self._settle(now, alive)
        if self.limits.episodes > episodes:
            self._tense_until = now + CALM
        for name, report in alive.items():
            if name in self._claiming and not report.starved:  # who rests does not know
                self._wanting[report.job] = now
        members = self._in_turn(now, alive)
        refusals = self._refusals_in_a_row()
        blocked = refusals > 1 or (refusals == 1 and self._resume_at > now + LONG_PAUSE)
        self._probe(now, blocked=blocked)
        calls = self._calls(now, alive)
        needed = min(calls, self._needed(now, members, alive, calls))
        # Who has items in hand ends them before it rests.
        holders = [name for name in members[needed:] if alive[name].holding]
        self._active = (*members[:needed], *holders)
        self._claiming = frozenset(members[:needed]) | self._lookouts(members[needed:], alive)
        climbing = self._in_flight.climbing and self._in_flight.by_knee
        tense = blocked or now < self._tense_until or climbing
        orders = {
            name: self._orders(now, name, calls, blocked=blocked, tense=tense) for name in members
        }
        state = {
            "at": now,
            "limits": self.limits.learned(),
            "inFlight": self._in_flight.learned(),
        }
        return Orders(state, orders)

    def _from_earlier(self, now: float) -> Mapping[str, Any]:
        """The limits that an earlier leader had learned; what is old may be another one by now."""
        learned = read_state(self._learned)
        if not -AHEAD <= now - learned.at <= FRESH:
            return {name: {**limit, "doubt": OLD_DOUBT} for name, limit in learned.limits.items()}
        if learned.in_flight:
            self._in_flight.start_from(learned.in_flight)
        return learned.limits

    def _take_in(self, name: str, report: Report) -> None:
        """What is settled is taken in once, in the order of time; what is not yet is looked at for
        refusals in a row."""
        seen, until = self._seen.get(name, float("-inf")), report.until
        fresh = [call for call in report.calls if call.at > seen]
        self._waiting += [call for call in fresh if call.at <= until]
        self._unsettled[name] = [call for call in fresh if call.at > until]
        self._seen[name] = max(seen, until)
        self._resume_at = max(self._resume_at, report.retry_at)
        self.limits.told_to_wait(self._resume_at)
        self._count(name, report.completed, report.busy)
        if name == self._me:  # others may tell what they saw long ago
            self.limits.hinted(report.hints, until)

    def _forget(self, reports: Reports, alive: Mapping[str, Report]) -> None:
        """What those said who are gone."""
        self._unsettled = {name: said for name, said in self._unsettled.items() if name in alive}
        self._seen = {name: at for name, at in self._seen.items() if name in reports}
        self._counted = {name: sums for name, sums in self._counted.items() if name in reports}
        jobs = {report.job for report in alive.values()}
        self._wanting = {job: at for job, at in self._wanting.items() if job in jobs}

    def _lookouts(self, resting: list[str], alive: Mapping[str, Report]) -> frozenset[str]:
        """One member of each job without a share: it may take items on, and then says so."""
        shared = {alive[name].job for name in self._active}
        found: dict[str, str] = {}
        for name in resting:
            if alive[name].job not in shared:
                found.setdefault(alive[name].job, name)
        return frozenset(found.values())

    def _count(self, name: str, completed: int, busy: float) -> None:
        before = self._counted.get(name, (completed, busy))
        self._counted[name] = (completed, busy)
        self._completed += completed - before[0]
        self._busy += busy - before[1]

    def _calls(self, now: float, alive: Mapping[str, Report]) -> int:
        """Calls that the whole fleet may have in flight."""
        completed, busy = self._completed, self._busy
        self._completed, self._busy = 0, 0.0
        starting = self.limits.starting
        if self.limits.told:
            self._in_flight.begin_paced()
        return self._in_flight.allow(
            now,
            max(len(alive), 1),
            completed,
            busy,
            sum(report.in_flight for report in alive.values()),
            pace=None if starting else self.limits.calls_a_second,
            used=self.limits.used(self._settled),
            idle=all(report.starved for report in alive.values()) or self.limits.blocked > 0,
        )

    def _settle(self, now: float, alive: Mapping[str, Report]) -> None:
        """Pass on, in order, what all members with a share have told of."""
        shares = [alive[name].until for name in self._active if name in alive]
        until = min(shares, default=now)
        self._waiting.sort()
        split = next((n for n, call in enumerate(self._waiting) if call.at > until), None)
        ready = self._waiting if split is None else self._waiting[:split]
        self._waiting = [] if split is None else self._waiting[split:]
        for call in ready:
            self._settled = max(self._settled, call.at)
            self.limits.call(self._settled, call.calls, call.tokens, admitted=call.refused == 0)
        self._settled = max(self._settled, until)
        self.limits.tick(self._settled)

    def _refusals_in_a_row(self) -> int:
        """At the end of all that is known."""
        late = [call for calls in self._unsettled.values() for call in calls if call.refused >= 0]
        count = self.limits.blocked
        for call in sorted([*self._waiting, *late]):
            count = count + 1 if call.refused else 0
        return count

    def _probe(self, now: float, *, blocked: bool) -> None:
        """While nothing passes, one call now and then, by the leader alone."""
        if not blocked:
            self._tries = 0
        elif now >= max(self._probe_at + RESULT, self._resume_at):
            self._tries += 1
            if self._tries == 1:
                self._shut_at = now
            first = max(FIRST_PROBE, 1 / self.limits.calls_a_second)
            last = max(LAST_PROBE, PROBE_PART * (now - self._shut_at))
            self._probe_at = now + min(last, first * PROBE_GROWTH ** min(self._tries, 24))

    def _in_turn(self, now: float, alive: Mapping[str, Report]) -> list[str]:
        """The members by turns of their jobs, the leader first: those of jobs without anything to
        send last."""
        idle: list[str] = []
        by_job: dict[str, list[str]] = {}
        for name in sorted(alive, key=lambda name: (name != self._me, name)):
            job = alive[name].job
            wants = self._wants(now, job) or name == self._me
            (by_job.setdefault(job, []) if wants else idle).append(name)
        turns = zip_longest(*by_job.values())
        return [name for turn in turns for name in turn if name is not None] + idle

    def _wants(self, now: float, job: str) -> bool:
        return now - self._wanting.setdefault(job, now) < IDLE

    def _needed(
        self, now: float, members: list[str], alive: Mapping[str, Report], calls: int
    ) -> int:
        """How many of them get a share: as many of each job, as long as there are."""
        most = self._bounds.max_concurrency
        if self.limits.starting:
            wanted = math.ceil(calls / min(CALLS_AT_START, most))
        else:
            pace = self.limits.calls_a_second
            for_pace = math.ceil(pace / PER_MEMBER)
            in_flight = ROOM * pace * (self._in_flight.latency or 0.0)
            wanted = max(for_pace, math.ceil(in_flight / most), 1)
            if self._in_flight.by_knee:
                wanted = max(wanted, math.ceil(calls / most))
        want = [name for name in members if self._wants(now, alive[name].job) or name == self._me]
        jobs = max(1, len({alive[name].job for name in want}))
        return min(max(1, len(want)), math.ceil(wanted / jobs) * jobs)

    def _orders(
        self, now: float, name: str, calls: int, *, blocked: bool, tense: bool
    ) -> dict[str, Any]:
        active = name in self._active
        leads = name == self._me
        count = len(self._active)
        slot = self._active.index(name) if active else 0
        resume = self._resume_at + slot / max(self.limits.calls_a_second, 0.1)
        if blocked and leads and self._resume_at <= now:
            resume = max(resume, self._probe_at)
        pace = self.limits.requests.pace
        if self.limits.starting and (blocked or self.limits.blocked):
            pace = min(pace, START)  # until what passes next has told the limit
        return {
            "at": now,
            "active": active,
            "claim": name in self._claiming,
            "calls": max(1, calls // count + (slot < calls % count)),
            "single": blocked and leads,
            "requests": _share(pace, count),
            "tokens": _share(self.limits.tokens.pace, count),
            "safe": [_share(each.safe, count) for each in self.limits.both],
            "slot": slot,
            "of": count,
            "resumeAt": resume if resume > now else 0.0,
            "holdUntil": now + DEAD if blocked and not leads else 0.0,
            "tense": tense and active,
            "rate": self.limits.rate,
            "why": self._in_flight.explain(),
        }


def _share(pace: float, count: int) -> float | None:
    """Of one of so many; None when there is no limit."""
    return None if math.isinf(pace) else pace / count
