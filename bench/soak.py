"""Chaos for as long as one likes: jobs whose processes and database are killed at random moments.

    python -m bench.soak [--minutes 20] [--items 20000] [--seed 0]

Round after round a job runs against a provider that has bad days too, with one to three workers
and one or ten items a call. Every few seconds something happens: kill -9 of everything, of the
command alone, of a worker, of the database; the database stopped or frozen for a while; Ctrl-C.
Whatever ends the command, the same command goes on. At the end of each round every item must stand
in its place once, exactly the poisoned must have failed, and no more calls may have been made twice
than what was in flight or not yet written down at each blow. The seed makes what happens the same,
not when: that is the machine's.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.integration.chaos_support import Command, Place, Provider, eventually, provider

IN_FLIGHT = 16
UNWRITTEN = 100
"""checkpoint.maxItems, as it is by default."""
BAD_DAY = (
    *("--error-share", "0.03", "--drop-share", "0.01"),
    *("--garbage-share", "0.01", "--hang-share", "0.001"),
)
AWAY = (0.5, 8.0)
"""Seconds that the database is away, at least and at most."""
PAUSE = (0.5, 6.0)
"""Seconds between two blows."""


class Round:
    """One job from its first command to its end."""

    def __init__(self, place: Place, far_side: Provider, rng: random.Random, items: int) -> None:
        self.place, self.far_side, self.rng, self.items = place, far_side, rng, items
        self.workers = rng.randint(1, 3)
        self.batch = rng.choice((1, 1, 10))
        self.blows: Counter[str] = Counter()
        place.items(items, poisoned)
        http: dict[str, Any] = {"url": f"{far_side.url}/chaos"}
        if self.batch > 1:
            http |= {"itemsBody": {"items": "{{ items }}"}, "responsePath": "results"}
            http["idPath"] = "id"
        self.manifest = place.job(
            far_side.url,
            processor={"http": http},
            batching={"maxItemsPerRequest": self.batch},
            retry={"requestTimeout": "2s", "maxAttempts": 12},
            scaling={"concurrency": {"min": IN_FLIGHT, "max": IN_FLIGHT}},
        )

    def run(self, until: float) -> None:
        """Strike until the job is done, or its time is up; then let it end in peace."""
        command = self._start()
        while True:
            if not command.lives_for(self.rng.uniform(*PAUSE)):
                if command.process.returncode != 130:
                    break
                command = self._start()
                continue
            if time.monotonic() > until:
                command.ends(600)
                if command.process.returncode == 130:
                    command = self._start()
                    command.ends(600)
                break
            blow = self.rng.choice(BLOWS)
            self.blows[blow.__name__.strip("_")] += 1
            blow(self, command)
            if command.process.poll() not in (None, 0, 3, 130):
                command = self._start()
        self._check(command)

    def _start(self) -> Command:
        return self.place.run(self.manifest, "--workers", f"{self.workers}")

    def _check(self, command: Command) -> None:
        assert command.process.returncode == 3, (command.process.returncode, command.output)
        rows = self.place.rows()
        assert [row["_position"] for row in rows] == list(range(self.items))
        assert [row["_id"] for row in rows] == [f"i{n}" for n in range(self.items)]
        failed = [row["_position"] for row in rows if row["_status"] == "failed"]
        assert failed == list(filter(poisoned, range(self.items)))
        # A blow may come when all is done already; then the next command skips it.
        assert {row["_status"] for row in rows} <= {"succeeded", "skipped", "failed"}
        stats = self.far_side.stats()
        blows = sum(self.blows.values())
        # A call of several items that is made again may be cut another way, and counts as new.
        duplicates = stats["duplicates"] if self.batch == 1 else 0
        assert duplicates <= blows * self.workers * (IN_FLIGHT + UNWRITTEN), stats
        print(
            f"{self.items:,} items, {self.workers} workers, {self.batch} a call, "
            f"{len(self.place.commands)} commands, {blows} blows {dict(self.blows)}: "
            f"{stats['accepted']:,} calls, {stats['duplicates']} made twice, "
            f"faults {dict(stats['faults'])}",
            flush=True,
        )

    def _kill_everything(self, command: Command) -> None:
        command.kill_group()

    def _kill_the_command(self, command: Command) -> None:
        command.process.kill()
        command.process.wait()

    def _kill_a_worker(self, command: Command) -> None:
        if workers := command.workers():
            _send(self.rng.choice(workers), signal.SIGKILL)

    def _freeze_a_worker(self, command: Command) -> None:
        if workers := command.workers():
            worker = self.rng.choice(workers)
            _send(worker, signal.SIGSTOP)
            command.lives_for(self.rng.uniform(*AWAY))
            _send(worker, signal.SIGCONT)

    def _interrupt(self, command: Command) -> None:
        command.signal_group(signal.SIGINT)
        command.ends(60)

    def _kill_the_database(self, _: Command) -> None:
        if self.place.server_ready():
            _send(psutil.Process(self.place.postmaster().pid), signal.SIGKILL)

    def _stop_the_database(self, command: Command) -> None:
        if not self.place.server_ready():
            return
        self.place.pg_ctl("stop", "-m", "fast")
        if command.lives_for(self.rng.uniform(*AWAY)):  # or else nobody wants it back
            self.place.pg_ctl("start")

    def _freeze_the_database(self, command: Command) -> None:
        if not self.place.server_ready():
            return
        processes = self.place.server_processes()
        for process in processes:
            _send(process, signal.SIGSTOP)
        command.lives_for(self.rng.uniform(*AWAY))
        for process in processes:
            _send(process, signal.SIGCONT)


BLOWS: tuple[Callable[[Round, Command], None], ...] = (
    Round._kill_everything,
    Round._kill_the_command,
    Round._kill_a_worker,
    Round._freeze_a_worker,
    Round._interrupt,
    Round._kill_the_database,
    Round._stop_the_database,
    Round._freeze_the_database,
)


def poisoned(number: int) -> bool:
    """1 % of the items."""
    return number % 100 == 61


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # it was quicker
        process.send_signal(number)


def soak(minutes: float, items: int, seed: int) -> int:
    """Rounds until the time is up; the number of rounds. AssertionError when one does not hold."""
    rng = random.Random(seed)
    until = time.monotonic() + 60 * minutes
    rounds = 0
    while time.monotonic() < until:
        options = ("--latency", "30ms", "--sigma", "0.5", *BAD_DAY, "--seed", f"{rounds}")
        folder = Path(tempfile.mkdtemp(prefix="penstock-soak-"))
        with provider(*options) as far_side, Place(folder) as place:
            try:
                Round(place, far_side, rng, items).run(until)
            except BaseException:
                print(f"the folder is kept: {folder}", file=sys.stderr)
                raise
        eventually("the server has ended", place.server_down)
        place.remove()
        rounds += 1
    return rounds


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rounds = soak(given.minutes, given.items, given.seed)
    print(f"{rounds} rounds with seed {given.seed}: nothing lost, nothing twice in the results")


if __name__ == "__main__":
    main()
