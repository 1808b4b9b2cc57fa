"""One worker's side of rate control: when its next call may go, and what it tells the pool.

The leader of the pool (rate/leader.py) learns from what all members report and tells each its share
of the pace and of the calls in flight. In between a member helps itself: it pauses when it is told
to, holds still when it is refused twice in a row, and slows down when it hears nothing any more.
Pure: time is an argument, seconds of the clock that all members share.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.rate import explain
from penstock.rate.bounds import Bounds, CallReport, Outcome
from penstock.rate.explain import Hold
from penstock.rate.headers import ResetReader, read_hint
from penstock.rate.overload import Overload
from penstock.rate.pacer import Pacer
from penstock.rate.told import LONGEST, read_orders

OFTEN, SELDOM = 0.2, 0.8
"""Seconds between two syncs: while something is being found out, and in calm. What one was told to
wait has to reach all within a second."""
REMEMBER = 4.0
"""Seconds of calls in a report: more than a sync or two may get lost."""
SETTLE, SETTLE_MOST = 0.12, 2.0
"""Seconds after which a call that was not refused counts as admitted: refusals come fast. Longer
where they took longer."""
HOLD, ALONE = 1.5, 0.25
"""Seconds that a member which is refused twice holds still for the leader's word, and without."""
RESULT = 0.15
"""Seconds until it is known what became of a single call."""
SILENCE, SHRINK_EVERY, SHRINK, ALONE_CUT = 2.5, 30.0, 0.9, 0.98
BIN, MANY = 0.02, 200
"""Calls of so many seconds share an entry of a report that would have more entries than MANY. A
report tells of whole bins, so that the next one goes on where it ended."""
OVERLOADS, OVERLOAD_PAUSE, OVERLOAD_PAUSE_MAX = 3, 0.5, 30.0
QUOTA_PAUSE, QUOTA_PAUSE_MAX = 0.5, 8.0
"""Seconds of the first pause, and the most: it doubles until something passes. OVERLOADS: so many
in a row, for the first."""
LONG_PAUSE = 3.0
"""Seconds of a pause that is told of as one where a limit is known: shorter ones belong to it."""


