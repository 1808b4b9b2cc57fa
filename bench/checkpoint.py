"""Checkpoints: results a second that one worker's connection can make durable.

    python -m bench.checkpoint [--results 40000] [--rounds 3]

On the embedded PostgreSQL with its ordinary settings, so every commit waits for the disk. Results
go through the statement that workers use, one checkpoint after the other, 100 and 500 at a time.
Beside it, on the same server: what a script does that saves each result by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from bench import report
from bench.report import Row
from bench.rig import bench
from penstock.plan import planner
from penstock.sources.items import Item
from penstock.store import embedded, runs, shards
from penstock.store.db import Database
from penstock.store.migrate import migrate
from penstock.store.runs import Run
from penstock.store.shards import ResultRow

TARGET = 20_000
SIZES = (100, 500)
_OUTPUT = '{"panel":"QLED","inches":55,"hdr":["HDR10+"],"summary":"A large television."}'
_BY_HAND = 1_000
"""Results saved one by one; they are slow."""


async def _planned(db: Database, count: int, name: str) -> Run:
    run = await planner.open_run(
        db,
        job=name,
        result_set=name,
        manifest="{}",
        manifest_path="",
        existing="skip",
        redrive_reason="",
        driver="",
    )
    items = (Item(n, f"p-{n:08d}", b"%016d" % n, "{}", "") for n in range(count))
    request = planner.PlanRequest(b"digest", None, 1, fail_duplicates=False)
    await planner.plan(db, run, request, items, lambda _: None)
    return await runs.get(db, run.id)


async def _checkpoints(db: Database, count: int, size: int) -> float:
    run = await _planned(db, count, f"by-{size}-{time.monotonic_ns()}")
    leases: list[shards.Lease] = []
    while found := await shards.claim(
        db, run.id, "bench", home=0, count=64, expired_too=False, held=[x.lo for x in leases]
    ):
        leases += found
    batches = [
        (lease, [_result(lease.lo, n) for n in numbers])
        for lease in leases
        for numbers in _batches(range(lease.lo, lease.hi), size)
    ]
    started = time.perf_counter()
    for lease, rows in batches:
        await shards.checkpoint(db, run, [(lease.lo, lease.epoch, False)], rows)
    seconds = time.perf_counter() - started
    written = (await runs.totals(db, run.id))["succeeded"]
    if written != count:
        raise SystemExit(f"{written} of {count} results were written")
    return count / seconds


async def _one_by_one(db: Database, count: int) -> float:
    await db.execute("CREATE TABLE IF NOT EXISTS by_hand (id text PRIMARY KEY, output text)")
    started = time.perf_counter()
    for _ in range(count):
        await db.execute("INSERT INTO by_hand VALUES (gen_random_uuid()::text, $1)", _OUTPUT)
    return count / (time.perf_counter() - started)


async def _on(database: Path, rounds: int, results: int) -> dict[str, float]:
    server = await embedded.start(database, cwd=database)
    db = Database(server.dsn)
    try:
        await db.open()
        await db.call(migrate)
        found: dict[str, list[float]] = {}
        for _ in range(rounds):
            for size in SIZES:
                found.setdefault(str(size), []).append(await _checkpoints(db, results, size))
            found.setdefault("one", []).append(await _one_by_one(db, _BY_HAND))
        return {name: report.medians([[one] for one in runs])[0] for name, runs in found.items()}
    finally:
        await db.close()
        server.close()


def measure(rounds: int = 3, results: int = 40_000) -> list[Row]:
    """Rows for each size of checkpoint, and for saving by hand."""
    with bench() as place:
        found = asyncio.run(_on(place.database, rounds, results))
    rows = [
        Row(
            f"**Checkpoints** of {size} results, one connection, durable",
            f"**{report.number(found[str(size)])}** results/s",
            f"≥ {TARGET:,} results/s",
            found[str(size)] >= TARGET,
        )
        for size in SIZES
    ]
    beside = f"{report.times(found[str(SIZES[0])] / found['one'])} at {SIZES[0]} a checkpoint"
    by_hand = Row("one INSERT a result", f"{report.number(found['one'])} results/s", beside=beside)
    return [*rows, by_hand]


def _batches(numbers: range, size: int) -> list[Sequence[int]]:
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


def _result(shard: int, position: int) -> ResultRow:
    return ResultRow(
        shard=shard,
        position=position,
        item_id=f"p-{position:08d}",
        fingerprint=b"%016d" % position,
        succeeded=True,
        attempts=1,
        reason=None,
        error=None,
        output=_OUTPUT,
        prompt_tokens=180,
        completion_tokens=12,
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--results", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(report.table(measure(given.rounds, given.results)))


if __name__ == "__main__":
    main()
