"""The far side in virtual time is that of `penstock simulate`, with a phase and with steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rate.headers import read_hint
from penstock.simulate.admission import Admission
from penstock.simulate.options import LimitKind, SimulatorConfig
from penstock.virtual.draw import parse
from penstock.virtual.provider import Bills, VirtualProvider, best_rate, retry_after
from penstock.virtual.scenario import Provider, Tokens

ARRIVALS = st.lists(st.one_of(st.just(0), st.integers(1, 500)), min_size=1, max_size=200)
KINDS: tuple[LimitKind, ...] = ("token", "sliding", "fixed")


def described(text: str) -> Provider:
    return parse(f"provider: {{{text}}}", "s.yaml").draw(0).provider


class NoPhase(Random):
    """Windows that begin at 0, so that two clocks agree."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002
        return a


@given(ARRIVALS, st.sampled_from(KINDS), st.integers(60, 600), st.integers(1, 20), st.booleans())
def test_it_decides_as_the_simulated_provider_does(
    gaps: list[int], kind: LimitKind, per_minute: int, span: int, count_rejected: bool
) -> None:
    provider = Provider(
        limit=kind,
        requests_per_minute=per_minute,
        tokens_per_minute=50 * per_minute,
        depth_seconds=span,
        window_seconds=span,
        hints="headers",
        count_rejected=count_rejected,
    )
    config = SimulatorConfig(
        rpm=per_minute,
        tpm=50 * per_minute,
        limit=kind,
        depth=span,
        window=span,
        hints="headers",
        count_rejected=count_rejected,
    )
    virtual, served = VirtualProvider(provider, NoPhase()), Admission(config)
    now = 0.0
    for number, gap in enumerate(gaps):
        now += gap / 100
        tokens = 1 + number * 37 % 120
        passed, wait, headers = virtual.admit(now, tokens)
        verdict = served.admit("key", now, tokens)
        assert passed == (verdict.refused_by is None)
        assert headers == {
            name: text for name, text in verdict.headers.items() if name.startswith("x-")
        }
        if wait is not None:
            exact = int(verdict.headers["retry-after-ms"]) / 1000
            assert wait == pytest.approx(math.ceil(exact) if wait > 1 else exact, abs=0.0011)


def test_retry_after_is_in_whole_seconds_above_one() -> None:
    assert [retry_after(wait) for wait in (0.25, 1.0, 1.01, 59.5)] == [0.25, 1.0, 2.0, 60.0]


@pytest.mark.parametrize(
    ("hints", "told", "with_headers"),
    [("none", False, False), ("retry-after", True, False), ("headers", True, True)],
)
def test_a_client_is_told_what_the_hints_say(hints: str, told: bool, with_headers: bool) -> None:
    provider = VirtualProvider(described(f"requestsPerMinute: 60, hints: {hints}"), Random(0))
    first, second = provider.admit(0.0, 0), provider.admit(0.0, 0)
    assert (first[0], second[0]) == (True, False)
    assert first[1] is None
    assert (second[1] is not None) == told
    assert (first[2] is not None) == (second[2] is not None) == with_headers


def test_headers_are_those_that_workers_read() -> None:
    text = "requestsPerMinute: 60, tokensPerMinute: 600, depthSeconds: 60, hints: headers"
    _, _, headers = VirtualProvider(described(text), Random(0)).admit(0.0, 100)
    assert headers is not None
    requests, tokens = read_hint(headers, "requests"), read_hint(headers, "tokens")
    assert requests is not None
    assert tokens is not None
    assert (requests.limit, requests.remaining) == (60, 59)
    assert (tokens.limit, tokens.remaining) == (600, 500)


def test_steps_change_the_limit_when_their_time_has_come() -> None:
    text = "requestsPerMinute: 600, steps: [{at: 60s, factor: 2}, {at: 30s, factor: 0.5}]"
    provider = VirtualProvider(described(text), Random(0))
    passed = [0, 0, 0]
    for hundredth in range(9000):
        admitted, _, _ = provider.admit(hundredth / 100, 0)
        passed[hundredth // 3000] += admitted
    # Three times half a minute; the bucket is full at the start.
    assert passed == pytest.approx([309, 150, 600], abs=3)


def test_windows_begin_when_they_like() -> None:
    starts = set()
    for seed in range(20):
        text = "limit: fixed, requestsPerMinute: 60, hints: retry-after"
        provider = VirtualProvider(described(text), Random(seed))
        waits = [provider.admit(0.0, 0)[1] for _ in range(61)]
        starts.add(waits[-1])
    assert len(starts) > 10


def test_a_provider_without_limits_lets_all_through() -> None:
    provider = VirtualProvider(described("limit: none, requestsPerMinute: 1, slots: 3"), Random(0))
    assert all(provider.admit(0.0, 9)[0] for _ in range(100))


def test_tokens_cost_what_they_are_said_to_cost() -> None:
    tokens = Tokens(mean=500, sigma=0.8, max=4000, estimate_error=0.2, estimate_bias=0.5)
    bills = Bills(tokens, Random(1))
    drawn = [bills.draw() for _ in range(20_000)]
    assert sum(real for _, real in drawn) / 20_000 == pytest.approx(500, rel=0.03)
    assert max(real for _, real in drawn) <= 4000
    ratios = [estimate / real for estimate, real in drawn if real > 100]
    assert sum(ratios) / len(ratios) == pytest.approx(1.5, rel=0.01)
    assert 1.5 * 0.79 < min(ratios) < max(ratios) < 1.5 * 1.21


@pytest.mark.parametrize(
    ("text", "most", "found"),
    [
        ("slots: 4, latency: {median: 2s, sigma: 0}", 100, 2.0),
        ("slots: 4, latency: {median: 2s, sigma: 0}", 3, 1.5),
        ("latency: {median: 2s, sigma: 0}", 10, 5.0),
        ("latency: {median: 1s, sigma: 1}", 10, 10 / math.exp(0.5)),
        ("latency: {median: 0s, sigma: 0}", 10, 10_000),
    ],
)
def test_the_best_that_a_backend_can_do(text: str, most: int, found: float) -> None:
    assert best_rate(described(text), most) == pytest.approx(found)


@pytest.mark.parametrize("best", [1, 3, 6, 22])
def test_a_contended_backend_is_best_at_the_number_it_is_described_with(best: int) -> None:
    provider = described(f"contention: {best}, latency: {{median: 1s, sigma: 0}}")
    rate: Callable[[int], float] = lambda most: best_rate(provider, most)  # noqa: E731
    rates = [rate(most) for most in range(1, 64)]
    assert all(later >= earlier for earlier, later in pairwise(rates))
    assert rates[best - 1] == pytest.approx(rates[-1], rel=0.02)
    assert best == 1 or rates[best - 2] < rates[-1]
