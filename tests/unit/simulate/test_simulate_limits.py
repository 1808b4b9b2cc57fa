"""The limiters hold what they promise, whatever the arrivals."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.simulate.limits import FixedWindow, Limiter, SlidingWindow, TokenBucket, build
from penstock.simulate.options import LimitKind, SimulatorConfig

# Milliseconds between arrivals: bursts, steady trickles and long pauses.
ARRIVALS = st.lists(
    st.one_of(st.just(0), st.integers(1, 50), st.integers(51, 20_000)), max_size=300
)
KINDS: tuple[LimitKind, ...] = ("token", "sliding", "fixed")


def times(gaps: list[int]) -> list[float]:
    now, at = 1000.0, []
    for gap in gaps:
        now += gap / 1000
        at.append(now)
    return at


def admitted(
    limiter: Limiter, arrivals: list[float], *, count_rejected: bool = False
) -> list[float]:
    taken = []
    for now in arrivals:
        if limiter.wait(now, 1) == 0:
            limiter.take(now, 1)
            taken.append(now)
        elif count_rejected:
            limiter.take_refused(now, 1)
    return taken


@given(ARRIVALS, st.floats(6, 6000), st.floats(0.1, 60))
def test_a_token_bucket_never_lets_more_through_than_depth_and_refill(
    gaps: list[int], per_minute: float, depth: float
) -> None:
    bucket = TokenBucket(per_minute, depth)
    taken = admitted(bucket, times(gaps))
    for first, start in enumerate(taken):
        for count, end in enumerate(taken[first:], start=1):
            assert count <= bucket.capacity + bucket.rate * (end - start) + 1e-6


@given(ARRIVALS, st.integers(60, 6000), st.integers(1, 60), st.booleans())
def test_a_sliding_window_never_holds_more_than_its_limit(
    gaps: list[int], per_minute: int, window: int, count_rejected: bool
) -> None:
    limiter = SlidingWindow(per_minute, window)
    taken = admitted(limiter, times(gaps), count_rejected=count_rejected)
    limit = int(limiter.limit)
    for first, start in enumerate(taken[:-limit]):
        assert taken[first + limit] - start >= window - 1e-6


@given(ARRIVALS, st.integers(60, 6000), st.integers(1, 60))
def test_a_fixed_window_never_holds_more_than_its_limit(
    gaps: list[int], per_minute: int, window: int
) -> None:
    limiter = FixedWindow(per_minute, window)
    counts: dict[int, int] = {}
    for now in admitted(limiter, times(gaps)):
        number = int((now + 1e-6) // window)
        counts[number] = counts.get(number, 0) + 1
    assert all(count <= limiter.limit for count in counts.values())


@given(
    ARRIVALS,
    st.sampled_from(KINDS),
    st.floats(6, 6000),
    st.floats(1, 60),
    st.booleans(),
    st.integers(1, 5000),
)
def test_who_waits_as_long_as_told_is_let_through(
    gaps: list[int], kind: LimitKind, per_minute: float, length: float, rejects: bool, cost: int
) -> None:
    config = SimulatorConfig(limit=kind, window=length, depth=length)
    limiter = build(config, per_minute)
    arrivals = times(gaps) or [1000.0]
    admitted(limiter, arrivals, count_rejected=rejects)
    now = arrivals[-1]
    wait = limiter.wait(now, cost)
    if wait > 0.001:
        assert limiter.wait(now + wait - 0.001, cost) > 0
    assert limiter.wait(now + wait, cost) == 0


@given(ARRIVALS, st.sampled_from(KINDS), st.floats(6, 6000))
def test_after_the_reset_time_the_limit_is_untouched(
    gaps: list[int], kind: LimitKind, per_minute: float
) -> None:
    config = SimulatorConfig(limit=kind)
    limiter, fresh = build(config, per_minute), build(config, per_minute)
    arrivals = times(gaps) or [1000.0]
    admitted(limiter, arrivals)
    later = arrivals[-1] + limiter.reset(arrivals[-1]) + 1e-6
    assert limiter.remaining(later) == pytest.approx(fresh.remaining(later), abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_hammering_at_full_rate_gets_the_rate_that_is_promised(kind: LimitKind) -> None:
    limiter = build(SimulatorConfig(limit=kind, window=10, depth=1), 600)
    # 100 calls a second for 120 s at a limit of 10 a second; the depth or one window on top.
    taken = admitted(limiter, [step / 100 for step in range(12_000)])
    assert 1190 <= len(taken) <= 1310
    assert limiter.per_minute == 600


def test_a_window_holds_whole_units_and_says_what_that_comes_to() -> None:
    assert SlidingWindow(100, 10).limit == 16
    assert SlidingWindow(100, 10).per_minute == 96
    assert FixedWindow(1, 1).limit == 1


def test_counting_refused_calls_starves_a_client_that_never_stops() -> None:
    arrivals = [step / 100 for step in range(12_000)]
    polite = len(admitted(SlidingWindow(600, 10), arrivals))
    starved = admitted(SlidingWindow(600, 10), arrivals, count_rejected=True)
    assert polite == 1200
    assert len(starved) == 100
    bucket = admitted(TokenBucket(600, 1), arrivals, count_rejected=True)
    assert len(bucket) < 20


def test_the_log_of_a_hammered_window_stays_bounded() -> None:
    limiter = SlidingWindow(60, 60)
    admitted(limiter, [step / 1000 for step in range(20_000)], count_rejected=True)
    assert len(limiter._events) == 60


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_larger_than_the_limit_passes_alone_and_is_paid_for(kind: LimitKind) -> None:
    limiter = build(SimulatorConfig(limit=kind, window=60, depth=60), 1000)
    assert limiter.wait(0, 2500) == 0
    limiter.take(0, 2500)
    assert limiter.remaining(0) == 0
    assert limiter.wait(0, 1) > 0
    assert limiter.reset(0) == pytest.approx(150 if kind == "token" else 60)


def test_a_bucket_refills_evenly() -> None:
    bucket = TokenBucket(600, 1)
    for _ in range(10):
        assert bucket.wait(5.0, 1) == 0
        bucket.take(5.0, 1)
    waits = [bucket.wait(5.0 + step / 1000, 1) for step in range(0, 100, 10)]
    assert waits[0] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in pairwise(waits))


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_that_is_changed_lets_through_what_it_says_from_then_on(kind: LimitKind) -> None:
    limiter = build(SimulatorConfig(limit=kind, depth=1, window=10), 600)
    steps = [second / 100 for second in range(120 * 100)]  # 100 a second for two minutes
    before = len(admitted(limiter, [at for at in steps if at < 60]))
    limiter.change(60.0, 1200)
    doubled = len(admitted(limiter, [at for at in steps if at >= 60]))
    assert limiter.per_minute == limiter.limit * (6 if kind != "token" else 1) == 1200
    assert before == pytest.approx(600, abs=20)
    assert doubled == pytest.approx(1200, abs=40)


def test_a_bucket_that_shrinks_keeps_no_more_than_it_holds_then() -> None:
    bucket = TokenBucket(600, 10)
    bucket.change(0.0, 60)
    assert bucket.remaining(0.0) == bucket.capacity == 10


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_used_stays_used_when_a_limit_changes(kind: LimitKind) -> None:
    limiter = build(SimulatorConfig(limit=kind, depth=10, window=10), 60)
    for _ in range(10):
        limiter.take(0.0, 1)
    limiter.change(0.0, 30)
    assert limiter.remaining(0.0) == 0
    assert limiter.wait(0.0, 1) > 0
