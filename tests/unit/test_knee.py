"""The knee finder: against throughput curves that are exact, and in virtual time with chance."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.rate.knee import Knee
from penstock.rate.throughput import Estimate, Meter, Spread, guess
from penstock.virtual.draw import parse
from penstock.virtual.engine import run
from penstock.virtual.score import score
from tests.unit.knee_fleet import KneeFleet

Curve = Callable[[int], float]


def drive(knee: Knee, rate: Curve, seconds: float, start: float = 0.0) -> list[int]:
    """A server that answers exactly rate(n) a second with n in flight; what the knee allowed."""
    allowed = [knee.observe(start, 0, 0.0, 0.0, False)]
    owed = 0.0
    for step in range(1, int(seconds)):
        n = allowed[-1]
        owed += rate(n)
        answers = int(owed)
        owed -= answers
        allowed.append(knee.observe(start + step, answers, float(n), n, False))
    return allowed


def peaked(best: int) -> Curve:
    """n calls that slow each other down; fastest at `best`."""
    return lambda n: 20 * n / (1 + 0.05 * (n - 1) + 0.95 * n * (n - 1) / best**2)


observations = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.integers(0, 100_000),
        st.floats(0, 1e7),
        st.floats(0, 3000),
        st.booleans(),
    ),
    max_size=150,
)


@given(bounds=st.tuples(st.integers(1, 2000), st.integers(1, 2000)), seen=observations)
@example(bounds=(1, 2), seen=[(0.0, 0, 0.0, 0.0, False), (5e-324, 0, 1.0, 0.0, True)])
def test_never_outside_the_bounds(
    bounds: tuple[int, int], seen: list[tuple[float, int, float, float, bool]]
) -> None:
    low, high = sorted(bounds)
    knee, now = Knee(low, high), 0.0
    for pause, completed, busy, in_flight, limited in seen:
        now += pause
        allowed = knee.observe(now, completed, busy, in_flight, limited)
        assert low <= allowed <= high
        assert isinstance(allowed, int)
        assert knee.explain()


@given(
    st.lists(st.tuples(st.floats(0.01, 20), st.floats(0, 1e5), st.floats(0.5, 1.5)), max_size=300)
)
def test_never_lost_where_the_calls_are_always_in_flight(
    seen: list[tuple[float, float, float]],
) -> None:
    knee, now, allowed = Knee(1, 700), 0.0, 8
    for pause, rate, part in seen:
        now += pause
        n = max(1.0, part * allowed)
        allowed = knee.observe(now, int(rate * pause), n * pause, n, False)
        assert 1 <= allowed <= 700
        assert knee.home is None or 1 <= knee.home <= 700


@given(fixed=st.integers(1, 500), seen=observations)
def test_fixed_stays_fixed(fixed: int, seen: list[tuple[float, int, float, float, bool]]) -> None:
    knee, now = Knee(fixed, fixed), 0.0
    for pause, completed, busy, in_flight, limited in seen:
        now += pause
        assert knee.observe(now, completed, busy, in_flight, limited) == fixed
    assert knee.home == fixed


@given(maximum=st.integers(1, 1024), latency=st.floats(0.01, 2))
@settings(max_examples=30)
def test_a_server_that_is_never_full_gets_the_maximum(maximum: int, latency: float) -> None:
    knee = Knee(1, maximum)
    drive(knee, lambda n: n / latency, 200)
    assert knee.home is not None
    assert knee.home >= 0.97 * maximum


@given(best=st.integers(2, 100))
@settings(max_examples=30)
def test_a_peaked_server_is_held_near_its_peak(best: int) -> None:
    knee, rate = Knee(1, 1000), peaked(best)
    drive(knee, rate, 1500)
    assert knee.home is not None
    assert rate(knee.home) >= 0.94 * rate(best)
    assert knee.home <= 1.5 * best


def test_of_a_flat_curve_the_smallest_number_is_taken() -> None:
    knee = Knee(1, 1000)
    drive(knee, lambda n: 30.0 * min(n, 4), 1500)
    assert knee.home == 4
    assert knee.explain().startswith("knee at 4: more calls at once ")
    assert "make the far side" in knee.explain()


def test_a_knee_below_the_start_is_found_soon() -> None:
    knee, rate = Knee(1, 1000), peaked(2)
    allowed = drive(knee, rate, 120)
    assert sum(map(rate, allowed[60:])) >= 0.95 * rate(2) * len(allowed[60:])


def test_probing_costs_little() -> None:
    knee, rate = Knee(1, 1000), lambda n: 30.0 * min(n, 4)
    drive(knee, rate, 1500)
    allowed = drive(knee, rate, 2000, start=1500)
    assert sum(map(rate, allowed)) >= 0.98 * 120 * len(allowed)


@pytest.mark.parametrize(("before", "after"), [(6, 22), (22, 6), (8, 64)])
def test_the_knee_is_followed_when_it_moves(before: int, after: int) -> None:
    knee = Knee(1, 1000)
    drive(knee, peaked(before), 600)
    allowed = drive(knee, peaked(after), 600, start=600)
    rate = peaked(after)
    assert sum(map(rate, allowed[300:])) >= 0.93 * rate(after) * len(allowed[300:])


def test_a_server_with_more_slots_than_before_is_used() -> None:
    knee = Knee(1, 1000)
    drive(knee, lambda n: 10.0 * min(n, 4), 600)
    drive(knee, lambda n: 10.0 * min(n, 32), 400, start=600)
    assert knee.home is not None
    assert 30 <= knee.home <= 64


def test_what_is_paced_gets_room_and_teaches_nothing() -> None:
    knee = Knee(1, 1000)
    assert knee.observe(0.0, 0, 0.0, 0.0, False) == 8
    for second in range(1, 30):  # 50 a second, 0.4 s each: 20 in flight
        allowed = knee.observe(second, 50, 20.0, 20.0, True)
    assert allowed == 30
    assert knee.home is None
    assert knee.observe(30.0, 50, 20.0, 20.0, False) == 23  # the climb goes on from there


def test_a_known_knee_survives_a_pace_and_a_pause() -> None:
    knee, rate = Knee(1, 1000), peaked(6)
    drive(knee, rate, 600)
    home = knee.home
    assert home is not None
    for second in range(600, 700):
        assert knee.observe(second, 0, 0.0, 0.0, True) == home
    assert knee.home == home


def test_other_bounds_keep_what_is_known() -> None:
    knee, rate = Knee(1, 1000), peaked(6)
    drive(knee, rate, 600)
    home = knee.home
    knee.resize(1, 200)
    assert knee.home == home
    knee.resize(1, 3)
    assert drive(knee, rate, 5, start=600)[-1] <= 3
    knee.resize(1, 200)
    drive(knee, rate, 300, start=605)
    assert knee.home is not None
    assert knee.home >= 4
    with pytest.raises(ValueError, match="minimum <= maximum"):
        knee.resize(5, 4)


def test_a_known_home_is_begun_at() -> None:
    knee = Knee(1, 100, home=16)
    assert knee.observe(0.0, 0, 0.0, 0.0, False) == 16
    assert knee.home == 16


def test_a_meter_leaves_out_what_was_under_way() -> None:
    meter = Meter(10, 1.0)
    meter.add(0.5, 10, 5.0, 4.0)
    assert meter.answers == meter.seconds == 0
    meter.add(1.0, 20, 10.0, 4.0)  # half a second of it is still to be left out
    assert (meter.answers, meter.seconds) == (10, 0.5)
    assert meter.estimate().log == pytest.approx(math.log(20))
    assert meter.by_latency().log == pytest.approx(math.log(8))


def test_an_untried_number_is_guessed_from_its_neighbours() -> None:
    rates = {4: Estimate(math.log(40), 100), 16: Estimate(math.log(160), 100)}
    assert guess(rates, 8).log == pytest.approx(math.log(80))
    assert guess(rates, 32).log == pytest.approx(math.log(160 * math.sqrt(2)))
    assert guess(rates, 1).log == pytest.approx(math.log(20))


def test_a_rate_that_changed_is_told_from_chance() -> None:
    spread, known = Spread(), Estimate(0.0, 400)
    assert not any(spread.surprise(known, Estimate(off, 50)) for off in [0.05, -0.05] * 20)
    assert any(spread.surprise(known, Estimate(-0.3, 50)) for _ in range(8))


ROWS = {
    "slots: 1": 1.0,
    "slots: 4": 4.0,
    "slots: 64": 64.0,
    "contention: 6": 6.0,
    "contention: 22": 22.0,
}


@pytest.mark.parametrize("pods", [1, 5])
@pytest.mark.parametrize("backend", ROWS)
def test_goodput_in_virtual_time(backend: str, pods: int) -> None:
    scenario = parse(
        f"provider: {{limit: none, {backend}, latency: {{median: 300ms, sigma: 0.5}}}}\n"
        f"pods: {pods}\nduration: 300s\nwarmup: 60s\n",
        backend,
    ).draw(0)
    found = [score(run(scenario, KneeFleet, seed)).goodput for seed in range(5)]
    assert sum(found) / len(found) >= 0.95


@pytest.mark.parametrize("calls", [64, 1000])
def test_a_fast_server_is_at_full_speed_within_two_seconds(calls: int) -> None:
    scenario = parse(
        "provider: {limit: none, latency: {median: 5ms, sigma: 0.5}}\n"
        f"duration: 4s\nwarmup: 2s\nconcurrency: {{max: {calls}}}\n",
        "fast",
    ).draw(0)
    assert score(run(scenario, KneeFleet, 1)).goodput >= 0.95


def test_a_server_of_two_seconds_takes_no_minutes() -> None:
    scenario = parse(
        "provider: {limit: none, latency: {median: 2s, sigma: 0.5}}\n"
        "duration: 60s\nwarmup: 20s\nconcurrency: {max: 64}\n",
        "slow",
    ).draw(0)
    assert score(run(scenario, KneeFleet, 1)).goodput >= 0.95


@pytest.mark.parametrize(
    ("eight", "says"),
    [
        (0.95, "knee at 6: more calls at once make the far side slower (8: by 5.0 %)"),
        (1.01, "knee at 6: more calls at once hardly make the far side faster (8: by 1.0 %)"),
        (1.2, "knee at 6 so far: it is being tried whether 8 are better"),
        (None, "knee at 6: more calls at once do not make the far side faster"),
    ],
)
def test_what_is_known_of_the_knee_is_said(eight: float | None, says: str) -> None:
    knee = Knee(1, 64, home=6)
    knee._rates[6] = Estimate(math.log(20.0), 100)
    if eight is not None:
        knee._rates[8] = Estimate(math.log(20.0 * eight), 50)
    assert knee.explain() == says
    assert Knee(1, 64).explain() == "looking for the knee, 8 calls in flight so far"
    assert Knee(1, 64, home=64).explain() == "no knee up to 64 calls in flight"
