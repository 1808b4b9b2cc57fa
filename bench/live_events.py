"""What happens on the way, in real time: the limit changes, a worker dies, PostgreSQL goes away.

Five workers and a token bucket that says nothing of its limit. The times below are counted from
the first call; until the first blow the limit has long been learned.
"""

from __future__ import annotations

import contextlib
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from bench.live_rig import LATENCY, LONGEST, RPM, SIGMA, load, place, results, start
from bench.report import Row
from bench.rig import Provider, provider
from bench.tally import Sample, Watcher, back_after, bins, busy, rate, refused_share
from tests.integration.chaos_support import Command, Place, eventually

WORKERS = 5
LIMIT = RPM / 60
FIRST = 45.0
"""Seconds until the first blow."""
CHANGE = 90.0
"""Seconds for which the limit is halved, and after which the job may end."""
AWAY = 20.0
DEAD = 15.0
WITHIN, WITHIN_CHANGE = 5.0, 60.0
NEARLY, FULLY = 0.95, 0.98
"""Of the rate: after a death over five seconds, after a change over ten."""


@dataclass(frozen=True, slots=True)
class Story:
    """A run to its end. blows: when they fell, by the clock of the samples."""

    samples: list[Sample]
    begun: float
    ended: float
    blows: list[float]
    lost: int
    repeated: int

    @property
    def whole(self) -> str:
        """What was lost and repeated, for the table."""
        return f"{self.lost} lost · {self.repeated} repeated · load {load():.1f}"

    def per_second(self, start: float, end: float) -> str:
        """Accepted calls in each second from one time to another, counted from the first blow."""
        first = self.blows[0]
        numbers = bins(self.samples, "accepted", first + start, first + end)
        return " ".join(f"{number:.0f}" for number in numbers)


class Blows:
    """What can be done to a run, and when it was."""

    def __init__(self, server: Provider, one: Place, command: Command, begun: float) -> None:
        self.server, self.place, self.command, self.begun = server, one, command, begun
        self.fallen: list[float] = []

    def wait(self, seconds: float) -> None:
        """Until so long after the first call. RuntimeError when the job has ended by then."""
        if not self.command.lives_for(max(0.0, self.begun + seconds - time.monotonic())):
            raise RuntimeError(f"ended too soon:\n{self.command.output[-3000:]}")

    def at(self, seconds: float) -> None:
        """Wait, and note that as the time of a blow."""
        self.wait(seconds)
        self.fallen.append(time.monotonic())


def tell(count: int, strike: Callable[[Blows], None]) -> Story:
    """A job of so many items, and what befalls it."""
    limit = ("--rpm", f"{RPM}", "--latency", f"{LATENCY}", "--sigma", f"{SIGMA}")
    with (
        TemporaryDirectory(prefix="penstock-live-") as name,
        provider(*limit) as server,
        place(Path(name)) as one,
    ):
        with Watcher(server.stats) as seen:
            command = start(one, server.url, count, WORKERS)
            eventually("the first call", lambda: busy(seen.samples, "accepted")[0])
            begun, _ = busy(seen.samples, "accepted")
            blows = Blows(server, one, command, begun)
            strike(blows)
            code = command.ends(LONGEST)
        if code:
            raise RuntimeError(f"penstock run ended with code {code}:\n{command.output[-3000:]}")
        _, ended = busy(seen.samples, "accepted")
        counted = server.stats()
        lost = count - results(one)
        return Story(seen.samples, begun, ended, blows.fallen, lost, counted["duplicates"])


def halve_and_double(blows: Blows) -> None:
    """The limit is halved, then what it was before."""
    for turn, factor in enumerate((0.5, 1.0)):
        blows.at(FIRST + turn * CHANGE)
        url = f"{blows.server.url}/limit?factor={factor}"
        urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=30).close()


def kill_one(blows: Blows, leads: bool) -> None:
    """A worker that sends is killed; whoever takes its seat is frozen for a while.

    leads: the one that leads the pool, which always sends, or else the busiest of the others.
    """
    blows.wait(FIRST - 5)
    before = {worker: _cpu(worker) for worker in blows.command.workers()}
    blows.wait(FIRST)
    (row,) = blows.place.query(
        "SELECT (w.stats::json ->> 'pid')::int pid FROM pool p JOIN worker w ON w.id = p.leader"
    )
    chosen = [worker for worker in before if (worker.pid == row["pid"]) is leads]
    victim = max(chosen, key=lambda worker: _cpu(worker) - before[worker])
    blows.at(FIRST)
    victim.kill()
    known, frozen = {worker.pid for worker in before}, []
    try:
        while time.monotonic() < blows.fallen[0] + DEAD:
            blows.command.lives_for(0.02)
            for worker in blows.command.workers():
                if worker.pid not in known:
                    worker.suspend()
                    frozen.append(worker)
                    known.add(worker.pid)
    finally:
        for worker in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.resume()


