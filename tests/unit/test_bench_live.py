"""What the bench in real time makes of a provider's counters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import live, live_events, tally
from bench.live import Went
from bench.tally import Sample

PEER = Went(0.9, None, 0.1, lost=3, repeated=0, seconds=30, load=1)


def steady(rates: list[tuple[float, float]], refused: float = 0.0) -> list[Sample]:
    """Samples each half second; rates: (seconds, accepted a second), one after the other."""
    samples, at, accepted = [Sample(10.0, 0, 0, 0)], 10.0, 0.0
    for seconds, rate in rates:
        for _ in range(int(seconds * 2)):
            at, accepted = at + 0.5, accepted + rate / 2
            samples.append(Sample(at, round(accepted), round(accepted * refused), 0))
    return samples


def test_a_counter_grows_in_a_straight_line_between_samples() -> None:
    samples = [Sample(1.0, 0, 0, 0), Sample(2.0, 10, 5, 0), Sample(4.0, 10, 5, 4)]
    assert tally.grown(samples, "accepted", 1.5, 2.0) == 5
    assert tally.grown(samples, "served", 0.0, 3.0) == 2
    assert tally.grown(samples, "served", 3.0, 99.0) == 2
    assert tally.rate(samples, "accepted", 1.0, 2.0) == 10
    assert tally.refused_share(samples, 1.0, 2.0) == pytest.approx(1 / 3)
    assert tally.refused_share(samples, 2.0, 4.0) == 0


def test_busy_is_from_the_first_growth_to_the_last() -> None:
    samples = steady([(2, 0), (3, 10), (5, 0)])
    assert tally.busy(samples, "accepted") == (12.0, 15.0)
    assert tally.busy(samples, "served") == (0.0, 0.0)


def test_bins_are_whole_seconds() -> None:
    samples = steady([(2, 10), (2, 20)])
    assert tally.bins(samples, "accepted", 11.0, 14.0) == [10, 20, 20]


@pytest.mark.parametrize(("empty", "back"), [(0.0, 0.0), (3.0, 3.0), (20.0, None)])
def test_a_rate_is_back_when_five_seconds_had_it(empty: float, back: float | None) -> None:
    samples = steady([(10, 50), (empty, 25), (30 - empty, 50)])
    assert tally.back_after(samples, 49.9, since=20.0, end=40.0) == back


def test_the_best_fixed_number_of_calls_is_the_number_of_slots_or_the_knee() -> None:
    assert live.best_fixed(4, 0, 0.5) == 8
    at_six = live.best_fixed(0, 6, 1.0)
    assert 2.9 < at_six < 3.0


@pytest.mark.parametrize(
    ("ours", "wanted"),
    [
        (replace(PEER, goodput=0.95, lost=9), True),
        (replace(PEER, goodput=0.85, throttled=0.0, lost=0), False),
        (replace(PEER, goodput=0.895, throttled=0.01, lost=0), True),
        (replace(PEER, goodput=0.905, throttled=0.2), False),
        (replace(PEER, repeated=1), False),
    ],
)
def test_who_is_not_behind(ours: Went, wanted: bool) -> None:
    assert live.not_behind(ours, PEER) is wanted


def test_a_row_says_how_penstock_stands() -> None:
    ours = replace(PEER, goodput=0.99, throttled=0.005, lost=0)
    assert live.beside(ours, PEER) == "1.10 × its goodput, 0.05 × its 429s, 3 items fewer lost"
    assert live.beside(ours, replace(PEER, throttled=0.0, lost=0)) == "1.10 × its goodput"


def test_the_database_away_is_judged_by_the_429s_it_adds_and_by_what_is_lost() -> None:
    samples = steady([(30, 50), (20, 40), (40, 50)], refused=0.005)
    story = live_events.Story(samples, 10.0, 100.0, [40.0, 60.0], lost=0, repeated=0)
    row = live_events.away("stopped", story)
    assert row.met is True
    assert "100.0 %, 80.0 %, 100.0 %" in row.measured
    assert live_events.away("stopped", replace(story, lost=1)).met is False
