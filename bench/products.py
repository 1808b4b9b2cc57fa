"""201 products through a chat model whose limit nobody states: ten threads, and `penstock run`.

    python -m bench.products [--rounds 2] [--latency 1.0]

The provider allows 3,000 requests a minute (a bucket of one second) and tells nobody so. The script
is the usual one: a pool of ten threads and the openai SDK, which tries twice again by itself.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import report
from bench.report import Row
from bench.rig import Bench, Provider, bench, provider, write_items
from bench.scripts.calls import MODEL, SCHEMA, SYSTEM

COUNT, THREADS, RPM = 201, 10, 3_000


@dataclass(frozen=True, slots=True)
class Went:
    """One run. calls: all that reached the provider; refused: those answered 429."""

    seconds: float
    calls: int
    refused: int


def run_penstock(place: Bench, server: Provider, items: Path) -> Went:
    """One run into an Excel file."""
    text = "Title: {{ item.title }}\nDescription: {{ item.description }}"
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    spec = {
        "source": {"file": {"path": str(items)}, "idField": "sku"},
        "processor": {
            "openai": {
                "baseURL": f"{server.url}/v1",
                "model": MODEL,
                "messages": messages,
                "responseFormat": SCHEMA,
            }
        },
        "output": {"file": {"path": "products.xlsx"}},
    }
    server.reset()
    return _went(place.run(spec).ended.seconds, server)


def run_script(place: Bench, server: Provider, items: Path) -> Went:
    """One run of the script."""
    server.reset()
    ended = place.script("with_threads", server.url, "chat", str(items), str(THREADS))
    return _went(ended.seconds, server)


def _went(seconds: float, server: Provider) -> Went:
    counted = server.stats()
    return Went(seconds, counted["accepted"] + counted["refused"], counted["refused"])


def measure(rounds: int = 2, latency: float = 1.0) -> list[Row]:
    """A row each."""
    options = ("--rpm", str(RPM), "--limit", "token", "--latency", f"{latency}", "--sigma", "0.3")
    with provider(*options) as server, bench(server) as place:
        items = write_items(place.folder / "products.jsonl", COUNT)
        found = report.take_turns(
            rounds,
            {
                "script": partial(run_script, place, server, items),
                "penstock": partial(run_penstock, place, server, items),
            },
        )
    went = {
        name: report.medians([(one.seconds, one.calls, one.refused) for one in runs])
        for name, runs in found.items()
    }
    (ours, calls, refused), (theirs, their_calls, their_refused) = went["penstock"], went["script"]
    return [
        Row(
            f"**Products**: {COUNT} chats of {latency:g} s, an unknown limit of {RPM:,} a minute",
            f"**{ours:.1f} s**; {calls:.0f} calls, {refused:.0f} of them 429",
            "quicker",
            ours < theirs,
        ),
        Row(
            f"script with {THREADS} threads and the openai SDK",
            f"{theirs:.1f} s; {their_calls:.0f} calls, {their_refused:.0f} of them 429",
            beside=f"{report.times(theirs / ours)} as quick",
        ),
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--latency", type=float, default=1.0)
    given = parser.parse_args()
    print(report.table(measure(given.rounds, given.latency)))


if __name__ == "__main__":
    main()
