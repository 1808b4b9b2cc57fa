"""Planning: items a second from JSON Lines into PostgreSQL, and whether memory stays flat.

    python -m bench.plan [--items 1000000] [--rounds 2]

The command is `penstock run` as it stands, at an address where nobody listens: it plans, finds
nobody there, and pauses. Planning counts from the run's row to the moment that workers may start:
reading, IDs, fingerprints, COPY, indexes, the search for duplicates, shards. Memory is the
command's own, at its highest.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg

from bench import report
from bench.report import Row
from bench.rig import PAUSED, Bench, bench, write_items
from bench.watch import DRIVER
from penstock.store import embedded

TARGET = 100_000
FEW = 10_000
SPREAD = 0.10
"""How far memory may grow from few items to many."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One plan. speed: items a second. memory: MiB."""

    speed: float
    memory: float


def plan(place: Bench, items: Path, count: int, id_field: bool) -> Planned:
    """Plan `count` items with a job of its own."""
    source = {"file": {"path": str(items)}, "limit": count}
    spec = {
        "source": {**source, "idField": "sku"} if id_field else source,
        "processor": {"http": {"url": "http://127.0.0.1:9/nobody"}},
    }
    finished = place.run(spec, codes=(PAUSED,))
    seconds = asyncio.run(_seconds(place.database, finished.answer["name"]))
    return Planned(count / seconds, finished.ended.roles[DRIVER].peak)


async def _seconds(database: Path, job: str) -> float:
    server = await embedded.start(database, cwd=database)
    try:
        connection = await asyncpg.connect(server.dsn)
        try:
            took = await connection.fetchval(
                "SELECT extract(epoch FROM planned_at - created_at) FROM run WHERE job = $1", job
            )
            return float(took)
        finally:
            await connection.close()
    finally:
        server.close()


def measure(rounds: int = 2, count: int = 1_000_000) -> list[Row]:
    """Rows for planning with and without `idField`, and for memory."""
    with bench() as place:
        items = write_items(place.folder / "items.jsonl", count)
        found = report.take_turns(
            rounds,
            {
                "few": partial(plan, place, items, min(FEW, count), True),
                "idField": partial(plan, place, items, count, True),
                "hash": partial(plan, place, items, count, False),
            },
        )
    speed = {
        name: report.medians([(one.speed, one.memory) for one in runs])
        for name, runs in found.items()
    }
    growth = speed["idField"][1] / speed["few"][1] - 1
    target = f"≥ {TARGET:,} items/s"
    return [
        Row(
            f"**Plan** {count:,} items from JSONL, with `idField`",
            f"**{report.number(speed['idField'][0])}** items/s",
            target,
            speed["idField"][0] >= TARGET,
        ),
        Row(
            "the same without: the ID is the content's hash",
            f"**{report.number(speed['hash'][0])}** items/s",
            target,
            speed["hash"][0] >= TARGET,
        ),
        Row(
            f"memory of the planning process at {FEW:,} and {count:,} items",
            f"{speed['few'][1]:.0f} and {speed['idField'][1]:.0f} MiB ({growth:+.0%})",
            f"± {SPREAD:.0%}",
            abs(growth) <= SPREAD,
        ),
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    print(report.table(measure(given.rounds, given.items)))


if __name__ == "__main__":
    main()
