"""Memory of every process of a run, few items against many.

    python -m bench.memory [--few 10000] [--many 100000]

`penstock run` with plain HTTP calls, 10 in flight, a server that answers at once. Of Python
processes the resident size (RSS) at its highest; of PostgreSQL's what is not shared, because its
buffers count in the RSS of each. `make bench-long` does it with a million.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from bench import report
from bench.report import Row
from bench.rig import Bench, Provider, bench, provider, write_items
from bench.watch import DRIVER, WORKER, Figures

FEW, MANY, LONG = 10_000, 100_000, 1_000_000
IN_FLIGHT = 10
LIMIT = 120.0
"""MiB that no process may exceed."""
SPREAD = 0.10
_SERVER = "PostgreSQL's largest process, what is its own"
_ROLES = {
    DRIVER: "the command (plans, watches, exports)",
    WORKER: "the worker",
    "penstock keeper": "the database's keeper",
}


def run(place: Bench, server: Provider, count: int) -> tuple[float, dict[str, float]]:
    """Seconds, and MiB by role, of a run over `count` items that writes its results to a file."""
    items = write_items(place.folder / f"{count}.jsonl", count)
    spec = {
        "source": {"file": {"path": str(items)}, "idField": "sku"},
        "processor": {"http": {"url": f"{server.url}/products"}},
        "scaling": {"concurrency": {"min": IN_FLIGHT, "max": IN_FLIGHT}},
        "output": {"file": {"path": f"{count}-out.jsonl"}},
    }
    ended = place.run(spec).ended
    return ended.seconds, _by_role(ended.roles)


def measure(few: int = FEW, many: int = MANY) -> list[Row]:
    """A row a process. Each number of items gets a new database."""
    with provider() as server:
        with bench(server) as place:
            _, before = run(place, server, few)
        with bench(server) as place:
            seconds, after = run(place, server, many)
    rows = [
        Row(
            f"**Memory** at {few:,} and {many:,} items, {IN_FLIGHT} in flight",
            f"the larger run took {seconds:.0f} s, {report.number(many / seconds)} items/s",
        )
    ]
    for name in before:
        growth = after[name] / before[name] - 1
        text = f"{before[name]:.1f} and {after[name]:.1f} MiB ({growth:+.0%})"
        if name == _SERVER:  # sorts an index while planning, in as much memory as it is allowed
            rows.append(Row(name, text, f"≤ {LIMIT:.0f} MiB", after[name] <= LIMIT))
            continue
        met = abs(growth) <= SPREAD and after[name] <= LIMIT
        rows.append(Row(name, text, f"± {SPREAD:.0%}, ≤ {LIMIT:.0f} MiB", met))
    return rows


def _by_role(roles: Mapping[str, Figures]) -> dict[str, float]:
    found = {title: roles[name].peak for name, title in _ROLES.items() if name in roles}
    servers = [figures.private for name, figures in roles.items() if name.startswith("postgres:")]
    return {**found, _SERVER: max(servers)}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--few", type=int, default=FEW)
    parser.add_argument("--many", type=int, default=MANY)
    given = parser.parse_args()
    print(report.table(measure(given.few, given.many)))


if __name__ == "__main__":
    main()
