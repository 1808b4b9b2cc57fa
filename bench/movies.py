"""A hundred movies through a slow Ollama, ten at a time: the asyncio script and `penstock run`.

    python -m bench.movies [--rounds 2] [--latency 2.2]

With 2.2 s an answer nothing can be quicker than 22 s: ten rounds of ten. Everything counts, from
the start of the command to its end: imports, and for Penstock its database (which is there from
earlier runs, and stopped), planning, checkpoints and the file of vectors.
"""

from __future__ import annotations

import argparse
from functools import partial

from bench import report
from bench.report import Row
from bench.rig import ROOT, Bench, Provider, bench, provider
from bench.scripts.calls import MODEL
from bench.watch import DRIVER, WORKER, Ended

MOVIES = ROOT / "manifests" / "samples" / "data" / "movies.jsonl"
COUNT, IN_FLIGHT = 100, 10
LIMIT = 120.0
"""MiB that neither the command nor its worker may exceed."""
TOLERANCE = 1.02
"""What counts as no slower: less than the clock of a busy machine can tell."""


def run_penstock(place: Bench, server: Provider) -> Ended:
    """One run into a JSONL file."""
    text = "{{ item.title }} ({{ item.year }})\n{{ item.overview }}"
    spec = {
        "source": {"file": {"path": str(MOVIES)}, "idField": "id"},
        "processor": {"ollama": {"baseURL": server.url, "model": MODEL, "input": text}},
        "output": {"file": {"path": "vectors.jsonl"}},
    }
    return place.run(spec, "--concurrency", str(IN_FLIGHT)).ended


def run_script(place: Bench, server: Provider) -> Ended:
    """One run of the script."""
    return place.script("with_httpx", server.url, "ollama", str(MOVIES), str(IN_FLIGHT))


def measure(rounds: int = 2, latency: float = 2.2) -> list[Row]:
    """A row each."""
    options = ("--latency", f"{latency}", "--dimensions", "768")
    with provider(*options) as server, bench(server) as place:
        found = report.take_turns(
            rounds,
            {
                "script": partial(run_script, place, server),
                "penstock": partial(run_penstock, place, server),
            },
        )
    ours = [
        (one.seconds, one.roles[DRIVER].peak, one.roles[WORKER].peak) for one in found["penstock"]
    ]
    theirs = [(one.seconds, _largest(one)) for one in found["script"]]
    seconds, command, worker = report.medians(ours)
    their_seconds, their_memory = report.medians(theirs)
    title = f"**Movies**: {COUNT} embeddings, {IN_FLIGHT} in flight, {latency:g} s each"
    return [
        Row(
            f"{title} (ideal {COUNT / IN_FLIGHT * latency:g} s)",
            f"**{seconds:.1f} s**; the command {command:.0f} MiB, its worker {worker:.0f} MiB",
            f"no slower, ≤ {LIMIT:.0f} MiB each",
            seconds <= their_seconds * TOLERANCE and max(command, worker) <= LIMIT,
        ),
        Row(
            "script with httpx and asyncio",
            f"{their_seconds:.1f} s; {their_memory:.0f} MiB",
            beside=f"{seconds / their_seconds:.2f} × its time",
        ),
    ]


def _largest(ended: Ended) -> float:
    return max(figures.peak for figures in ended.roles.values())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--latency", type=float, default=2.2)
    given = parser.parse_args()
    print(report.table(measure(given.rounds, given.latency)))


if __name__ == "__main__":
    main()