def database_away(blows: Blows) -> None:
    """PostgreSQL is stopped in good order, and started again."""
    blows.at(FIRST)
    blows.place.pg_ctl("stop", "-m", "fast")
    blows.at(FIRST + AWAY)
    blows.place.pg_ctl("start")


def database_frozen(blows: Blows) -> None:
    """PostgreSQL keeps its connections and answers nothing."""
    blows.at(FIRST)
    with _frozen(blows.place.server_processes()):
        blows.at(FIRST + AWAY)


def measure() -> list[Row]:
    """A row or two for each story."""
    return list(_rows())


def _rows() -> Iterator[Row]:
    yield from changed(tell(int(LIMIT * (FIRST + CHANGE / 2 + CHANGE)), halve_and_double))
    for who, leads in (("that leads", True), ("that follows", False)):
        yield killed(who, tell(int(LIMIT * (FIRST + 40)), partial(kill_one, leads=leads)))
    for title, strike in (("stopped", database_away), ("frozen", database_frozen)):
        yield away(title, tell(int(LIMIT * (FIRST + AWAY + 45)), strike))


def changed(story: Story) -> Iterator[Row]:
    """The limit, halved and doubled."""
    (first, second), samples = story.blows, story.samples
    share = refused_share(samples, story.begun, story.ended)
    for title, since, until, limit in (
        ("halved", first, second, LIMIT / 2),
        ("doubled", second, min(second + CHANGE, story.ended - 1), LIMIT),
    ):
        back = back_after(samples, FULLY * limit, since, until, over=10.0)
        later = since + WITHIN_CHANGE
        goodput = rate(samples, "accepted", later, until) / limit if until > later else 0.0
        early = refused_share(samples, since, later)
        yield Row(
            f"**Limit {title}**, 5 workers",
            f"back at {100 * FULLY:g} % {_seconds(back)}, {100 * goodput:.1f} % from "
            f"{WITHIN_CHANGE:g} s on · {100 * early:.2f} % 429s in that time, "
            f"{100 * share:.2f} % over the run · {story.whole}",
            f"≤ {WITHIN_CHANGE:g} s, ≤ 2 % 429s over the run",
            back is not None and back <= WITHIN_CHANGE and share <= 0.02 and not story.lost,
        )


def killed(who: str, story: Story) -> Row:
    """One worker of five."""
    blow, samples = story.blows[0], story.samples
    before = rate(samples, "accepted", blow - 10, blow)
    back = back_after(samples, NEARLY * before, blow, blow + DEAD)
    return Row(
        f"**One worker of five killed**, one {who}; its seat empty for {DEAD:g} s",
        f"its share in use again {_seconds(back)}; accepted a second before: {before:.1f}, "
        f"in each second after: {story.per_second(0, 12)} · "
        f"{100 * refused_share(samples, blow, blow + DEAD):.2f} % 429s · {story.whole}",
        f"≤ {WITHIN:g} s, none lost",
        back is not None and back <= WITHIN and not story.lost,
    )


def away(title: str, story: Story) -> Row:
    """PostgreSQL, for AWAY seconds."""
    (gone, back), samples = story.blows, story.samples
    after = min(back + 30, story.ended)
    before_share = refused_share(samples, gone - 20, gone)
    share = refused_share(samples, gone, after)
    rates = [
        rate(samples, "accepted", start, end) / LIMIT
        for start, end in ((gone - 20, gone), (gone, back), (back, after))
    ]
    return Row(
        f"**PostgreSQL {title} for {AWAY:g} s**, 5 workers",
        f"goodput before, meanwhile, in the 30 s after: "
        f"{', '.join(f'{100 * one:.1f} %' for one in rates)} · 429s before {100 * before_share:.2f}"
        f" %, from then on {100 * share:.2f} % · {story.whole}",
        "≤ 1 % 429s more, none lost or repeated",
        share <= before_share + 0.01 and not story.lost and not story.repeated,
    )


def _seconds(back: float | None) -> str:
    return "never" if back is None else f"after {back:.1f} s"


def _cpu(worker: psutil.Process) -> float:
    times = worker.cpu_times()
    return float(times.user + times.system)


@contextlib.contextmanager
def _frozen(processes: list[psutil.Process]) -> Iterator[None]:
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
