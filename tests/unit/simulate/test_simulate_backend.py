"""Slots, contention and latency, in virtual time."""

from __future__ import annotations

from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.simulate.backend import Contended, draw_latency
from penstock.simulate.options import SimulatorConfig


def throughput(slots: int, contention: float, clients: int) -> float:
    """Calls of one second of work a second, with so many clients that never pause."""
    model, now, ended = Contended(slots, contention), 0.0, 0
    for call in range(clients):
        model.start(0.0, call, 1 + call / clients)
    while ended < 400:
        end = model.next_end()
        assert end is not None
        now = end
        for call in model.finish(now):
            ended += 1
            model.start(now, call, 1.0)
    return ended / now


def test_slots_let_so_many_run_and_queue_the_rest() -> None:
    model = Contended(2, 0)
    for call in range(5):
        model.start(0.0, call, 1.0)
    assert model.next_end() == 1.0
    assert model.finish(1.0) == [0, 1]
    assert model.finish(1.5) == []
    assert model.finish(2.0) == [2, 3]
    assert model.finish(10.0) == [4]
    assert model.next_end() is None


def test_more_clients_than_slots_bring_nothing() -> None:
    assert throughput(4, 0, 4) == pytest.approx(4, rel=0.05)
    assert throughput(4, 0, 16) == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("optimum", [6, 22])
def test_throughput_peaks_at_the_stated_concurrency_and_falls_beyond(optimum: int) -> None:
    at = {clients: throughput(0, optimum, clients) for clients in range(1, 3 * optimum)}
    best = max(at.values())
    assert at[optimum] > 0.99 * best
    assert at[1] < 0.5 * best
    assert at[3 * optimum - 1] < 0.95 * best


def test_without_contention_calls_do_not_slow_each_other_down() -> None:
    assert Contended(0, 0).speed(1000) == 1.0
    assert Contended(0, 5).speed(1) == 1.0


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 3)), max_size=40),
    st.integers(0, 5),
    st.sampled_from([0.0, 2.0, 10.0]),
)
def test_every_call_ends_once_and_never_before_its_work_is_done(
    arrivals: list[tuple[float, float]], slots: int, contention: float
) -> None:
    model, ends = Contended(slots, contention), {}
    now = 0.0
    for call, (gap, work) in enumerate(arrivals):
        for ended in model.finish(now + gap):
            ends[ended] = now + gap
        now += gap
        model.start(now, call, work)
    while (end := model.next_end()) is not None:
        for ended in model.finish(end):
            assert ended not in ends
            ends[ended] = end
    assert sorted(ends) == list(range(len(arrivals)))
    started = 0.0
    for call, (gap, work) in enumerate(arrivals):
        started += gap
        assert ends[call] >= started + work - 1e-6


def test_latency_has_the_stated_median_and_stragglers() -> None:
    rng = Random(1)
    plain = SimulatorConfig(latency=0.4)
    assert {draw_latency(plain, rng) for _ in range(10)} == {0.4}
    spread = [draw_latency(SimulatorConfig(latency=0.4, sigma=0.5), rng) for _ in range(4000)]
    assert median(spread) == pytest.approx(0.4, rel=0.05)
    assert max(spread) > 1.2
    tail = SimulatorConfig(latency=0.4, straggler_share=0.05, straggler_factor=10)
    slow = sum(draw_latency(tail, rng) == 4.0 for _ in range(4000))
    assert 150 < slow < 250
