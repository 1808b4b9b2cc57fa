"""The limit is measured: ideal limiters at exact times, and what is learned of them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.rate.bounds import Bounds
from penstock.rate.dimension import SLOWEST, Dimension
from penstock.rate.episodes import Episode
from penstock.rate.estimate import SURE, LimitEstimate, Pace
from penstock.rate.journal import Journal
from penstock.rate.limits import Limits
from penstock.simulate.limits import FixedWindow, Limiter, SlidingWindow, TokenBucket
from tests.unit.rate.drive import drive, through


def off(dimension: Dimension, limiter: Limiter) -> float:
    """How wrong the rate is, in units of what it is said to be wrong by at most."""
    limit = dimension.limit
    assert limit.rate is not None
    wrong = abs(limit.rate / (limiter.per_minute / 60) - 1)
    return wrong / (2 * limit.doubt + 0.004)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    rate=st.floats(2, 90),
    calls=st.floats(8, 2000),
    start=st.floats(0, 1000),
    grain=st.sampled_from([1.0, 800.0]),
)
def test_the_rate_of_a_bucket(rate: float, calls: float, start: float, grain: float) -> None:
    bucket = TokenBucket(60 * rate * grain, calls / rate)
    bucket.take(start, (calls - 3) * grain)  # nearly empty, so that it is soon known
    dimension = Dimension(grain, start=32 * grain)
    through(drive(dimension, bucket, start, start + max(120, 2000 / rate), grain))
    assert dimension.limit.sure
    assert off(dimension, bucket) < 1


@settings(derandomize=True, deadline=None, max_examples=20)
@given(rate=st.floats(2, 90), seconds=st.floats(8, 60), start=st.floats(0, 1000))
@example(rate=25.0, seconds=8.0, start=0.0)
def test_the_rate_of_a_sliding_window(rate: float, seconds: float, start: float) -> None:
    limiter = SlidingWindow(60 * rate, max(seconds, 60 / rate))
    dimension = Dimension()
    through(drive(dimension, limiter, start, start + max(240, 1500 / rate)))
    assert off(dimension, limiter) < 1
    assert dimension.limit.window == pytest.approx(limiter.window, rel=0.15, abs=0.5)


@pytest.mark.parametrize("phase", [0.0, 3.0])
@pytest.mark.parametrize(("rate", "seconds"), [(5.0, 60.0), (50.0, 60.0), (20.0, 30.0)])
def test_the_rate_of_a_fixed_window(rate: float, seconds: float, phase: float) -> None:
    limiter = FixedWindow(60 * rate, seconds)
    dimension = Dimension()
    through(drive(dimension, limiter, 1200 + phase, 1200 + phase + 7 * seconds))
    assert dimension.limit.rate == pytest.approx(rate, rel=0.03)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_another_limit_is_measured_anew(factor: float) -> None:
    bucket, dimension = TokenBucket(3000, 1), Dimension()
    through(drive(dimension, bucket, 0, 120))
    assert off(dimension, bucket) < 1
    bucket.change(120, 3000 * factor)
    through(drive(dimension, bucket, 120, 180))
    assert dimension.limit.rate == pytest.approx(50 * factor, rel=0.03)


def test_doubt_ends_where_resumptions_agree() -> None:
    bucket, dimension, doubts = TokenBucket(600, 1), Dimension(), list[float]()
    for _ in drive(dimension, bucket, 0, 120):
        if dimension.episodes > len(doubts):
            doubts.append(dimension.limit.doubt)
    assert doubts[0] > 0.1
    assert min(doubts) < SURE


def test_what_was_kept_up_for_long_is_a_floor() -> None:
    limit = LimitEstimate()
    limit.begin_at(10.0, 0.02)
    limit.kept_up(seconds=5.0, units=60.0)
    assert limit.floor == 0.0  # too short to tell
    limit.kept_up(seconds=10.0, units=121.6)
    assert limit.floor == pytest.approx(12.0)
    limit.kept_up(seconds=100.0, units=1000.0)
    assert limit.floor == pytest.approx(12.0)


@pytest.mark.parametrize(
    ("changes", "until", "most"),
    [
        ([(0.0, 8.0)], 5.0, 40.0),
        ([(0.0, 12.0)], 5.0, 60.0),
        ([(0.0, 8.0), (2.0, 9.0), (4.0, 20.0)], 10.0, 154.0),
    ],
)
def test_what_a_pace_lets_through(
    changes: list[tuple[float, float]], until: float, most: float
) -> None:
    assert Pace(changes, 0.0).sum(until) == pytest.approx(most)


def after_a_long_block(began: float, ended: float, first: float, calls: int) -> LimitEstimate:
    journal = Journal()
    for number in range(calls):
        journal.admit(first + (began - first) * number / calls, 1.0)
    limit = LimitEstimate()
    limit.begin(journal, Episode(began, ended, ended, 9, journal.total, 100.0))
    return limit


def test_a_block_that_ends_a_window_after_the_first_call_is_a_window() -> None:
    limit = after_a_long_block(began=10.0, ended=60.0, first=0.0, calls=600)
    assert limit.window == 60.0
    assert limit.rate == 10.0


def test_a_block_longer_than_any_window_is_taken_for_a_minute() -> None:
    limit = after_a_long_block(began=50.0, ended=90.0, first=0.0, calls=600)
    assert limit.window == 60.0
    assert limit.rate == pytest.approx(10.0)
    assert limit.doubt >= 0.1


def test_refused_for_long_after_nothing_was_sent_for_long_is_still_a_rate() -> None:
    """Others may use the same budget: there is always a call from time to time."""
    limit = after_a_long_block(began=500.0, ended=590.0, first=0.0, calls=2)
    assert limit.rate is not None
    assert limit.rate > 0


_Call = tuple[float, float, bool]


@settings(deadline=None, max_examples=200)
@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.003, 0.02, 0.3, 2.0, 9.0, 70.0]),
            st.integers(1, 6),
            st.booleans(),
            st.booleans(),
        ),
        max_size=120,
    ),
    bounds=st.builds(
        Bounds,
        st.just(1),
        st.sampled_from([1, 50]),
        st.sampled_from([None, 5.0]),
        st.sampled_from([None, 5000.0]),
    ),
    tokens=st.sampled_from([0, 300]),
    clock=st.sampled_from([0.0, 1.7e9]),
)
def test_whatever_happens_there_is_a_pace(
    calls: list[tuple[float, int, bool, bool]], bounds: Bounds, tokens: int, clock: float
) -> None:
    """No order of calls, pauses and refusals leads to an error, to standstill or to no figure."""
    limits, now = Limits(bounds), clock
    for step, times, admitted, tick in calls:
        for number in range(times):
            now += step
            limits.call(now, 1, tokens * (1 + number % 3), admitted=admitted)
        if tick:
            limits.tick(now)
        assert limits.requests.pace >= SLOWEST
        assert limits.calls_a_second > 0
        assert limits.requests.safe > 0
        assert limits.rate is None or limits.rate > 0
        json.dumps(limits.learned(), allow_nan=False)


Provider = Callable[[], Limiter]


@pytest.mark.parametrize(
    "provider",
    [
        pytest.param(lambda: TokenBucket(3000, 1), id="bucket"),
        pytest.param(lambda: SlidingWindow(600, 60), id="sliding"),
        pytest.param(lambda: FixedWindow(1200, 60), id="fixed"),
    ],
)
def test_what_was_learned_starts_the_next_one(provider: Provider) -> None:
    limiter, first = provider(), Dimension()
    through(drive(first, limiter, 1200, 1500))
    learned = first.learned()
    assert learned is not None
    again = json.loads(json.dumps(learned))
    fresh, second = provider(), Dimension()
    second.start_from(again, 2000.0)
    assert not second.starting
    assert second.limit.rate == first.limit.rate
    assert second.limit.window == first.limit.window
    refused, calls = 0, 0
    for _ in drive(second, fresh, 2000, 2300):
        calls += 1
        refused += second.blocked > 0
    assert refused < 0.02 * calls
    assert calls - refused > 0.96 * 300 * fresh.per_minute / 60


def test_nothing_learned_is_nothing_to_start_from() -> None:
    assert Dimension().learned() is None


def test_a_stated_limit_is_never_passed() -> None:
    dimension = Dimension(ceiling=10.0)
    now = 0.0
    for _ in drive(dimension, TokenBucket(60_000, 60), 0, 300):
        assert dimension.pace <= 10.0
        now = _
    assert now > 290
    assert dimension.pace > 9.9


def test_a_stated_limit_is_not_forgotten_over_one_refusal_after_long_without() -> None:
    """Nothing above what is stated was ever sent, so nothing was learned of it."""
    dimension = Dimension(ceiling=50.0)
    for now in drive(dimension, TokenBucket(60_000, 60), 0, 1000):
        last = now
    assert dimension.probe.pace <= 50.0
    dimension.call(last + 0.02, 1, admitted=False)
    dimension.call(last + 0.04, 1, admitted=True)
    assert dimension.episodes == 1
    learned = dimension.learned()
    assert learned is not None
    assert learned["rate"] == pytest.approx(50.0, rel=0.05)
    assert 49.5 < dimension.pace <= 50.0


def test_a_stated_limit_that_was_lowered_for_a_while_is_reached_again() -> None:
    dimension, bucket = Dimension(ceiling=20.0), TokenBucket(600, 1)
    through(drive(dimension, bucket, 0, 100))
    assert dimension.limit.rate == pytest.approx(10.0, rel=0.05)
    bucket.change(100, 1200)
    through(drive(dimension, bucket, 100, 1000))
    assert 19.5 < dimension.pace <= 20.0
