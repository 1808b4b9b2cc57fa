"""Rate control in real time, beside other clients: `make bench-live`.

    python -m bench.live [--only bucket headers window slots contention short changes] [--items N]

Each far side is a `penstock simulate` of its own, new for every contestant. Penstock runs a whole
job with one and with five workers; the others (bench/live_peers) begin items for a fixed time.
Figures are those of the server's counters. Writes bench/results-live.md when nothing was left out;
that takes about an hour.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import live_events, live_short, peers, report
from bench.live_rig import ITEMS, LATENCY, RPM, SIGMA, Run, load, penstock
from bench.report import Row
from bench.rig import provider, write_items
from bench.tally import Watcher, busy, rate
from penstock.simulate.backend import Contended

RESULTS = Path(__file__).parent / "results-live.md"
LEARNED = 60.0
"""Seconds after which a limit that nobody told should be known."""
ALIKE = 0.02
"""Goodputs that differ by no more are the same: the clock of a busy machine tells no better."""


@dataclass(frozen=True, slots=True)
class FarSide:
    """A provider. options: of `penstock simulate`. best: calls a second that it can take.

    items: for Penstock. burst: calls that it lets through at once at the start, on top of `best`.
    window: seconds of its window, 0 where it has none. seconds: for the peers; two windows, as the
        first one tells nothing of the rate: it is empty.
    goodput, throttled: what Penstock is to reach after LEARNED, and over the whole run.
    """

    title: str
    options: tuple[str, ...]
    best: float
    items: int
    rpm: int = 0
    burst: float = 0.0
    window: float = 0.0
    seconds: float = 30.0
    goodput: float = 0.98
    throttled: float = 0.01


@dataclass(frozen=True, slots=True)
class Went:
    """One contestant on one far side. goodput: of `best`; later: the same after LEARNED.

    lost: items begun without a result. repeated: answers to what had been answered before.
    """

    goodput: float
    later: float | None
    throttled: float
    lost: int
    repeated: int
    seconds: float
    load: float
    ended: bool = True

    @property
    def learned(self) -> float:
        """The goodput that counts: when there was time to learn, that after it."""
        return self.goodput if self.later is None else self.later

    def text(self) -> str:
        """For the table."""
        later = "" if self.later is None else f" ({100 * self.later:.1f} % after the first minute)"
        return (
            f"{100 * self.goodput:.1f} %{later} · {100 * self.throttled:.2f} % 429s · "
            f"{self.lost} lost · {self.repeated} repeated · {self.seconds:.0f} s"
            f"{'' if self.ended else ' and no end'} · load {self.load:.1f}"
        )


def mean_latency(median: float, sigma: float) -> float:
    """Of a log-normal distribution, in seconds."""
    return median * math.exp(sigma**2 / 2)


def best_fixed(slots: int, contention: float, latency: float) -> float:
    """Calls a second of a backend at the number in flight that suits it best."""
    model = Contended(slots, contention)
    numbers = range(1, (slots or int(4 * contention)) + 1)
    return max(number * model.speed(number) for number in numbers) / latency


def not_behind(ours: Went, theirs: Went) -> bool:
    """More goodput; or as much, and not more 429s, lost and repeated items."""
    if abs(ours.learned - theirs.learned) > ALIKE * theirs.learned:
        return ours.learned > theirs.learned
    return (
        ours.throttled <= max(theirs.throttled, 0.001)
        and ours.lost <= theirs.lost
        and ours.repeated <= theirs.repeated
    )


def beside(ours: Went, theirs: Went) -> str:
    """How Penstock stands against a peer."""
    ratio = report.times(ours.learned / theirs.learned) if theirs.learned else "all"
    text = f"{ratio} its goodput"
    if theirs.throttled > 0.001:
        text += f", {report.times(ours.throttled / theirs.throttled)} its 429s"
    return text + (f", {theirs.lost} items fewer lost" if theirs.lost else "")


LIMITED = ("--rpm", f"{RPM}", "--latency", f"{LATENCY}", "--sigma", f"{SIGMA}")
SLOWER, SPREAD = 0.3, 0.3
FAR_SIDES = {
    "bucket": FarSide(
        f"token bucket, {RPM:,} a minute, 1 s deep, says nothing",
        LIMITED,
        RPM / 60,
        ITEMS,
        RPM,
        RPM / 60,
    ),
    "headers": FarSide(
        "the same with x-ratelimit-* headers",
        (*LIMITED, "--hints", "headers"),
        RPM / 60,
        ITEMS,
        RPM,
        RPM / 60,
        throttled=0.005,
    ),
    "window": FarSide(
        f"sliding window, {RPM:,} in 60 s, with Retry-After",
        (*LIMITED, "--limit", "sliding", "--hints", "retry-after"),
        RPM / 60,
        2 * RPM,
        RPM,
        window=60.0,
        seconds=119.0,
    ),
    "slots": FarSide(
        "Ollama with 4 slots",
        ("--slots", "4", "--latency", f"{SLOWER}", "--sigma", f"{SPREAD}"),
        best_fixed(4, 0, mean_latency(SLOWER, SPREAD)),
        1_300,
        goodput=0.95,
        throttled=0.0,
    ),
    "contention": FarSide(
        "a backend that is fastest with 6 calls at once",
        ("--contention", "6", "--latency", "0.2", "--sigma", f"{SPREAD}"),
        best_fixed(0, 6, mean_latency(0.2, SPREAD)),
        1_400,
        goodput=0.95,
        throttled=0.0,
    ),
}

Contestant = Callable[[FarSide, str, Path], Run]


def ours(workers: int) -> Contestant:
    """`penstock run` with so many workers on a database of its own."""
    return lambda side, url, folder: penstock(folder, url, side.items, workers)


def theirs(script: str, in_flight: int) -> Contestant:
    """A script of bench/live_peers."""

    def run(side: FarSide, url: str, folder: Path) -> Run:
        items = write_items(folder / "items.jsonl", 10 * RPM)
        options = ("--in-flight", f"{in_flight}", "--seconds", f"{side.seconds}")
        told = ("--rpm", f"{side.rpm}")
        said = peers.run(script, url, str(items), *options, *told, within=side.seconds + 300)
        return Run(said["begun"], said["got"])

    return run


PENSTOCK: dict[str, Contestant] = {
    "**Penstock**, 1 worker": ours(1),
    "**Penstock**, 5 workers": ours(5),
}
PEERS: dict[str, Contestant] = {
    "5 threads, OpenAI SDK": theirs("sdk_threads", 5),
    "40 threads, OpenAI SDK": theirs("sdk_threads", 40),
    "LiteLLM Router, told the limit, 40 in flight": theirs("litellm_router", 40),
    "Ray Data HTTP stage, 5 workers": theirs("ray_http", 5),
}


def try_out(side: FarSide, contestant: Contestant) -> Went:
    """One contestant on a far side that is new."""
    with TemporaryDirectory(prefix="penstock-live-") as name, provider(*side.options) as server:
        with Watcher(server.stats) as seen:
            run = contestant(side, server.url, Path(name))
        counted = server.stats()
    # A backend takes calls into its queue at once: only what it has served tells how fast it is.
    counter = "accepted" if side.rpm else "served"
    begun, ended = busy(seen.samples, counter)  # type: ignore[arg-type]
    whole = max(ended - begun, side.window)
    later = None
    if ended - begun > 1.3 * LEARNED:
        later = rate(seen.samples, counter, begun + LEARNED, ended - 1) / side.best  # type: ignore[arg-type]
    calls = counted["accepted"] + counted["refused"]
    return Went(
        counted[counter] / (side.best * whole + side.burst),
        later,
        counted["refused"] / calls,
        run.begun - (counted["distinct"] if run.got is None else run.got),
        counted["duplicates"],
        ended - begun,
        load(),
        run.ended,
    )


def rows(side: FarSide, items: int | None) -> list[Row]:
    """All contestants on one far side."""
    side = side if items is None else replace(side, items=items)
    made: list[Row] = []
    mine: dict[str, Went] = {}
    for name, contestant in PENSTOCK.items():
        went = mine[name] = try_out(side, contestant)
        fine = went.learned >= side.goodput and went.throttled <= side.throttled
        target = f"≥ {100 * side.goodput:g} %, ≤ {100 * side.throttled:g} % 429s, none lost"
        met = fine and not went.lost and not went.repeated
        made.append(tell(Row(f"{side.title}: {name}", went.text(), target, met)))
    for name, contestant in PEERS.items():
        try:
            went = try_out(side, contestant)
        except RuntimeError as error:
            made.append(tell(Row(name, f"failed: {str(error).splitlines()[-1]}")))
            continue
        # Whatever the number of workers, Penstock is not to be behind: the weaker counts.
        weaker = min(mine.values(), key=lambda one: one.learned)
        met = all(not_behind(one, went) for one in mine.values())
        made.append(tell(Row(name, went.text(), "Penstock not behind", met, beside(weaker, went))))
    return made


def tell(row: Row) -> Row:
    """Show a row as soon as it is known."""
    print(report.table([row]).splitlines()[2], file=sys.stderr, flush=True)
    return row


def page(rows: Iterable[Row], seconds: float) -> str:
    """The whole file."""
    return f"""# Rate control, measured in real time

