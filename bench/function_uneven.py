"""Rows of an Excel file that take very uneven times: a function in threads, beside thread pools.

    python -m bench.function_uneven [--latency 0.5] [--seed 0]

400 suppliers, eight at a time; one in twenty takes ten times as long as the others. An ideal
schedule keeps all eight busy until the last moment; nobody who does not know durations beforehand
can do better than that plus the longest item, which may come last. The two scripts are what people
write: a hundred rows at a time, then the next hundred; and results as they end, a commit every
hundred. The whole command counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from random import Random

from bench import report
from bench.function_rig import Went, penstock, script
from bench.report import Row
from bench.rig import ROOT, Bench, Provider, bench, provider
from penstock.simulate.backend import draw_latency
from penstock.simulate.options import SimulatorConfig

BOOK = ROOT / "manifests" / "samples" / "data" / "suppliers.xlsx"
ROWS, THREADS = 400, 8
SHARE, FACTOR = 0.05, 10.0
TOLERANCE = 1.05


def run_penstock(place: Bench, server: Provider) -> Went:
    """One run."""
    source = {
        "file": {"path": str(BOOK)},
        "idField": ["Auxiliaire", "Code tiers", "_position"],
    }
    python = {"entrypoint": "match", "mode": "thread", "kwargs": {"url": f"{server.url}/match"}}
    return penstock(place, source, python, "--concurrency", f"{THREADS}")


def run_script(place: Bench, server: Provider, how: str) -> Went:
    """One of the two ways."""
    return script(place, "with_batches", BOOK, f"{server.url}/match", f"{THREADS}", how)


def measure(latency: float = 0.5, seed: int = 0) -> list[Row]:
    """Three rows."""
    config = SimulatorConfig(
        latency=latency, straggler_share=SHARE, straggler_factor=FACTOR, seed=seed
    )
    draws = Random(seed)  # the provider's own: it draws once a call, in the order they come
    durations = [draw_latency(config, draws) for _ in range(ROWS)]
    ideal, longest = sum(durations) / THREADS, max(durations)
    options = ("--straggler-share", f"{SHARE}", "--straggler-factor", f"{FACTOR}")
    with (
        provider("--latency", f"{latency}", "--seed", f"{seed}", *options) as server,
        bench(server) as place,
    ):
        turns: dict[str, Callable[[], Went]] = {
            "penstock": lambda: run_penstock(place, server),
            "ThreadPool, 100 rows at a time": lambda: run_script(place, server, "chunks"),
            "ThreadPool, imap_unordered, a commit every 100": lambda: run_script(
                place, server, "as_they_end"
            ),
        }
        found: dict[str, Went] = {}
        for name, run in turns.items():
            server.reset()
            found[name] = run()
            if server.stats()["accepted"] != ROWS:
                raise SystemExit("not a call a row: the durations are not those drawn here")
    ours, bound = found.pop("penstock"), TOLERANCE * (ideal + longest)
    return [
        Row(
            f"**Uneven rows**: {ROWS} of an Excel file, {SHARE:.0%} of them {FACTOR:g} × slower, "
            f"`mode: thread`, {THREADS} at a time (ideal {ideal:.1f} s, longest {longest:.1f} s)",
            f"**{ours.seconds:.1f} s**, {ours.work:.1f} s of it at work",
            f"≤ {bound:.1f} s",
            ours.seconds <= bound,
        ),
        *(
            Row(
                name,
                f"{theirs.seconds:.1f} s, {theirs.work:.1f} s of it at work",
                beside=f"{ours.seconds / theirs.seconds:.2f} × its time",
            )
            for name, theirs in found.items()
        ),
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--latency", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(report.table(measure(given.latency, given.seed)))


if __name__ == "__main__":
    main()
