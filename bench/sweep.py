"""A server that throttles and contends: every fixed number of calls in flight, then Penstock alone.

    python -m bench.sweep [--items 900] [--seed 0]

The photo library's server: fastest with six calls at once, slower with each further one, and it
answers 429 above 900 calls a minute, which is a little more than it can do at its best. Each number
of calls in flight gets a new server that draws the same latencies in the same order, then Penstock
chooses the number itself, with one worker and with five. The whole command counts, from its start
to its end, with all that is spent on looking for the knee. Numbers that are far from the best do a
sixth of the items: they need long for those, too.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from bench import report
from bench.report import Row
from bench.rig import bench, provider, write_items

SERVER = ("--rpm", "900", "--contention", "6", "--latency", "200ms", "--sigma", "0.5")
FIXED = (1, 2, 3, 4, 6, 8, 11, 16, 22, 32)
NEAR = (4, 6, 8, 11)
"""Of these, those that do all items."""
WORKERS = (1, 5)
TOLERANCE = 0.97
"""What counts as no slower: nine hundred calls in a minute cannot tell less, and the best of ten
fixed numbers was lucky."""


@dataclass(frozen=True, slots=True)
class Swept:
    """One run. rate: items a second over the whole command. throttled: 429s of all requests."""

    rate: float
    seconds: float
    throttled: float
    retries: int
    failed: int
    peak: int


def run_one(items: int, seed: int, *options: str) -> Swept:
    """`penstock run` against a server of its own."""
    with provider(*SERVER, "--seed", f"{seed}") as server, bench(server) as place:
        path = write_items(place.folder / "items.jsonl", items)
        spec = {
            "source": {"file": {"path": str(path)}, "idField": "sku"},
            "processor": {"http": {"url": f"{server.url}/tag"}},
            "output": {"file": {"path": "tagged.jsonl"}},
        }
        found = place.run(spec, *options)
        peak = int(server.stats()["in_flight_peak"])
    answer, seconds = found.answer, found.ended.seconds
    return Swept(
        rate=items / seconds,
        seconds=seconds,
        throttled=answer["throttled"] / answer["requests"],
        retries=answer["retries"],
        failed=answer["failed"],
        peak=peak,
    )


def measure(items: int = 900, seed: int = 0) -> list[Row]:
    """A row for each fixed number, then one for Penstock with each number of workers."""
    fixed = {
        calls: run_one(items if calls in NEAR else items // 6, seed, "--concurrency", f"{calls}")
        for calls in FIXED
    }
    best = max(fixed, key=lambda calls: fixed[calls].rate)
    rows = []
    for workers in WORKERS:
        own = run_one(items, seed, "--workers", f"{workers}")
        ratio = own.rate / fixed[best].rate
        many = f"{workers} worker{'s' if workers > 1 else ''}"
        rows.append(
            Row(
                f"**Throttled and contended**: {items:,} items, {many}, calls in flight chosen by"
                " Penstock",
                f"**{_figures(own)}**",
                f"≥ {TOLERANCE} × the best fixed number ({best})",
                ratio >= TOLERANCE and not own.failed,
                f"{ratio:.3f} × its speed",
            )
        )
    for calls, one in fixed.items():
        name = f"fixed: {calls} call{'s' if calls > 1 else ''} in flight"
        rows.append(Row(name, _figures(one)))
    return rows


def _figures(one: Swept) -> str:
    return (
        f"{one.rate:.2f} items/s ({one.seconds:.0f} s); {one.throttled:.1%} 429s,"
        f" {one.retries} retries, {one.failed} failed, at most {one.peak} in flight"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--items", type=int, default=900)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(report.table(measure(given.items, given.seed)))


if __name__ == "__main__":
    main()
