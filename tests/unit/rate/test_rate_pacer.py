"""The pacer: never more than its rate, no burst saved up, turns that are taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rate.pacer import LATE, Pacer


@given(
    rate=st.floats(0.1, 1000),
    steps=st.lists(st.floats(0, 5), min_size=1, max_size=200),
)
def test_it_never_lets_more_through_than_its_rate(rate: float, steps: list[float]) -> None:
    pacer, now, passed = Pacer(rate), 0.0, 0
    for step in steps:
        now += step
        while pacer.wait(now) <= 0:
            pacer.take(now, 1.0)
            passed += 1
    assert passed <= (now + LATE) * rate + 1 + 1e-6


def test_all_that_is_asked_for_in_time_passes() -> None:
    pacer, now, passed = Pacer(50.0), 0.0, 0
    while now < 10:
        pause = pacer.wait(now)
        if pause == 0:
            pacer.take(now, 1.0)
            passed += 1
        now += pause
    assert passed == pytest.approx(500, abs=1 + 50 * LATE)


def test_without_a_rate_everything_passes() -> None:
    pacer = Pacer()
    for _ in range(100):
        assert pacer.wait(0.0) == 0.0
        pacer.take(0.0, 1e6)


def test_what_was_taken_too_much_is_given_back() -> None:
    pacer = Pacer(10.0)
    pacer.take(100.0, 50.0)
    owed = pacer.wait(100.0)
    pacer.give_back(30.0)
    assert pacer.wait(100.0) == pytest.approx(owed - 3.0)


def test_a_pacer_that_rests_lets_the_next_one_pass_at_once() -> None:
    pacer = Pacer(0.1)
    pacer.take(0.0, 1.0)
    assert pacer.wait(0.0) > 9
    pacer.rest()
    assert pacer.wait(0.0) == 0.0


@given(
    count=st.integers(2, 20),
    rate=st.floats(0.5, 200),
    joined=st.lists(st.floats(0, 3), min_size=20, max_size=20),
)
def test_pacers_that_fell_in_take_turns(count: int, rate: float, joined: list[float]) -> None:
    """However they were started, n of them pass at n different phases of the same rhythm."""
    turn = count / rate
    times = []
    for slot in range(count):
        pacer, now = Pacer(rate / count), 1000 + joined[slot]
        pacer.fall_in(now, slot / count)
        assert pacer.wait(now) <= 2 * turn + 1e-6
        times.append((now + pacer.wait(now)) % turn)
    times.sort()
    gaps = [after - before for before, after in zip(times, [*times[1:], times[0] + turn])]  # noqa: B905
    assert min(gaps) > 0.99 / rate


def test_falling_in_without_a_rate_changes_nothing() -> None:
    pacer = Pacer()
    pacer.fall_in(5.0, 0.5)
    assert pacer.wait(5.0) == 0.0
