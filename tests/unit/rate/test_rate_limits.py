"""Two limits at once: which of them binds is found out, or told."""

from __future__ import annotations

import json
from random import Random

import pytest

from penstock.rate.bounds import Bounds
from penstock.rate.dimension import START
from penstock.rate.limits import Limits
from penstock.simulate.limits import Limiter, TokenBucket

MEAN = 1000


def run(
    limits: Limits,
    seconds: float,
    *,
    requests: Limiter | None = None,
    tokens: Limiter | None = None,
    sigma: float = 0.6,
    seed: int = 0,
) -> tuple[int, int]:
    """One client that hears at once; (calls admitted, calls refused) of the latter half."""
    random = Random(seed)
    now, next_tick, knock, admitted, refused = 0.0, 0.0, 0.0, 0, 0
    size = max(1, round(random.lognormvariate(-(sigma**2) / 2, sigma) * MEAN))
    while now < seconds:
        while next_tick <= now:
            limits.tick(next_tick)
            next_tick += 0.2
        wait = requests.wait(now, 1) if requests else 0.0
        wait = max(wait, tokens.wait(now, size) if tokens else 0.0)
        turn = max(1 / limits.requests.pace, size / limits.tokens.pace)
        if wait == 0:
            if requests:
                requests.take(now, 1)
            if tokens:
                tokens.take(now, size)
        limits.call(now, 1, size, admitted=wait == 0)
        if now > seconds / 2:
            admitted, refused = admitted + (wait == 0), refused + (wait > 0)
        if wait == 0:
            size = max(1, round(random.lognormvariate(-(sigma**2) / 2, sigma) * MEAN))
        knock = 0.0 if wait == 0 else max(0.05, min(1.0, 1.6 * knock))
        now += max(turn, knock, 1e-3)
    return admitted, refused


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("depth", [1.0, 30.0])
def test_tokens_are_found_to_be_what_is_counted(depth: float, seed: int) -> None:
    limits = Limits(Bounds(1, 100))
    admitted, refused = run(limits, 600, tokens=TokenBucket(2_000_000, depth), seed=seed)
    assert limits.requests.passive
    assert not limits.tokens.passive
    assert limits.tokens.limit.rate == pytest.approx(2_000_000 / 60, rel=0.05)
    assert admitted * MEAN / 300 > 0.93 * 2_000_000 / 60
    assert refused < 0.02 * admitted


@pytest.mark.parametrize("seed", range(2))
def test_requests_are_found_to_be_what_is_counted(seed: int) -> None:
    limits = Limits(Bounds(1, 100))
    admitted, refused = run(limits, 400, requests=TokenBucket(2000, 1), seed=seed)
    assert not limits.requests.passive
    assert limits.tokens.passive
    assert limits.rate == pytest.approx(2000 / 60, rel=0.03)
    assert admitted > 0.97 * 200 * 2000 / 60
    assert refused < 0.01 * admitted


def test_tokens_learned_start_the_next_one() -> None:
    first = Limits(Bounds(1, 100))
    run(first, 600, tokens=TokenBucket(2_000_000, 1))
    learned = json.loads(json.dumps(first.learned()))
    assert list(learned) == ["tokens"]
    second = Limits(Bounds(1, 100))
    second.start_from(learned, 0.0)
    assert not second.starting
    assert second.tokens.limit.rate == first.tokens.limit.rate
    admitted, refused = run(second, 200, tokens=TokenBucket(2_000_000, 1), seed=1)
    assert admitted * MEAN / 100 > 0.9 * 2_000_000 / 60
    assert refused < 0.03 * admitted


def test_where_both_are_stated_both_are_kept() -> None:
    limits = Limits(Bounds(1, 100, requests_per_second=50, tokens_per_second=20_000))
    admitted, refused = run(
        limits, 120, requests=TokenBucket(3000, 1), tokens=TokenBucket(1_200_000, 1)
    )
    assert refused == 0
    assert admitted == pytest.approx(60 * 20, rel=0.1)
    assert limits.rate == pytest.approx(20, rel=0.2)


@pytest.mark.parametrize(
    ("hints", "requests", "tokens"),
    [
        ({"requests": 50.0}, 50.0, None),
        ({"requests": 50.0, "tokens": 9000.0}, 50.0, 9000.0),
        ({}, None, None),
    ],
)
def test_headers_are_a_guess_to_start_from(
    hints: dict[str, float], requests: float | None, tokens: float | None
) -> None:
    limits = Limits(Bounds(1, 100))
    limits.hinted(hints, 1.0)
    assert limits.requests.limit.rate == requests
    assert limits.tokens.limit.rate == tokens
    assert limits.starting is (requests is None)


def test_a_header_does_not_undo_what_was_measured() -> None:
    limits = Limits(Bounds(1, 100))
    run(limits, 100, requests=TokenBucket(600, 1))
    limits.hinted({"requests": 500.0}, 100.0)
    assert limits.rate == pytest.approx(10, rel=0.05)


def test_what_is_stated_is_not_begun_by_what_was_learned() -> None:
    limits = Limits(Bounds(1, 100, requests_per_second=50))
    limits.start_from({"requests": {"rate": 10.0, "window": None, "doubt": 0.02}}, 0.0)
    assert limits.rate == 50.0


@pytest.mark.parametrize(("least", "pace"), [(1, START), (100, float("inf"))])
def test_a_fixed_concurrency_is_not_ramped_up(least: int, pace: float) -> None:
    assert Limits(Bounds(least, 100)).calls_a_second == pace


def test_a_stated_limit_of_tokens_leaves_calls_without_tokens_paced() -> None:
    limits = Limits(Bounds(1, 100, tokens_per_second=1000.0))
    bucket, now = TokenBucket(600, 1), 0.0
    while now < 120:
        admitted = bucket.wait(now, 1) == 0
        if admitted:
            bucket.take(now, 1)
        limits.call(now, 1, 0, admitted=admitted)
        limits.tick(now)
        now += 1 / min(limits.calls_a_second, 1000.0)
    assert limits.rate == pytest.approx(10.0, rel=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_sizes_that_drift_are_no_limit_of_tokens(seed: int) -> None:
    """Longer and longer texts, so that what is refused is always larger than the mean so far."""
    limits, bucket, random = Limits(Bounds(1, 100)), TokenBucket(200, 1), Random(seed)
    now, calls = 0.0, 0
    while now < 120:
        if now > 40 and bucket.per_minute == 200:
            bucket.change(now, 600)
        calls += 1
        tokens = 17 + calls // 200 + random.choice([0, 1])
        admitted = bucket.wait(now, 1) == 0
        if admitted:
            bucket.take(now, 1)
        limits.call(now, 1, tokens, admitted=admitted)
        limits.tick(now)
        now += 1 / limits.calls_a_second
    assert limits.tokens.passive
    assert not limits.requests.passive