By `make bench-live` in {seconds / 60:.0f} min, on {os.cpu_count()} cores that the provider,
PostgreSQL and the clients share. Answers of the limited providers take {LATENCY:g} s (median,
log-normal, sigma {SIGMA:g}).

Goodput is what was accepted a second, from the first call to the last, of the limit, or of what
the best fixed number of calls in flight gets out of a backend; that after the first minute, where
there is one, is what the others are compared with, which have nothing to learn. Goodputs within
{100 * ALIKE:g} % of each other count as the same. It can pass 100 % in the window, which is empty
at the start. Lost: items begun without a result. Repeated: answered more than once. Load: the
machine's load average over the last minute of the run.

{report.table(rows)}
"""


PARTS: dict[str, Callable[[int | None], list[Row]]] = {
    **{name: lambda items, side=side: rows(side, items) for name, side in FAR_SIDES.items()},  # type: ignore[misc]
    "short": lambda _: [tell(row) for row in live_short.measure()],
    "changes": lambda _: [tell(row) for row in live_events.measure()],
}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, help="leave out the others")
    parser.add_argument("--items", type=int, help="of Penstock's jobs; else about 100 s worth")
    given = parser.parse_args()
    peers.python()
    started = time.monotonic()
    found = [row for name in given.only or PARTS for row in PARTS[name](given.items)]
    print(report.table(found))
    if not given.only and given.items is None:
        RESULTS.write_text(page(found, time.monotonic() - started))
    missed = [row.what for row in found if row.met is False]
    if missed:
        print(f"short of its target: {'; '.join(missed)}", file=sys.stderr)


if __name__ == "__main__":
    main()
