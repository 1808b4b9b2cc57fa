"""The one table that all measurements go into."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One line. measured and beside: text for people. met: None where nothing is promised.

    beside: how Penstock stands against what this line measured, `3.1 x quicker` say.
    """

    what: str
    measured: str
    target: str = ""
    met: bool | None = None
    beside: str = ""


def table(rows: Iterable[Row]) -> str:
    """Markdown."""
    lines = ["| | measured | target | Penstock beside it |", "|---|---|---|---|"]
    for row in rows:
        mark = {None: "", True: " ✓", False: " ✗"}[row.met]
        lines.append(f"| {row.what} | {row.measured} | {row.target}{mark} | {row.beside} |")
    return "\n".join(lines)


def medians(runs: Sequence[Sequence[float]]) -> list[float]:
    """The median of each place over several runs."""
    return [statistics.median(place) for place in zip(*runs, strict=True)]


def number(value: float) -> str:
    """`12,345`, `45.2`, `3.40`: three digits are enough."""
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def times(ratio: float) -> str:
    """`12.3 ×`."""
    return f"{number(ratio)} ×"


def take_turns(rounds: int, contenders: Mapping[str, Callable[[], Any]]) -> dict[str, list[Any]]:
    """Run all contenders, A B C A B C: whatever disturbs the machine hits them alike."""
    results: dict[str, list[Any]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            results[name].append(run())
    return results
