"""Python functions beside the pools and scripts that people write: `make bench-functions`.

    python -m bench.functions [--only cpu quick hybrid uneven table] [--rounds 3]

prints the table and, when nothing was left out, writes it to bench/results-functions.md. About
fifteen minutes; the machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import function_cpu, function_hybrid, function_quick, function_table, function_uneven
from bench.__main__ import page
from bench.report import Row

RESULTS = Path(__file__).parent / "results-functions.md"
MEASUREMENTS: dict[str, Callable[[int], list[Row]]] = {
    "cpu": function_cpu.measure,
    "quick": function_quick.measure,
    "hybrid": function_hybrid.measure,
    "uneven": lambda _: function_uneven.measure(),
    "table": lambda _: function_table.measure(),
}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, help="leave out the others")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    started = time.monotonic()
    rows: list[Row] = []
    for name in given.only or MEASUREMENTS:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += MEASUREMENTS[name](given.rounds)
    text = page(rows, time.monotonic() - started, "make bench-functions")
    print(text)
    if not given.only:
        RESULTS.write_text(text)
    missed = [row.what for row in rows if row.met is False]
    if missed:
        print(f"short of its target: {'; '.join(missed)}", file=sys.stderr)


if __name__ == "__main__":
    main()
