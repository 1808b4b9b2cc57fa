"""The whole of `penstock run` against a server that answers at once, beside plain scripts.

    python -m bench.loop [--rounds 3] [--size 1.0] [--only chat]

64 calls in flight, everything in processes of their own: the simulated provider, the command, its
worker, PostgreSQL. By the clock they share the machine's cores with each other and with whatever
else runs on it, and the provider is often the slowest of them; items per second of CPU of the
worker process, from its start to its end, is the figure that says what one core can do. A script
is one process, and all of its CPU counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import report
from bench.report import Row
from bench.rig import Bench, Provider, bench, provider, write_items
from bench.scripts.calls import MODEL, PATHS, SCHEMA, SYSTEM
from bench.watch import WORKER

IN_FLIGHT = 64
_TEXT = "Title: {{ item.title }}\nDescription: {{ item.description }}"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of work. items: how many Penstock gets; scripts: how many each script gets.

    Enough for some seconds each. target: items per CPU second of the worker.
    """

    title: str
    processor: dict[str, Any]
    items: int
    scripts: dict[str, int]
    target: int | None = None
    several: int = 1


KINDS = {
    "http": Kind(
        "plain HTTP",
        {"http": {"url": "{url}" + PATHS["http"]}},
        20_000,
        {"with_httpx": 2_000, "with_aiohttp": 15_000},
        target=1_500,
    ),
    "chat": Kind(
        "openai chat with a JSON schema",
        {
            "openai": {
                "baseURL": "{url}/v1",
                "model": MODEL,
                "messages": [
                    {"role": "system", "content": SYSTEM},
                    {"role": "user", "content": _TEXT},
                ],
                "responseFormat": SCHEMA,
            }
        },
        10_000,
        {"with_httpx": 2_000, "with_openai": 2_000, "with_aiohttp": 8_000},
        target=500,
    ),
    "embeddings": Kind(
        "openai embeddings",
        {
            "openai": {
                "operation": "embeddings",
                "baseURL": "{url}/v1",
                "model": MODEL,
                "input": _TEXT,
            }
        },
        10_000,
        {"with_httpx": 2_000, "with_openai": 2_000, "with_aiohttp": 8_000},
    ),
}


@dataclass(frozen=True, slots=True)
class Speed:
    """Items a second: by the clock, and of CPU. all_cpu: of all of Penstock's processes."""

    clock: float
    core: float
    all_cpu: float


def run_penstock(place: Bench, server: Provider, kind: Kind, items: Path, count: int) -> Speed:
    """One run of `count` items."""
    spec = {
        "source": {"file": {"path": str(items)}, "idField": "sku", "limit": count},
        "processor": _filled(kind.processor, server.url),
        "scaling": {"concurrency": {"min": IN_FLIGHT, "max": IN_FLIGHT}},
    }
    ended = place.run(spec).ended
    every = sum(figures.cpu for figures in ended.roles.values())
    return Speed(count / ended.seconds, count / ended.roles[WORKER].cpu, count / every)


def run_script(place: Bench, server: Provider, kind: str, name: str, items: Path) -> Speed:
    """One run of a script over all items of a file."""
    ended = place.script(name, server.url, kind, str(items), str(IN_FLIGHT))
    count = sum(1 for _ in items.open("rb"))
    return Speed(count / ended.seconds, count / ended.cpu, count / ended.cpu)


def measure(rounds: int = 3, size: float = 1.0, only: str | None = None) -> list[Row]:
    """Rows for every kind. size: a factor for the numbers of items."""
    rows: list[Row] = []
    with provider("--dimensions", "256") as server, bench(server) as place:
        for name, kind in KINDS.items():
            if only in (None, name):
                rows += _compare(place, server, name, kind, rounds, size)
    return rows


def _compare(
    place: Bench, server: Provider, name: str, kind: Kind, rounds: int, size: float
) -> list[Row]:
    count = round(kind.items * size)
    items = write_items(place.folder / f"{name}.jsonl", count)
    contenders: dict[str, Callable[[], Speed]] = {
        "penstock": partial(run_penstock, place, server, kind, items, count)
    }
    for script, number in kind.scripts.items():
        fewer = write_items(place.folder / f"{script}.jsonl", round(number * size))
        contenders[script] = partial(run_script, place, server, name, script, fewer)
    results = {
        key: Speed(*report.medians([(one.clock, one.core, one.all_cpu) for one in runs]))
        for key, runs in report.take_turns(rounds, contenders).items()
    }
    ours = results.pop("penstock")
    target = f"≥ {kind.target:,} a CPU s" if kind.target else ""
    met = ours.core >= kind.target if kind.target else None
    measured = (
        f"**{report.number(ours.core)}** items a CPU s of the worker "
        f"({report.number(ours.all_cpu)} of all processes), {report.number(ours.clock)} a second"
    )
    rows = [Row(f"**Loop: {kind.title}**, {IN_FLIGHT} in flight", measured, target, met)]
    for script, theirs in results.items():
        beside = f"{report.times(ours.core / theirs.core)} by CPU, "
        beside += f"{report.times(ours.clock / theirs.clock)} by the clock"
        text = f"{report.number(theirs.core)} items a CPU s, {report.number(theirs.clock)} a second"
        rows.append(Row(f"script {script.replace('_', ' ')}", text, beside=beside))
    return rows


def _filled(value: Any, url: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, url) for key, one in value.items()}
    return value.replace("{url}", url) if isinstance(value, str) else value


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=float, default=1.0)
    parser.add_argument("--only", choices=KINDS)
    given = parser.parse_args()
    print(report.table(measure(given.rounds, given.size, given.only)))


if __name__ == "__main__":
    main()
