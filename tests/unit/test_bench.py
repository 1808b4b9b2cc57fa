"""What the measurements make of what they measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import rate, rate_pictures, report, watch
from bench.rate import Promise
from bench.report import Row
from penstock.virtual.score import Score


def test_the_table_marks_what_was_reached_and_what_was_missed() -> None:
    rows = [Row("a", "1", "≥ 1", True), Row("b", "2", "≤ 1", False), Row("c", "3", beside="2 ×")]
    assert report.table(rows).splitlines()[2:] == [
        "| a | 1 | ≥ 1 ✓ |  |",
        "| b | 2 | ≤ 1 ✗ |  |",
        "| c | 3 |  | 2 × |",
    ]


def test_contenders_take_turns_and_medians_are_taken_place_by_place() -> None:
    order: list[str] = []

    def run(name: str) -> tuple[int, int]:
        order.append(name)
        return len(order), -len(order)

    found = report.take_turns(3, {"a": lambda: run("a"), "b": lambda: run("b")})
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert report.medians(found["a"]) == [3, -3]


@pytest.mark.parametrize(
    ("name", "command", "wanted"),
    [
        ("python", ["/usr/bin/python3", "-m", "penstock", "work"], "penstock work"),
        ("penstock", ["python", "/x/bin/penstock", "run", "job.yaml"], "penstock run"),
        (
            "python",
            ["python", "-I", "-c", "from penstock.store.keeper import x"],
            "penstock keeper",
        ),
        ("postgres", ["postgres: penstock penstock [local] idle"], "postgres: connection"),
        ("postgres", ["postgres: checkpointer "], "postgres: checkpointer"),
        ("postgres", ["postgres: autovacuum worker penstock"], "postgres: autovacuum worker"),
        ("sleep", ["sleep", "1"], "sleep"),
    ],
)
def test_the_role_of_a_process(name: str, command: list[str], wanted: str) -> None:
    assert watch.role(name, command) == wanted


def a_score(goodput: float, throttled: float = 0.0, **others: Any) -> Score:
    fields: dict[str, Any] = {"seconds": None, "ideal_seconds": None, "jobs": (1.0,)} | others
    return Score(goodput, throttled, 0, None, **fields)


@pytest.mark.parametrize(
    ("promise", "scores", "is_kept"),
    [
        (Promise("a", 1, goodput=0.98), [a_score(0.97), a_score(1.0)], True),
        (Promise("a", 1, goodput=0.98), [a_score(0.97), a_score(0.98)], False),
        (Promise("a", 1, throttled=0.01), [a_score(1, 0.02), a_score(1)], True),
        (Promise("a", 1, throttled=0.01), [a_score(1, 0.03), a_score(1)], False),
        (Promise("a", 1, seconds=8), [a_score(1, seconds=7.0), a_score(1, seconds=9.0)], True),
        (Promise("a", 1, seconds=8), [a_score(1, seconds=7.0), a_score(0)], False),
        (Promise("a", 1, jobs=0.05), [a_score(1, jobs=(0.51, 0.49))], True),
        (Promise("a", 1, jobs=0.05), [a_score(1, jobs=(0.53, 0.47))], False),
    ],
)
def test_a_promise_is_kept_when_the_means_are_within_its_bounds(
    promise: Promise, scores: list[Score], is_kept: bool
) -> None:
    assert rate.kept(promise, scores) == is_kept


def test_the_spread_over_a_population() -> None:
    scores = [a_score(1 - place / 100, place / 1000) for place in range(100)]
    assert rate.spread(scores) == ["6.0 · 26.0 · 51.0 %", "4.95 · 9.50 %", "3 %"]


def test_a_picture_is_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first = rate_pictures.draw_one("rate-token-1s", tmp_path)
    again = rate_pictures.draw_one("rate-token-1s", tmp_path / "again")
    assert first.name == "rate-token-1s.svg"
    assert first.read_bytes() == again.read_bytes()
    assert b"true limit" in first.read_bytes()
