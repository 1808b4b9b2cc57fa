"""What holds a run back: the reason that took the most time, in the words people read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from penstock.rate.explain import Hold
from penstock.store import holding
from penstock.store.holding import CPU
from penstock.work.stats import IN_WORDS, Stall, WorkerStats

KNEE = "knee at 6: more calls at once do not make the far side faster"
LIMIT = "rate limit, learned: 3,000 requests/min"
WAITED = [stall for stall in Stall if stall is not Stall.BLOCKED]
"""What the dispatcher waits for; it does not when nothing turns at all."""
PHRASES: dict[Hold, str] = {
    Hold.PACE: LIMIT,
    Hold.CALLS: KNEE,
    Hold.PAUSE: "pause",
    Hold.REST: "others do it",
    Hold.OVERLOAD: "overloaded",
}


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        ({}, ""),
        ({"calls": 0.0}, ""),
        ({"calls": 50.0, "pace": 9.0, CPU: 5.0}, "calls"),
        ({"calls": 9.0, "pace": 50.0, CPU: 5.0}, "pace"),
        ({"calls": 25.0, "pace": 20.0, CPU: 55.0}, "calls"),  # computes while it waits
        ({"calls": 10.0, "pace": 8.0, CPU: 82.0}, CPU),
        ({"left": 1.0, "rest": 400.0, CPU: 9.0}, CPU),
        ({"pace": 5.0, "rest": 400.0}, "pace"),  # who rests is not asked
        ({CPU: 0.1}, CPU),
    ],
)
def test_what_took_the_most_time_holds_it_back(seconds: dict[str, float], reason: str) -> None:
    assert holding.most(seconds) == reason


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ([], ""),
        ([{}], ""),
        ([{"pace": [9.0, LIMIT], "calls": [2.0, KNEE]}], LIMIT),
        ([{"pace": [9.0, LIMIT], "calls": [8.0, KNEE]}, {"calls": [8.0, "no knee"]}], KNEE),
        ([{"calls": [3.0, "looking"]}, {"calls": [8.0, KNEE]}, {"rest": [90.0, "others"]}], KNEE),
    ],
)
def test_over_all_workers_the_longest_counts(held: list[dict[str, Any]], says: str) -> None:
    assert holding.over_all([{"held": one} for one in held]) == says


def test_a_worker_of_another_version_tells_nothing() -> None:
    assert holding.over_all([{"requests": 3}, {"held": {"pace": [1.0, LIMIT]}}]) == LIMIT


def snapshot(stats: WorkerStats, blocked: tuple[str, float] | None = None) -> dict[str, Any]:
    return stats.snapshot(
        blocked=blocked,
        in_flight=0,
        concurrency=8,
        rate=None,
        waits=Hold.PAUSE,
        explain=lambda hold: PHRASES[hold],
    )


@pytest.mark.parametrize("reason", [*Hold, *WAITED])
def test_each_reason_has_words(reason: Hold | Stall) -> None:
    stats = WorkerStats()
    stats.waiting[reason] += 60.0
    words = PHRASES[reason] if isinstance(reason, Hold) else IN_WORDS[reason]
    told = snapshot(stats)
    assert told["held"][reason][1] == words
    assert told["heldBack"] == ("" if reason is Hold.REST else words)


def test_now_is_what_holds_now_and_the_end_tells_of_all_of_it() -> None:
    stats = WorkerStats()
    stats.waiting[Hold.CALLS] += 300.0
    assert snapshot(stats)["heldBack"] == KNEE
    for _ in range(20):
        stats.waiting[Hold.PACE] += 1.0
        now = snapshot(stats)
    assert now["heldBack"] == LIMIT
    assert holding.over_all([now]) == KNEE


def test_a_worker_that_rests_speaks_for_nobody() -> None:
    stats = WorkerStats()
    stats.waiting[Hold.PACE] += 60.0
    assert snapshot(stats)["heldBack"] == LIMIT
    for _ in range(20):
        stats.waiting[Hold.REST] += 1.0
        now = snapshot(stats)
    assert now["heldBack"] == ""
    stats.waiting[Hold.PACE] += 9.0
    assert snapshot(stats)["heldBack"] == LIMIT


def test_waits_and_computing_come_to_the_time_that_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    stats, began = WorkerStats(), (100.0, 7.0)
    clock = SimpleNamespace(monotonic=lambda: 100.5, process_time=lambda: 7.2)
    monkeypatch.setattr("penstock.work.stats.time", clock)
    stats.waited(Hold.CALLS, began)
    assert stats.waiting[Hold.CALLS] == pytest.approx(0.3)


def test_clocks_that_differ_a_little_take_no_time_away(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = WorkerStats()
    clock = SimpleNamespace(monotonic=lambda: 100.5, process_time=lambda: 7.6)
    monkeypatch.setattr("penstock.work.stats.time", clock)
    stats.waited(Hold.CALLS, (100.0, 7.0))
    assert stats.waiting[Hold.CALLS] == 0.0


def test_the_split_counts_each_wait_once() -> None:
    stats = WorkerStats()
    for place, reason in enumerate([*Hold, *WAITED]):
        stats.waiting[reason] = 2.0**place
    told = snapshot(stats)
    parts: float = told["providerSeconds"] + told["gateSeconds"] + told["checkpointSeconds"]
    assert parts == sum(stats.waiting.values())


def test_a_wait_that_has_not_ended_is_what_holds_it_back() -> None:
    """Its seconds are in no sum yet; the little that was computed meanwhile is not the reason."""
    stats = WorkerStats()
    snapshot(stats)
    stats._looked -= 30.0
    assert snapshot(stats)["heldBack"] == PHRASES[Hold.PAUSE]


def test_who_blocks_the_event_loop_is_what_holds_it_back() -> None:
    """It computes, but more workers would not help the items that wait behind it."""
    stats = WorkerStats()
    stats.waiting[Hold.CALLS] += 20.0
    stats._cpu -= 60.0
    told = snapshot(stats, ("parse (convert.py:12)", 60.0))
    words = "parse (convert.py:12) blocks the event loop: use mode: process, or ctx.process for"
    assert told["heldBack"].startswith(words)
    assert holding.over_all([told]).startswith(words)
