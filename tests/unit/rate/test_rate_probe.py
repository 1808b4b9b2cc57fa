"""How far above what was measured is tried: the loss budget, and the steps of the probe."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rate.loss import BUDGET, HIGHEST, LOWEST, LossBudget
from penstock.rate.probe import LARGEST_STEP, PATIENCE, Probe


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 1e6)), max_size=100))
def test_the_margin_stays_in_its_bounds(episodes: list[tuple[int, float]]) -> None:
    loss = LossBudget()
    for refusals, admissions in episodes:
        loss.spend(refusals, admissions)
        assert LOWEST <= loss.margin <= HIGHEST
        assert loss.spent() > 0


@pytest.mark.parametrize(
    ("refused", "margin"),
    [(10 * BUDGET, LOWEST), (3 * BUDGET, LOWEST), (BUDGET / 10, HIGHEST), (BUDGET / 3, HIGHEST)],
)
def test_the_margin_shrinks_when_too_much_is_lost_and_grows_when_little_is(
    refused: float, margin: float
) -> None:
    loss = LossBudget()
    for _ in range(100):
        loss.spend(refusals=2, admissions=2 / refused)
    assert loss.margin == margin
    assert loss.spent() == pytest.approx(refused / BUDGET, rel=0.7)


def test_what_was_lost_is_forgotten_as_calls_pass() -> None:
    loss = LossBudget()
    loss.spend(5, 400)
    spent = [loss.spent(calls) for calls in (0, 500, 2000, 10_000)]
    assert spent == sorted(spent, reverse=True)
    assert spent[-1] < 0.05 * spent[0]


def grow(probe: Probe, now: float, calls: float, **other: float) -> None:
    told: dict[str, float] = {"used": 1.0, "doubt": 0.003, "window": 0.0, "spent": 1.0} | other
    probe.grow(
        now,
        calls,
        told["used"],
        doubt=told["doubt"],
        sure=told["doubt"] <= 0.01,
        window=told["window"],
        spent=told["spent"],
    )


@given(
    steps=st.lists(st.tuples(st.floats(0.01, 100), st.floats(0, 2000)), max_size=60),
    doubt=st.floats(0.003, 0.5),
    window=st.sampled_from([0.0, 10.0, 60.0]),
    spent=st.floats(0, 10),
    refused=st.booleans(),
)
def test_between_episodes_the_pace_only_rises_and_by_bounded_steps(
    steps: list[tuple[float, float]], doubt: float, window: float, spent: float, refused: bool
) -> None:
    probe = Probe(130.0)
    probe.set(100.0, 0.0, 0.0, refused=refused)
    now = calls = 0.0
    for seconds, passed in steps:
        now, calls, before = now + seconds, calls + passed, probe.pace
        grow(probe, now, calls, doubt=doubt, window=window, spent=spent)
        assert before <= probe.pace <= before * (1 + LARGEST_STEP) * (1 + 1e-9)
    assert probe.taken().last == probe.pace
    assert [pace for _, pace in probe.taken().changes] == sorted(
        pace for _, pace in probe.taken().changes
    )


def test_nothing_is_tried_before_many_calls_passed() -> None:
    probe = Probe(100.0)
    probe.set(100.0, 0.0, 0.0, refused=False)
    grow(probe, 1000.0, PATIENCE - 1)
    assert probe.pace == 100.0
    grow(probe, 1000.0, PATIENCE + 1)
    assert 100.0 < probe.pace <= 101.0


def test_a_guess_is_tried_soon() -> None:
    probe = Probe(100.0)
    probe.set(100.0, 0.0, 0.0, refused=False)
    grow(probe, 1.0, 25, doubt=0.5)
    assert probe.pace >= 110.0


def test_a_window_is_waited_for() -> None:
    probe = Probe(100.0)
    probe.set(100.0, 0.0, 0.0, refused=False)
    grow(probe, 59.0, 5900, window=60.0)
    assert probe.pace == 100.0
    grow(probe, 73.0, 7300, window=60.0)
    assert probe.pace > 100.0


def test_where_less_is_sent_not_being_refused_tells_nothing() -> None:
    probe = Probe(100.0)
    probe.set(100.0, 0.0, 0.0, refused=False)
    for turn in range(1, 50):
        grow(probe, 10.0 * turn, 1000.0 * turn, used=0.8)
    assert probe.pace == 100.0


def test_below_what_was_refused_last_it_comes_nearer_and_then_passes_it_slowly() -> None:
    probe = Probe(120.0)
    probe.set(100.0, 0.0, 0.0, refused=True)
    paces = [probe.pace]
    for turn in range(1, 12):
        grow(probe, 10.0 * turn, 1000.0 * turn)
        paces.append(probe.pace)
    steps = [after / before - 1 for before, after in pairwise(paces)]
    near = next(turn for turn, pace in enumerate(paces) if pace >= 0.998 * 120)
    assert steps[: near - 1] == sorted(steps[: near - 1], reverse=True)
    assert near >= 5
    forgetful = Probe(120.0)
    forgetful.set(100.0, 0.0, 0.0, refused=True)
    forgetful.forget()
    grow(forgetful, 10.0, 1000.0)
    assert forgetful.pace < paces[1]


def test_what_may_not_be_sent_is_not_tried() -> None:
    probe = Probe(100.0, most=110.0)
    probe.set(100.0, 0.0, 0.0, refused=False)
    steps = []
    for turn in range(1, 100):
        before = probe.pace
        grow(probe, 10.0 * turn, 1000.0 * turn)
        steps.append(probe.pace / before - 1)
        assert probe.taken().last == probe.pace <= 110.0
    assert probe.pace == 110.0
    assert probe.taken().step == pytest.approx([step for step in steps if step][-1])
    assert len(probe.taken().changes) == 1 + sum(step > 0 for step in steps)
    probe.set(130.0, 1000.0, 100_000.0, refused=True)
    assert probe.pace == probe.taken().last == 110.0


def test_a_limit_that_rose_a_lot_is_reached_in_few_rises() -> None:
    probe, random = Probe(50.0), Random(0)
    probe.set(50.0, 0.0, 0.0, refused=False)
    now = calls = 0.0
    for _ in range(20):
        now += 10
        calls += 10 * probe.pace * random.uniform(0.95, 1.0)
        grow(probe, now, calls)
    assert probe.pace > 100.0
