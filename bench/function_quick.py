"""Functions that take next to no time: what Penstock itself costs an item, checkpoints and all.

    python -m bench.function_quick [--rounds 3] [--size 1.0]

Beside scripts that keep everything in memory until the end. By the clock the worker shares the
machine's cores with PostgreSQL and the command; items per second of CPU of the worker and of the
processes of its functions, from their start to their end, is what one core can do.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import report
from bench.function_rig import Went, lags, middle, numbered, penstock, script
from bench.report import Row
from bench.rig import Bench, bench


@dataclass(frozen=True, slots=True)
class Kind:
    """One mode. target: items per CPU second. scripts: what they are called, and their arguments;
    `{items}` is the file."""

    python: dict[str, Any]
    target: int
    items: int
    scripts: dict[str, tuple[str, ...]]


KINDS = {
    "async": Kind(
        {"entrypoint": "quick", "mode": "async"},
        10_000,
        200_000,
        {"asyncio.gather": ("with_gather", "{items}")},
    ),
    "process": Kind(
        {"entrypoint": "quick_too", "mode": "process"},
        5_000,
        100_000,
        {
            "multiprocessing.Pool, imap_unordered": ("with_pool", "quick_too", "{items}", "{}"),
            "the same, chunksize=100": ("with_pool", "quick_too", "{items}", "{}", "100"),
        },
    ),
}


def run_penstock(place: Bench, items: Path, kind: Kind) -> Went:
    """One run."""
    return penstock(place, {"file": {"path": str(items)}}, kind.python)


def run_script(place: Bench, items: Path, arguments: tuple[str, ...]) -> Went:
    """One run of a script."""
    return script(place, *(str(items) if one == "{items}" else one for one in arguments))


def measure(rounds: int = 3, size: float = 1.0) -> list[Row]:
    """Rows for both modes. size: a factor for the numbers of items."""
    rows = []
    with bench() as place:
        for mode, kind in KINDS.items():
            count = round(kind.items * size)
            items = numbered(place.folder / "items.jsonl", count)
            turns = {"penstock": partial(run_penstock, place, items, kind)}
            for name, arguments in kind.scripts.items():
                turns[name] = partial(run_script, place, items, arguments)
            found = report.take_turns(rounds, turns)
            ours = found.pop("penstock")
            rows.append(_row(mode, kind, count, ours))
            rows += [_beside(name, count, theirs, ours) for name, theirs in found.items()]
    return rows


def _row(mode: str, kind: Kind, count: int, went: list[Went]) -> Row:
    each = count / middle(went, lambda one: one.cpu)
    return Row(
        f"**Quick functions**: {count:,} items, `mode: {mode}`, durable",
        f"**{report.number(each)}** items per CPU s; {_clock(count, went)}{lags(went)}",
        f"≥ {kind.target:,} per CPU s",
        each >= kind.target,
    )


def _beside(name: str, count: int, theirs: list[Went], ours: list[Went]) -> Row:
    each = report.number(count / middle(theirs, lambda one: one.cpu))
    ratio = middle(theirs, lambda one: one.seconds) / middle(ours, lambda one: one.seconds)
    measured = f"{each} items per CPU s; {_clock(count, theirs)}"
    return Row(f"{name}, nothing saved until the end", measured, beside=f"{ratio:.2f} × its speed")


def _clock(count: int, went: list[Went]) -> str:
    work = report.number(count / middle(went, lambda one: one.work))
    return f"{work} items/s at work, {middle(went, lambda one: one.seconds):.1f} s in all"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=float, default=1.0)
    given = parser.parse_args()
    print(report.table(measure(given.rounds, given.size)))


if __name__ == "__main__":
    main()
