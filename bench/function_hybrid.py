"""Documents fetched, parsed and stored: the three ways to write it, and `penstock run`.

    python -m bench.function_hybrid [--rounds 2] [--items 1000] [--latency 0.2]

The server takes its time, a PDF takes about 20 ms of CPU to parse. One script does everything on
the event loop, one everything in processes, as many as there are cores; Penstock waits on the loop
and parses in processes (`ctx.process`), and keeps its checkpoints. All store a file an item. The
whole command counts.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import runpy
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import report
from bench.function_rig import Went, file_server, lags, middle, numbered, penstock, script
from bench.function_work import parse
from bench.report import Row
from bench.rig import ROOT, Bench, Provider, bench

DOCUMENTS = ROOT / "manifests" / "samples" / "data" / "make_documents.py"
NAME = "document.pdf"
CPU = 0.02
IN_FLIGHT = 32
FEWER = 5
"""Of the items the script that waits in its processes gets one in so many: it is slow."""


def document(seconds: float) -> tuple[bytes, float]:
    """A PDF that takes about so long to parse, and how long it takes."""
    made = runpy.run_path(str(DOCUMENTS))
    sheet = made["sheets"]()["gauging-weir.pdf"]
    times = 1
    while True:
        longer = [(heading, [*paragraphs] * times) for heading, paragraphs in sheet.sections]
        content = made["pdf"](replace(sheet, sections=longer))
        took = min(_cpu_of(content) for _ in range(5))
        if took >= 0.9 * seconds:
            return content, took
        times = max(times + 1, math.floor(times * seconds / took))


def run_penstock(place: Bench, server: Provider, items: Path) -> Went:
    """One run."""
    python = {"entrypoint": "convert", "mode": "async", "kwargs": {"server": server.url}}
    source = {"file": {"path": str(items)}}
    output = {"perItem": "converted/{{ item.n }}.txt"}
    return penstock(place, source, python, "--concurrency", f"{IN_FLIGHT}", output=output)


def run_on_loop(place: Bench, server: Provider, items: Path) -> Went:
    """asyncio alone."""
    where = ("convert_on_loop", server.url, items, f"{IN_FLIGHT}", _folder(place))
    return script(place, *where, answers=False)


def run_in_processes(place: Bench, server: Provider, items: Path) -> Went:
    """A pool of processes alone."""
    kwargs = json.dumps({"server": server.url, "folder": str(_folder(place))})
    return script(place, "with_pool", "convert_here", items, kwargs, answers=False)


def measure(rounds: int = 2, items: int = 1_000, latency: float = 0.2) -> list[Row]:
    """Three rows."""
    content, cpu = document(CPU)
    with (
        TemporaryDirectory() as folder,
        file_server(_stored(Path(folder), content), latency) as server,
        bench(server) as place,
    ):
        many = numbered(place.folder / "many.jsonl", items, name=NAME)
        few = numbered(place.folder / "few.jsonl", items // FEWER, name=NAME)
        turns = {
            "penstock": partial(run_penstock, place, server, many),
            "asyncio alone, parsing on the loop": partial(run_on_loop, place, server, many),
            "processes alone, waiting in them": partial(run_in_processes, place, server, few),
        }
        found = report.take_turns(rounds, turns)
    counts = dict.fromkeys(turns, items) | {"processes alone, waiting in them": items // FEWER}
    speeds = {
        name: counts[name] / middle(went, lambda one: one.seconds) for name, went in found.items()
    }
    most = (os.cpu_count() or 1) / cpu
    ours = speeds.pop("penstock")
    return [
        Row(
            f"**Hybrid**: {items:,} PDFs, {latency:g} s to fetch, {1000 * cpu:.0f} ms to parse, "
            f"{IN_FLIGHT} in flight (all cores parsing all the time: {most:.0f}/s)",
            f"**{report.number(ours)}** documents/s{lags(found['penstock'])}",
            "quicker than both",
            ours > max(speeds.values()),
        ),
        *(
            Row(name, f"{report.number(speed)} documents/s", beside=report.times(ours / speed))
            for name, speed in speeds.items()
        ),
    ]


def _folder(place: Bench) -> Path:
    folder = place.folder / "converted-by-script"
    folder.mkdir(exist_ok=True)
    return folder


def _stored(folder: Path, content: bytes) -> Path:
    (folder / NAME).write_bytes(content)
    return folder


def _cpu_of(content: bytes) -> float:
    started = time.process_time()
    parse(content)
    return time.process_time() - started


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--latency", type=float, default=0.2)
    given = parser.parse_args()
    print(report.table(measure(given.rounds, given.items, given.latency)))


if __name__ == "__main__":
    main()