class Member:
    """A worker in a pool. in_flight is always how many calls are out.

    urgent: has to tell the pool something now. claims: may take on more items. holding: asked for
    the number of items in hand; changed: called when orders were applied. held: what the last call
    that had to wait waited for. why: what the leader knows of the calls in flight; rate: calls a
    second of the whole fleet, None while nothing limits them.
    """

    def __init__(self, bounds: Bounds, job: str) -> None:
        self.bounds, self.job = bounds, job
        self.urgent = False
        self.claims = False
        self.held = Hold.REST
        self._by_tokens = self._asked = False
        self.why = ""
        self.holding: Callable[[], int] = lambda: 0
        self.changed: Callable[[], None] = lambda: None
        self.rate: float | None = None
        self._calls = 0
        self._active = False
        self._single = False
        self._tense = True
        self._of = 1
        self._requests, self._tokens = Pacer(), Pacer()
        self._resume_at = self._hold_until = self._paused_at = float("-inf")
        self._heard_at: float | None = None
        self._shrunk_at = 0.0
        self._alone = False
        self._safe: Sequence[float | None] = (None, None)
        self._log: deque[_Call] = deque()
        self._open: dict[float, list[_Call]] = {}
        self._in_a_row = 0
        self._overloads = self._spent = 0
        self._away = False
        self._overload = Overload()
        self._settle = SETTLE
        self._retry_at = self._told_until = 0.0
        self._completed, self._busy = 0, 0.0
        self._in_flight = 0
        self._starved = True
        self._hints: dict[str, float] = {}
        self._resets: dict[str, ResetReader] = {}

    @property
    def limit(self) -> int:
        """Calls that may be in flight now; 0 without a share."""
        return self._calls if self._active else 0

    def wait(self, now: float, in_flight: int) -> float | None:
        """Seconds until the next call may go: 0 for now, None when something has to happen first.

        Asking means that there is a call to send.
        """
        self._in_flight, self._starved = in_flight, False
        self._mind_silence(now)
        if not self._active or (in_flight >= self.limit and not self._single):
            self.held = Hold.CALLS if self._active else Hold.REST
            return None
        pause = max(self._resume_at, self._hold_until) - now
        overload, requests = self._overload.wait(now), self._requests.wait(now)
        tokens = self._tokens.wait(now)
        wait = max(pause, overload, requests, tokens)
        if wait <= 0:
            return 0.0
        if pause == wait and (self.rate is None or pause > LONG_PAUSE):
            self.held = Hold.PAUSE
            # Nothing that is found out here takes so long.
            # Who leads is told when to knock, too.
            ordered = not self._single and self._resume_at > now + LONG_PAUSE
            self._asked = ordered or max(self._retry_at, self._told_until) > now
        elif overload == wait:
            self.held = Hold.OVERLOAD
        else:
            self.held, self._by_tokens = Hold.PACE, tokens > requests
        return wait

    def sent(self, now: float, tokens: int, jitter: float) -> None:  # noqa: ARG002
        """A call goes out now that is thought to cost so many tokens."""
        self._requests.take(now, 1.0)
        self._overload.sent(now)
        self._tokens.take(now, tokens)
        call = _Call(now, tokens)
        self._log.append(call)
        self._open.setdefault(now, []).append(call)
        self._in_flight += 1
        if self._single:
            self._hold_until = now + RESULT

    def ended(self, now: float, report: CallReport, in_flight: int) -> None:
        """A call ended. in_flight: calls still out, this one included."""
        self._in_flight = in_flight - 1
        call = self._close(report.sent_at)
        refused = report.reached and report.outcome in (Outcome.THROTTLED, Outcome.QUOTA)
        if call is not None:
            call.refused = refused
            call.known = True
            if report.used_tokens is not None:
                call.tokens = report.used_tokens
        if report.used_tokens is not None:
            self._tokens.give_back(report.tokens - report.used_tokens)
        if report.headers:
            self._read(now, report.headers)
        if not report.reached and call is not None:
            self._forget(call)
        if report.reached and report.outcome in (Outcome.OK, Outcome.OVERLOADED):
            self._overload.ended(now, refused=report.outcome is Outcome.OVERLOADED)
        if refused:
            self._refused(now, report)
        elif not report.reached or report.outcome in (Outcome.OVERLOADED, Outcome.TIMEOUT):
            self._overloaded(now, report)
        else:
            self._in_a_row = self._overloads = self._spent = 0
            self._completed += 1
            self._busy += now - report.sent_at

    def withdrawn(self, sent_at: float) -> None:
        """A call that was let go was not made after all, or given up: it tells nothing."""
        call = self._close(sent_at)
        if call is not None:
            self._in_flight -= 1
            self._forget(call)

    def explain(self, held: Hold) -> str:
        """In plain words, why a call has to wait for this, or had to of late."""
        match held:
            case Hold.PACE:
                tokens = self._tokens.rate * self._of if self._by_tokens else None
                return explain.limit(self.bounds, self.rate, tokens)
            case Hold.PAUSE:
                until = max(self._resume_at, self._hold_until)
                return explain.pause(
                    until,
                    asked=self._asked,
                    overloaded=self._overloads > 0,
                    away=self._away,
                )
            case Hold.OVERLOAD:
                return explain.OVERLOADED
            case Hold.CALLS:
                return explain.calls(self.bounds, self._calls, self.why)
            case Hold.REST:
                return "other workers do all that may be done at once"

    def next_sync(self, now: float) -> float:  # noqa: ARG002
        """Seconds until the pool should be asked again."""
        return OFTEN if self._tense else SELDOM

    def report(self, now: float) -> dict[str, Any]:
        """What was seen of late. Repeats what the report before said, should that one be lost."""
        self.urgent = False
        while self._log and self._log[0].at < now - REMEMBER:
            self._log.popleft()
        until = now
        for call in self._log:
            if not call.known and call.at > now - self._settle:
                until = call.at
                break
        until = _bin(until) * BIN - 1e-6
        starved, self._starved = self._starved, True
        return {
            "job": self.job,
            "holding": self.holding(),
            "until": until,
            "calls": self._entries(now),
            "retryAt": self._retry_at,
            "completed": self._completed,
            "busy": self._busy,
            "inFlight": self._in_flight,
            "starved": starved and self._in_flight < max(self.limit, 1),
            "hints": self._hints,
        }

    def apply(self, now: float, orders: Mapping[str, Any] | None) -> None:
        """What the leader wants; None when it does not know this member yet."""
        wanted = read_orders(orders, now)
        if wanted is None:
            bounds = self.bounds
            stated = bounds.requests_per_second or bounds.tokens_per_second
            if self._heard_at is None and bounds.fixed and not stated:
                # Nothing is found out about calls in flight, so there is nothing to wait for.
                self._active = self.claims = True
                self._calls = self.bounds.max_concurrency
                self.changed()
            return
        if self._heard_at is not None and wanted.at <= self._heard_at:
            return
        self._heard_at, self._alone = wanted.at, False
        self._safe = wanted.safe
        # Who leads may be of another job, with other bounds.
        self._active, self.claims = wanted.active, wanted.claim
        self._calls = min(wanted.calls, self.bounds.max_concurrency)
        self._single, self._tense, self._of = wanted.single, wanted.tense, wanted.of
        self.rate, self.why = wanted.rate, wanted.why
        self._requests.change(now, _least(wanted.requests, self.bounds.requests_per_second))
        self._tokens.change(now, _least(wanted.tokens, self.bounds.tokens_per_second))
        self._resume_at = max(self._resume_at, wanted.resume_at)
        self._hold_until = wanted.hold_until
        if self._single:  # the leader says when, and one at a time
            self._requests.rest()
            self._hold_until = self._log[-1].at + RESULT if self._log else float("-inf")
        elif self._active and wanted.of > 1 and wanted.requests:
            self._requests.fall_in(now, wanted.slot / wanted.of)
        self.changed()

    def pause(self, now: float, until: float) -> None:
        """Somebody in the pool was told that nothing passes before."""
        self._told_until = min(until, now + LONGEST)
        self._resume_at = max(self._resume_at, self._told_until)

    def _refused(self, now: float, report: CallReport) -> None:
        self.urgent = True
        self._in_a_row += 1
        if self._alone:
            self._requests.rate *= ALONE_CUT
            self._tokens.rate *= ALONE_CUT
        delay = now - report.sent_at
        self._settle = min(SETTLE_MOST, max(SETTLE, 1.5 * delay, 0.95 * self._settle))
        if report.outcome is Outcome.QUOTA:
            if report.sent_at > self._paused_at:
                self._pause(now, min(QUOTA_PAUSE * 2.0 ** min(self._spent, 16), QUOTA_PAUSE_MAX))
                self._spent += 1
        elif report.retry_after is not None:
            # The far side counts from when it decided, which is nearer to when this was sent.
            self._retry_at = max(self._retry_at, report.sent_at + report.retry_after)
            self._resume_at = max(self._resume_at, self._retry_at)
        elif self._in_a_row > 1:
            self._hold_until = now + (ALONE if self._alone else HOLD)

    def _overloaded(self, now: float, report: CallReport) -> None:
        """Where nothing else comes back any more: knock now and then. One among others is no reason
        to wait, unless it asks for that: then it does of the whole fleet."""
        if report.sent_at <= self._paused_at or report.outcome is Outcome.TIMEOUT:
            return
        self._overloads += 1
        self._away = not report.reached
        if report.retry_after is not None:
            self._pause(now, report.retry_after)
            self._retry_at = max(self._retry_at, report.sent_at + report.retry_after)
            self.urgent = True
        elif self._overloads >= OVERLOADS:
            doubled = OVERLOAD_PAUSE * 2.0 ** min(self._overloads - OVERLOADS, 16)
            self._pause(now, min(doubled, OVERLOAD_PAUSE_MAX))

    def _pause(self, now: float, seconds: float) -> None:
        self._paused_at = now
        self._resume_at = max(self._resume_at, now + seconds)

    def _mind_silence(self, now: float) -> None:
        """Nobody leads any more, or the database is away: go on by oneself, at what was safe, and a
        little slower every half minute."""
        if self._heard_at is None or now - self._heard_at < SILENCE:
            return
        if not self._alone:
            self._alone, self._shrunk_at = True, now
            self._single, self._hold_until = False, float("-inf")
            self._requests.rate = min(self._requests.rate, self._safe[0] or float("inf"))
            self._tokens.rate = min(self._tokens.rate, self._safe[1] or float("inf"))
        elif now - self._shrunk_at >= SHRINK_EVERY:
            self._shrunk_at = now
            self._requests.rate *= SHRINK
            self._tokens.rate *= SHRINK

    def _read(self, now: float, headers: Mapping[str, str]) -> None:
        for name in ("requests", "tokens"):
            hint = read_hint(headers, name)
            if hint is not None:
                rate = self._resets.setdefault(name, ResetReader()).read(hint, now)
                if rate is not None:
                    self._hints[name] = rate

    def _forget(self, call: _Call) -> None:
        with contextlib.suppress(ValueError):  # it is not of late
            self._log.remove(call)

    def _close(self, sent_at: float) -> _Call | None:
        calls = self._open.get(sent_at)
        if not calls:
            return None
        call = calls.pop()
        if not calls:
            del self._open[sent_at]
        return call

    def _entries(self, now: float) -> list[list[float]]:
        """[time, calls, tokens, refused] each, in order (leader.Seen)."""
        entries: list[list[float]] = []
        many = len(self._log) > MANY
        for call in self._log:
            last = entries[-1] if entries else None
            settled = call.known or call.at <= now - self._settle
            fate = int(call.refused) if settled else -1
            if many and last and last[3] == fate == 0 and _bin(call.at) == _bin(last[0]):
                last[1] += 1
                last[2] += call.tokens
            else:
                entries.append([call.at, 1, call.tokens, fate])
        return entries


def _least(*rates: float | None) -> float:
    return min((rate for rate in rates if rate), default=float("inf"))


def _bin(at: float) -> int:
    return math.floor(at / BIN)


class _Call:
    """A call of late. known: it was answered."""

    __slots__ = ("at", "known", "refused", "tokens")

    def __init__(self, at: float, tokens: float) -> None:
        self.at, self.tokens = at, tokens
        self.known = self.refused = False
