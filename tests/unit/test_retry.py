"""Every kind of failure in every situation that matters, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.spec.job import Retry
from penstock.work.retry import CAP, Again, Decision, Fail, Pause, Split, backoff, decide
from penstock.work.types import Failure, FailureKind

POLICY = Retry(max_attempts=5, max_elapsed=600, request_timeout=60)
K = FailureKind


def failure(kind: FailureKind, **more: Any) -> Failure:
    return Failure(kind, "why", "what was said", **more)


def decided(given: Failure, **situation: Any) -> Decision:
    usual: dict[str, Any] = {
        "attempts": 1,
        "elapsed": 0.0,
        "size": 1,
        "policy": POLICY,
        "jitter": 0.5,
        "succeeded_before": True,
    }
    return decide(given, **(usual | situation))


PAUSED = Pause("why", "what was said")
REFUSED = replace(PAUSED, refusals=3)
FAILED = Fail("why")
UNREACHED = failure(K.ERROR, reached=False)

TABLE: list[tuple[Failure, dict[str, Any], Decision]] = [
    # A limit: waits, whatever has happened before, and it costs nothing.
    (failure(K.THROTTLED), {}, Again(0.25, counts=False, elapses=False)),
    (failure(K.THROTTLED, retry_after=7.0), {}, Again(7.0, counts=False, elapses=False)),
    (failure(K.THROTTLED, retry_after=0.0), {}, Again(0.0, counts=False, elapses=False)),
    (failure(K.THROTTLED), {"attempts": 99}, Again(0.25, counts=False, elapses=False)),
    (failure(K.THROTTLED), {"elapsed": 1e6}, Again(0.25, counts=False, elapses=False)),
    (failure(K.THROTTLED), {"size": 20}, Again(0.25, counts=False, elapses=False)),
    # Nothing wrong with the items.
    (failure(K.QUOTA), {}, REFUSED),
    (failure(K.QUOTA), {"succeeded_before": False, "attempts": 9}, REFUSED),
    (failure(K.QUOTA), {"size": 20}, REFUSED),
    (failure(K.QUOTA, doubtful=True), {"succeeded_before": False}, replace(REFUSED, lasting=1.0)),
    (failure(K.QUOTA, doubtful=True), {}, replace(REFUSED, lasting=65.0)),
    (failure(K.ACCESS), {"succeeded_before": False}, REFUSED),
    (failure(K.ACCESS), {"succeeded_before": False, "size": 20}, REFUSED),
    # A key that worked before: this item again, then failed.
    (failure(K.ACCESS), {}, Again(0.25, counts=True, elapses=True)),
    (failure(K.ACCESS), {"attempts": 5}, FAILED),
    # Never.
    (failure(K.REJECTED), {}, FAILED),
    (failure(K.REJECTED), {"succeeded_before": False}, FAILED),
    (failure(K.REJECTED), {"size": 2}, Split()),
    (failure(K.REJECTED), {"size": 20, "attempts": 99, "elapsed": 1e6}, Split()),
    (failure(K.TEMPLATE), {}, FAILED),
    (failure(K.TEMPLATE), {"size": 3}, Split()),
    # Again, with doubling waits, up to maxAttempts.
    (failure(K.ERROR), {}, Again(0.25, counts=True, elapses=True)),
    (failure(K.ERROR), {"attempts": 2}, Again(0.5, counts=True, elapses=True)),
    (failure(K.ERROR), {"attempts": 4}, Again(2.0, counts=True, elapses=True)),
    (failure(K.ERROR), {"attempts": 5}, FAILED),
    (failure(K.ERROR), {"succeeded_before": False}, Again(0.25, counts=True, elapses=True)),
    (failure(K.TIMEOUT), {"attempts": 4}, Again(2.0, counts=True, elapses=True)),
    (failure(K.TIMEOUT), {"attempts": 5}, FAILED),
    (failure(K.INVALID), {"attempts": 4}, Again(2.0, counts=True, elapses=True)),
    (failure(K.INVALID), {"attempts": 5}, FAILED),
    (failure(K.OVERLOADED), {}, Again(1.0, counts=True, elapses=True)),
    (failure(K.OVERLOADED), {"attempts": 5}, FAILED),
    # A wait that was asked for wins over the backoff and is not the item's time.
    (failure(K.OVERLOADED, retry_after=90.0), {}, Again(90.0, counts=True, elapses=False)),
    (
        failure(K.OVERLOADED, retry_after=90.0),
        {"elapsed": 599.0},
        Again(90.0, counts=True, elapses=False),
    ),
    (failure(K.ERROR, retry_after=3.0), {"attempts": 5}, FAILED),
    # maxElapsed: not even a wait that would end after it.
    (failure(K.ERROR), {"elapsed": 601.0}, FAILED),
    (failure(K.ERROR), {"elapsed": 599.9}, FAILED),
    (failure(K.ERROR), {"elapsed": 599.0}, Again(0.25, counts=True, elapses=True)),
    # Several items: one of them may be what the server chokes on.
    (failure(K.ERROR), {"size": 20, "attempts": 4}, Again(2.0, counts=True, elapses=True)),
    (failure(K.ERROR), {"size": 20, "attempts": 5}, Split(4.0)),
    (failure(K.ERROR), {"size": 2, "elapsed": 601.0}, Split(0.25)),
    (failure(K.TIMEOUT), {"size": 20}, Again(0.25, counts=True, elapses=True)),
    (failure(K.TIMEOUT), {"size": 20, "attempts": 2}, Split(0.5)),
    (failure(K.INVALID), {"size": 20}, Again(0.25, counts=True, elapses=True)),
    (failure(K.INVALID), {"size": 20, "attempts": 2}, Split(0.5)),
    # Nobody listens there: costs the item nothing; away for too long, the job pauses.
    (UNREACHED, {}, Again(0.25, counts=False, elapses=False)),
    (UNREACHED, {"attempts": 99, "elapsed": 1e6}, Again(15.0, counts=False, elapses=False)),
    (UNREACHED, {"away": 599.0, "size": 4}, Again(0.25, counts=False, elapses=False)),
    (UNREACHED, {"away": 601.0}, PAUSED),
    (UNREACHED, {"away": 601.0, "size": 4}, PAUSED),
    # … but when nobody ever did, the address is wrong or the server not running.
    (UNREACHED, {"succeeded_before": False}, Again(0.25, counts=True, elapses=False)),
    (UNREACHED, {"succeeded_before": False, "attempts": 5}, PAUSED),
]


@pytest.mark.parametrize(("what", "situation", "wanted"), TABLE)
def test_decision(what: Failure, situation: dict[str, Any], wanted: Decision) -> None:
    assert decided(what, **situation) == wanted


def test_the_table_covers_every_kind() -> None:
    assert {what.kind for what, _, _ in TABLE} == set(FailureKind)


def test_one_attempt_allowed_means_one_call() -> None:
    once = Retry(max_attempts=1)
    assert decided(failure(K.ERROR), policy=once) == FAILED
    assert decided(failure(K.TIMEOUT), policy=once, size=8) == Split(0.25)
    assert decided(failure(K.THROTTLED), policy=once) == Again(0.25, counts=False, elapses=False)


def test_backoff_doubles_up_to_its_cap() -> None:
    assert [backoff(n, 1.0) for n in (1, 2, 3, 6, 7, 8, 10_000)] == [0.5, 1, 2, 16, CAP, CAP, CAP]


@given(
    kind=st.sampled_from(FailureKind),
    reached=st.booleans(),
    size=st.integers(1, 500),
    max_attempts=st.integers(1, 20),
    jitter=st.floats(0, 1, exclude_max=True),
    succeeded_before=st.booleans(),
)
def test_every_failure_comes_to_an_end(
    kind: FailureKind,
    reached: bool,
    size: int,
    max_attempts: int,
    jitter: float,
    succeeded_before: bool,
) -> None:
    """Whatever keeps failing ends failed or paused; only a limit is waited for without end."""
    policy = Retry(max_attempts=max_attempts)
    attempts, elapsed, away = 0, 0.0, 0.0
    for _ in range(10_000):
        decision = decide(
            Failure(kind, "why", reached=reached),
            attempts=attempts + 1,
            elapsed=elapsed,
            size=size,
            policy=policy,
            jitter=jitter,
            succeeded_before=succeeded_before,
            away=0.0 if reached else away,
        )
        match decision:
            case Again(after, counts, elapses):
                assert after >= 0
                assert counts or elapses or kind is K.THROTTLED or not reached
                attempts += counts
                away += 1.0  # the gate keeps calls apart while nobody is there
                elapsed += after if elapses else 0.0
            case Split(after):
                assert size > 1
                size = (size + 1) // 2
                elapsed += after
            case _:
                return
        assert attempts < max_attempts or size > 1 or kind is K.THROTTLED
    assert kind is K.THROTTLED
