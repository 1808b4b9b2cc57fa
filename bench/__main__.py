"""All measurements in one table: `make bench`, `make bench-long`.

    python -m bench [--long] [--only plan loop] [--rounds 3]

prints the table and, when nothing was left out, writes it to bench/results.md (--long:
bench/results-long.md). About twenty minutes; --long about half an hour more.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import (
    checkpoint,
    clients,
    loop,
    memory,
    movies,
    plan,
    products,
    report,
    stragglers,
    sweep,
)
from bench.report import Row

RESULTS = Path(__file__).parent / "results.md"
RESULTS_LONG = Path(__file__).parent / "results-long.md"

MEASUREMENTS: dict[str, Callable[[int], list[Row]]] = {
    "plan": lambda _: plan.measure(),
    "checkpoint": checkpoint.measure,
    "loop": loop.measure,
    "clients": clients.measure,
    "memory": lambda _: memory.measure(),
    "movies": lambda _: movies.measure(),
    "products": lambda _: products.measure(),
    "stragglers": lambda _: stragglers.measure(),
    "sweep": lambda _: sweep.measure(),
}
LONG: dict[str, Callable[[int], list[Row]]] = {
    "memory": lambda _: memory.measure(many=memory.LONG),
}


def page(rows: list[Row], seconds: float, command: str) -> str:
    """The whole file."""
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    return f"""# Measured

By `{command}` on {datetime.now(UTC):%Y-%m-%d}, commit {_commit()}, in {seconds / 60:.0f} min.
{_processor()}, {os.cpu_count()} cores shared by everything that takes part: the simulated provider,
PostgreSQL, the command, its worker, the scripts. Python {platform.python_version()},
{platform.system()}. Load average at the end: {load}.

Medians of rounds in turn (A B A B), each in new processes. "A CPU s" is a second of CPU time of the
process that makes the calls, from its start to its end: what one core gives. `bench/*.py` say what
exactly is measured; `docs/how-to/measure.md` how to do it yourself.

{report.table(rows)}
"""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _commit() -> str:
    command = ["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--long", action="store_true", help="what takes too long for every day")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, help="leave out the others")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    chosen = LONG if given.long else MEASUREMENTS
    started = time.monotonic()
    rows: list[Row] = []
    for name, measure in chosen.items():
        if given.only and name not in given.only:
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += measure(given.rounds)
    text = page(rows, time.monotonic() - started, f"make bench{'-long' if given.long else ''}")
    print(text)
    if not given.only:
        (RESULTS_LONG if given.long else RESULTS).write_text(text)
    missed = [row.what for row in rows if row.met is False]
    if missed:
        print(f"short of its target: {'; '.join(missed)}", file=sys.stderr)


if __name__ == "__main__":
    main()
