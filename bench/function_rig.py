"""What the measurements of functions share: a run and a script, timed alike, and items for them."""

from __future__ import annotations

import json
import math
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.rig import Bench, Provider, environment
from bench.watch import DRIVER, Ended

RESULTS, ANSWERS = "results.jsonl", "answers.jsonl"
_OTHERS = (DRIVER, "penstock keeper", "postgres")
"""Roles of processes that are not the worker or a process of its functions."""


@dataclass(frozen=True, slots=True)
class Went:
    """One run of one contender.

    seconds: of the whole command. work: from the first item's begin to the last one's end, 0 where
    the function does not tell. cpu: seconds, of the worker and the processes it started, or of the
    script and its own. memory: MiB, of the largest of them. lag: milliseconds that a worker's event
    loop stood still at most, None where nobody looked.
    """

    seconds: float
    work: float
    cpu: float
    memory: float
    lag: float | None = None


def penstock(
    place: Bench,
    source: dict[str, Any],
    python: dict[str, Any],
    *options: str,
    output: dict[str, Any] | None = None,
    **fields: Any,
) -> Went:
    """`penstock run` of a function of bench.function_work. python: the processor's other fields."""
    python = {**python, "entrypoint": f"bench.function_work:{python['entrypoint']}"}
    spec = {
        "source": source,
        "processor": {"python": python},
        "output": output or {"file": {"path": RESULTS}},
        **fields,
    }
    finished = place.run(spec, *options)
    rows = _rows(place.folder / RESULTS) if output is None else iter(())
    log = place.database / "logs" / f"{finished.answer['name']}.log"
    return replace(went(finished.ended, rows), lag=_lag(log.read_text()))


def script(place: Bench, name: str, *arguments: str | Path, answers: bool = True) -> Went:
    """One of bench/scripts. answers: whether it saves the answers of a function."""
    ended = place.script(name, *map(str, arguments))
    return went(ended, _rows(place.folder / ANSWERS) if answers else iter(()))


def numbered(path: Path, count: int, **fields: Any) -> Path:
    """A JSON Lines file of so many items, each with its number `n`."""
    with path.open("w") as file:
        file.writelines(json.dumps({"n": n, **fields}) + "\n" for n in range(count))
    return path


def middle(rounds: Iterable[Went], figure: Callable[[Went], float]) -> float:
    """The median of a figure over several runs."""
    return statistics.median(map(figure, rounds))


@contextmanager
def file_server(folder: Path, seconds: float) -> Iterator[Provider]:
    """bench/scripts/file_server: for as long as the block runs."""
    command = [sys.executable, "-m", "bench.scripts.file_server", str(folder), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        try:
            if found is None:
                raise SystemExit("the file server did not start")
            yield Provider(process, found[0])
        finally:
            process.terminate()


def lags(rounds: Iterable[Went]) -> str:
    """The longest over several runs, for a row; empty where nobody looked."""
    known = [one.lag for one in rounds if one.lag is not None]
    return f"; the event loop stood still for {max(known):.0f} ms at most" if known else ""


def _lag(log: str) -> float | None:
    found = re.findall(r"event loop stood still for at most (\d+) ms", log)
    return max(map(float, found), default=None)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open() as file:
        yield from map(json.loads, file)


def went(ended: Ended, rows: Iterable[dict[str, Any]]) -> Went:
    """What a command was, from what was seen of it. rows: with `begin` and `end` of each item."""
    first, last = math.inf, -math.inf
    for row in rows:
        first, last = min(first, row["begin"]), max(last, row["end"])
    theirs = [one for role, one in ended.roles.items() if not role.startswith(_OTHERS)]
    return Went(
        ended.seconds,
        max(0.0, last - first),
        sum(one.cpu for one in theirs),
        max(one.peak for one in theirs),
    )
