"""The fleet's time: as close as the quickest answer, never back, never standing still."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.work.fleet_clock import REMEMBERED, SLOWEST, FleetClock

AHEAD = 1_000.0  # what the database's clock is ahead of the local one


def test_until_something_is_heard_it_is_a_guess_and_then_it_is_not() -> None:
    clock = FleetClock(5_000.0)
    assert clock.at(1.0) == 5_001.0
    assert clock.error == float("inf")
    clock.heard(2.0, 2.2, 2.1 + AHEAD)
    assert clock.at(3.0) == pytest.approx(3.0 + AHEAD)  # back, this once
    assert clock.error == pytest.approx(0.1)


def test_the_quickest_of_late_answers_counts() -> None:
    clock = FleetClock(0.0)
    clock.heard(0.0, 0.01, 0.005 + AHEAD)
    clock.heard(1.0, 2.0, 1.99 + AHEAD)  # a way back of no time: 0.49 s off, if it were believed
    assert clock.at(2.0) == pytest.approx(2.0 + AHEAD)
    clock.heard(2.0 + REMEMBERED, 3.0 + REMEMBERED, 2.5 + REMEMBERED + AHEAD + 7)
    assert clock.error == pytest.approx(0.5)  # the quick one is too old by now
    assert clock.at(3.0 + REMEMBERED) == pytest.approx(3.0 + REMEMBERED + AHEAD + 7)


def test_a_time_that_was_ahead_is_caught_up_with_slowly() -> None:
    clock = FleetClock(0.0)
    clock.heard(0.0, 0.2, 0.1 + AHEAD + 0.05)
    assert clock.at(1.0) == pytest.approx(1.05 + AHEAD)
    clock.heard(1.0, 1.0, 1.0 + AHEAD)
    assert clock.at(1.1) == pytest.approx(1.05 + AHEAD + 0.1 * SLOWEST)
    assert clock.at(2.0) == pytest.approx(2.0 + AHEAD)


@given(
    offset=st.floats(-1e6, 1e6),
    trips=st.lists(
        st.tuples(st.floats(0, 2), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40
    ),
)
def test_always_forward_and_within_its_error(
    offset: float, trips: list[tuple[float, float, float]]
) -> None:
    """Each trip: pause before it, how long it takes, how far of that is the way there."""
    clock = FleetClock(offset)
    local, before = 0.0, float("-inf")
    for pause, trip, way in trips:
        asked = local + pause
        clock.heard(asked, asked + trip, asked + way * trip + offset)
        local = asked + trip + 1e-3
        now = clock.at(local)
        assert now > before
        before = now
        # What is still to be slowed down comes from earlier, worse answers.
        assert abs(now - local - offset) <= 0.5 * max(t for _, t, _ in trips) + 1e-6
        assert clock.error <= trip / 2 + 1e-9
