"""Members and a leader together, in virtual time: a few short runs. What is promised of them over
many seeds is tried in tests/simulation."""

from __future__ import annotations

import pytest

from penstock.virtual.draw import parse
from penstock.virtual.engine import run
from penstock.virtual.pooled import Pooled
from penstock.virtual.score import Score, score
from penstock.virtual.tape import Tape


def tape(text: str, seed: int = 1) -> Tape:
    return run(parse(text, "s.yaml").draw(seed), Pooled, seed)


def tried(text: str, seed: int = 1) -> Score:
    return score(tape(text, seed))


def accepted(told: Tape, job: int, begin: int, end: int) -> int:
    return sum(told.accepted_by_job[job][begin:end])


@pytest.mark.parametrize("pods", [1, 5, 20])
@pytest.mark.parametrize(
    ("provider", "per_minute"),
    [
        pytest.param("limit: token, requestsPerMinute: 1200, depthSeconds: 1", 1200, id="bucket"),
        pytest.param("limit: token, requestsPerMinute: 900, depthSeconds: 30", 900, id="deep"),
        pytest.param(
            "limit: sliding, requestsPerMinute: 1200, windowSeconds: 30, hints: retry-after",
            1200,
            id="sliding",
        ),
        pytest.param(
            "limit: fixed, requestsPerMinute: 1200, windowSeconds: 10, hints: headers",
            1200,
            id="fixed",
        ),
    ],
)
def test_an_unknown_limit_is_learned_and_used(provider: str, per_minute: int, pods: int) -> None:
    found = tried(f"{{provider: {{{provider}}}, pods: {pods}, duration: 240s, warmup: 60s}}")
    assert found.limit_learned == pytest.approx(per_minute, rel=0.04)
    assert found.goodput > 0.96
    assert found.throttled < 0.015


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("pods", [1, 3])
def test_where_refused_calls_count_it_does_not_keep_the_limit_used_up(pods: int, seed: int) -> None:
    found = tried(
        "{provider: {requestsPerMinute: 515, hints: retry-after, countRejected: true,"
        f" latency: {{median: 2s}}}}, pods: {pods}, duration: 300s}}",
        seed,
    )
    assert found.goodput > 0.7
    assert found.throttled < 0.15


def test_a_stated_limit_is_kept_without_being_refused() -> None:
    found = tried(
        "{provider: {requestsPerMinute: 1200}, stated: true, pods: 5, duration: 120s, warmup: 10s}"
    )
    assert found.goodput > 0.985
    assert found.throttled < 0.002


def test_two_jobs_have_the_same_and_the_one_that_stays_has_it_all() -> None:
    told = tape(
        "{provider: {requestsPerMinute: 3000}, duration: 200s, warmup: 60s,"
        " jobs: [{pods: 5}, {pods: 2, end: 150s}]}"
    )
    ours, theirs = (accepted(told, job, 60, 150) for job in (0, 1))
    assert ours / (ours + theirs) == pytest.approx(0.5, abs=0.03)
    assert ours + theirs > 0.97 * 90 * 50
    assert accepted(told, 0, 160, 200) > 0.97 * 40 * 50


@pytest.mark.parametrize("pod", [0, 1])
def test_when_a_worker_dies_all_of_the_limit_is_in_use_five_seconds_later(pod: int) -> None:
    """Pod 0 leads; pod 1 has a share."""
    told = tape(
        "{provider: {requestsPerMinute: 4500}, pods: 4, duration: 160s, warmup: 60s,"
        f" kill: [{{at: 100s, pod: {pod}}}]}}"
    )
    assert accepted(told, 0, 60, 100) > 0.97 * 40 * 75
    assert accepted(told, 0, 105, 160) > 0.97 * 55 * 75


def test_without_the_database_it_goes_on_below_the_limit() -> None:
    told = tape(
        "{provider: {requestsPerMinute: 1200}, pods: 3, duration: 200s, warmup: 60s,"
        " databaseAway: [{from: 100s, to: 130s}]}"
    )
    away = accepted(told, 0, 103, 130)
    assert 0.8 * 27 * 20 < away <= 1.01 * 27 * 20
    assert sum(told.refused_by_job[0][100:135]) <= 0.02 * away
    assert accepted(told, 0, 140, 200) > 0.96 * 60 * 20


def test_the_same_seed_is_the_same_run() -> None:
    text = "{provider: {requestsPerMinute: 600}, pods: 3, duration: 60s, warmup: 10s}"
    assert tried(text, 3) == tried(text, 3)
    assert tape(text, 3).accepted_by_job != tape(text, 4).accepted_by_job
