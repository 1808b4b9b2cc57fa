"""Items of very uneven duration: how close to an ideal schedule two workers come.

    python -m bench.stragglers [--items 1000] [--latency 0.5] [--seed 0]

5 % of the items take ten times as long as the others; two workers keep eight calls in flight each.
An ideal schedule keeps all sixteen busy until the last moment; nobody who does not know durations
beforehand can do better than that plus the longest item, which may come last. The whole command
counts, from its start to its end.
"""

from __future__ import annotations

import argparse
from random import Random

from bench import report
from bench.report import Row
from bench.rig import bench, provider, write_items
from penstock.simulate.backend import draw_latency
from penstock.simulate.options import SimulatorConfig

WORKERS, IN_FLIGHT = 2, 8
SHARE, FACTOR = 0.05, 10.0
TOLERANCE = 1.05


def measure(items: int = 1_000, latency: float = 0.5, seed: int = 0) -> list[Row]:
    """One row."""
    config = SimulatorConfig(
        latency=latency, straggler_share=SHARE, straggler_factor=FACTOR, seed=seed
    )
    draws = Random(seed)  # the provider's own: it draws once a call, in the order they come
    durations = [draw_latency(config, draws) for _ in range(items)]
    ideal = sum(durations) / (WORKERS * IN_FLIGHT)
    options = ("--straggler-share", f"{SHARE}", "--straggler-factor", f"{FACTOR}")
    with (
        provider("--latency", f"{latency}", "--seed", f"{seed}", *options) as server,
        bench(server) as place,
    ):
        path = write_items(place.folder / "items.jsonl", items)
        spec = {
            "source": {"file": {"path": str(path)}, "idField": "sku"},
            "processor": {"http": {"url": f"{server.url}/match"}},
            "output": {"file": {"path": "matched.jsonl"}},
        }
        many = ("--workers", f"{WORKERS}", "--concurrency", f"{IN_FLIGHT}")
        seconds = place.run(spec, *many).ended.seconds
        made = server.stats()["accepted"]
    if made != items:
        raise SystemExit(f"{made} calls for {items} items: the durations are not those drawn here")
    bound = TOLERANCE * (ideal + max(durations))
    return [
        Row(
            f"**Stragglers**: {items:,} items, {SHARE:.0%} of them {FACTOR:g} × slower, "
            f"{WORKERS} workers with {IN_FLIGHT} in flight (ideal {ideal:.1f} s, longest item "
            f"{max(durations):.1f} s)",
            f"**{seconds:.1f} s**",
            f"≤ {bound:.1f} s",
            seconds <= bound,
        )
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--latency", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(report.table(measure(given.items, given.latency, given.seed)))


if __name__ == "__main__":
    main()
