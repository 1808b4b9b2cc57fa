"""What the measurements make of what they measured."""

from __future__ import annotations

import pytest

from bench import report, watch
from bench.report import Row


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
