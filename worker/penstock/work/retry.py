"""What to do about a failure: one pure decision, for every kind of failure in one place.

`attempts.py` puts it into effect. The rules:

| kind | decision |
|---|---|
| THROTTLED | again; costs no attempt and no time: waiting for a limit never fails an item |
| QUOTA | pause the job |
| ACCESS | pause while nothing has ever succeeded; later like ERROR |
| REJECTED, TEMPLATE | fail; a call of several items is split, so that only the bad one fails |
| ERROR, OVERLOADED, TIMEOUT, INVALID | again, up to maxAttempts calls and maxElapsed seconds |

To pause a job takes more than one answer: the same several times in a row. Where a quota may be a
limit that passes, as some vendors call it, it has to stand for more than a minute if anything has
succeeded before.

A call that never reached the server (nobody listens there) says nothing about the item, so it costs
neither an attempt nor time; the job pauses when the server has been away for maxElapsed. While
nothing has ever succeeded, maxAttempts such calls are enough: the address is wrong, or the server
is not running.

Where the whole of a call of several items keeps failing, it is split before its items are given
up: one of them may be what the server chokes on. Splitting costs no attempt, it ends by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.spec.job import Retry
from penstock.work.types import Failure, FailureKind

BASE = 0.5
OVERLOADED_BASE = 2.0
"""Seconds of the first backoff; it doubles with every attempt. Who is overloaded gets longer."""
CAP = 30.0

REFUSALS = 3
"""So many refusals in a row (key, model, quota) are not the items' fault: the job pauses."""
QUOTA_SPAN, DOUBT_SPAN = 1.0, 65.0
"""Seconds for which a quota has to be refused to be believed spent, where what was said is also
said of a minute's limit by some: while nothing has succeeded yet, and later."""

NEVER_THERE = 15.0
"""Seconds without a connection after which a server that never answered is taken for not there."""

_SPLIT_AFTER = {FailureKind.TIMEOUT: 2, FailureKind.INVALID: 2}
"""Attempts of a call of several items before it is split: its size may well be the cause. The
other kinds are rarely cured by smaller calls, so they use up maxAttempts first."""


@dataclass(frozen=True, slots=True)
class Again:
    """The same items in one call again.

    after: seconds to wait. counts: whether what just ended was an attempt of the item's.
    elapses: whether the call and this wait run against maxElapsed.
    """

    after: float
    counts: bool
    elapses: bool


@dataclass(frozen=True, slots=True)
class Split:
    """Each half of the items in a call of its own, after so many seconds. Costs no attempt."""

    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Fail:
    """The items end as failed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is wrong with the items: pause the whole job. Costs no attempt.

    refusals, lasting: once the same was said so many times in a row, over so many seconds; until
    then the items are tried again.
    """

    reason: str
    message: str
    refusals: int = 1
    lasting: float = 0.0


Decision = Again | Split | Fail | Pause


def decide(
    failure: Failure,
    *,
    attempts: int,
    elapsed: float,
    size: int,
    policy: Retry,
    jitter: float,
    succeeded_before: bool,
    away: float = 0.0,
) -> Decision:
    """What follows from this failure of a call, or of one item of a call (then size is 1).

    attempts: of the item, this one included, without those that did not count; of several items
    the highest. elapsed: seconds the item has spent on calls and waits that elapse.
    size: items that failed together. jitter: random, at least 0 and below 1.
    succeeded_before: whether any item of the run, or of an earlier one, ever succeeded.
    away: seconds since calls have not reached the server; 0 when they do.
    """
    match failure.kind:
        case FailureKind.THROTTLED:
            after = _asked(failure, backoff(1, jitter))
            return Again(after, counts=False, elapses=False)
        case FailureKind.QUOTA:
            lasting = 0.0
            if failure.doubtful:
                lasting = DOUBT_SPAN if succeeded_before else QUOTA_SPAN
            return Pause(failure.reason, failure.message, REFUSALS, lasting)
        case FailureKind.ACCESS if not succeeded_before:
            return Pause(failure.reason, failure.message, REFUSALS)
        case FailureKind.REJECTED | FailureKind.TEMPLATE:
            return Split() if size > 1 else Fail(failure.reason)
    if not failure.reached:
        return _unreached(failure, attempts, away, policy, jitter, succeeded_before)
    base = OVERLOADED_BASE if failure.kind is FailureKind.OVERLOADED else BASE
    after = _asked(failure, backoff(attempts, jitter, base))
    patience = policy.max_attempts
    if size > 1:
        patience = min(patience, _SPLIT_AFTER.get(failure.kind, patience))
    # A wait that the server asked for is not the item's doing.
    elapses = failure.retry_after is None
    if attempts >= patience or elapsed + (after if elapses else 0.0) > policy.max_elapsed:
        return Split(after) if size > 1 else Fail(failure.reason)
    return Again(after, counts=True, elapses=elapses)


def backoff(attempts: int, jitter: float, base: float = BASE) -> float:
    """Seconds to wait after so many attempts: doubling, capped, and anywhere below (full jitter),
    so that items that failed together do not come back together."""
    return jitter * min(CAP, base * 2.0 ** min(attempts - 1, 10))


def _unreached(
    failure: Failure,
    attempts: int,
    away: float,
    policy: Retry,
    jitter: float,
    succeeded_before: bool,
) -> Decision:
    if succeeded_before:
        lost = away > policy.max_elapsed
    else:
        lost = attempts >= policy.max_attempts or away > NEVER_THERE
    if lost:
        return Pause(failure.reason, failure.message)
    return Again(backoff(attempts, jitter), counts=not succeeded_before, elapses=False)


def _asked(failure: Failure, otherwise: float) -> float:
    return otherwise if failure.retry_after is None else failure.retry_after
