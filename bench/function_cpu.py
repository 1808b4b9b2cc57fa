"""Functions that compute: `mode: process` beside a pool with a process for every core.

    python -m bench.function_cpu [--rounds 3] [--seconds 15]

Both run the same pure Python, in turn. What is compared is the work itself, from the first item
begun to the last one ended; the whole command, with its start, its database and its file of
results, is told beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from functools import partial
from pathlib import Path

from bench import report
from bench.function_rig import Went, lags, middle, numbered, penstock, script
from bench.function_work import burn
from bench.report import Row
from bench.rig import Bench, bench

EACH = (0.02, 0.2)
"""Seconds of CPU an item."""
TARGET = 0.95


def loops(seconds: float) -> int:
    """What takes `burn` so long on this machine."""
    trial = 1_000_000
    fastest = min(_cpu_of(trial) for _ in range(3))
    return round(trial * seconds / fastest)


def run_penstock(place: Bench, items: Path, work: int) -> Went:
    """One run."""
    python = {"entrypoint": "burn", "mode": "process", "kwargs": {"loops": work}}
    return penstock(place, {"file": {"path": str(items)}}, python)


def run_script(place: Bench, items: Path, work: int) -> Went:
    """The same items through the pool."""
    return script(place, "with_pool", "burn", items, json.dumps({"loops": work}))


def measure(rounds: int = 3, seconds: float = 15.0) -> list[Row]:
    """Two rows for each size of item. seconds: about how long one run works."""
    rows = []
    cores = os.cpu_count() or 1
    with bench() as place:
        for each in EACH:
            count, work = round(seconds * cores / each), loops(each)
            items = numbered(place.folder / "items.jsonl", count)
            turns = {
                "script": partial(run_script, place, items, work),
                "penstock": partial(run_penstock, place, items, work),
            }
            found = report.take_turns(rounds, turns)
            rows += _rows(f"{count:,} items of {1000 * each:g} ms", count, found)
    return rows


def _rows(what: str, count: int, found: dict[str, list[Went]]) -> list[Row]:
    pairs = list(zip(found["penstock"], found["script"], strict=True))
    ratio = statistics.median(theirs.work / ours.work for ours, theirs in pairs)
    whole = statistics.median(theirs.seconds / ours.seconds for ours, theirs in pairs)
    return [
        Row(
            f"**CPU**: {what}, `mode: process`",
            f"**{_speeds(count, found['penstock'])}**{lags(found['penstock'])}",
            f"≥ {TARGET} × the pool",
            ratio >= TARGET,
        ),
        Row(
            "multiprocessing.Pool, imap_unordered",
            _speeds(count, found["script"]),
            beside=f"{ratio:.3f} × its speed ({whole:.3f} × with start and end)",
        ),
    ]


def _speeds(count: int, went: list[Went]) -> str:
    work = report.number(count / middle(went, lambda one: one.work))
    return f"{work} items/s; {middle(went, lambda one: one.seconds):.1f} s in all"


def _cpu_of(trial: int) -> float:
    started = time.process_time()
    burn({"n": 1}, trial)
    return time.process_time() - started


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0)
    given = parser.parse_args()
    print(report.table(measure(given.rounds, given.seconds)))


if __name__ == "__main__":
    main()
