"""The journal's totals are those of a naive count, however much was forgotten."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.rate.journal import KEEP, Journal


@given(
    steps=st.lists(st.tuples(st.sampled_from([0.0, 0.01, 0.5, 3.0]), st.integers(1, 1000))),
    spans=st.lists(st.tuples(st.floats(-10, 120), st.floats(0, KEEP)), min_size=1, max_size=5),
)
def test_totals_are_those_of_a_naive_count(
    steps: list[tuple[float, int]], spans: list[tuple[float, float]]
) -> None:
    journal, now = Journal(), 0.0
    admitted = []
    for step, units in steps:
        now += step
        journal.admit(now, units)
        admitted.append((now, units))
    assert journal.total == sum(units for _, units in admitted)
    assert journal.first == (admitted[0][0] if admitted else None)
    for after, seconds in spans:
        counted = sum(units for at, units in admitted if after < at <= after + seconds)
        assert journal.between(after, after + seconds) == counted


@settings(max_examples=10)
@given(each=st.sampled_from([0.02, 0.05, 0.1]), calls=st.integers(2000, 8000))
def test_what_is_old_is_forgotten_and_what_is_kept_stays_right(each: float, calls: int) -> None:
    journal = Journal()
    for number in range(calls):
        journal.admit(number * each, 2.0)
    end = (calls - 1) * each
    assert len(journal._times) <= KEEP / each + 1100
    within = sum(end - 60 < number * each <= end for number in range(calls))
    assert journal.between(end - 60, end) == 2.0 * within
    assert journal.total == 2.0 * calls
    assert journal.between(-1.0, end) <= journal.total
