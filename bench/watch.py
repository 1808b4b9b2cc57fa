"""Runs a command and watches it: time, and memory and CPU of every process it starts, by role.

    python -m bench.watch -- penstock run job.yaml

prints a table to stderr when the command ends, and ends with its exit code. Samples the whole
process tree, also what detaches itself from it; a server that ran before is not seen. On Linux;
elsewhere detached processes are missed.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

INTERVAL = 0.05
"""Seconds between samples: what a process uses after its last one is missed."""
_LOOK_FOR_NEW = 0.5
_SET_CHILD_SUBREAPER = 36  # prctl: orphans become our children, not those of process 1
_MIB = 1 << 20

DRIVER, WORKER, SERVER = "penstock run", "penstock work", "postgres: connection"


@dataclass(frozen=True, slots=True)
class Figures:
    """One role. Memory in MiB, of its largest process; cpu: seconds, of all its processes.

    steady is the median over the second half of a process's life; private is the peak less what is
    shared with others (the buffers of PostgreSQL count in each of its processes' RSS).
    """

    processes: int
    peak: float
    steady: float
    private: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command went.

    output, errors: what it said, when that was captured. seconds: by the clock. cpu: seconds, of it
    and of the children it waited for.
    """

    code: int
    output: str
    errors: str
    seconds: float
    cpu: float
    roles: dict[str, Figures]


@dataclass(slots=True)
class _Seen:
    process: psutil.Process
    cpu_before: float
    role: str = ""
    rss: list[int] = field(default_factory=list)
    private: int = 0
    cpu: float = 0.0

    def look(self, whole: bool) -> None:
        with self.process.oneshot():
            memory = self.process.memory_info()
            if not memory.rss:  # it has ended and waits to be collected
                return
            if whole:  # the last name counts: a process is first a copy of its parent
                self.role = role(self.process.name(), self.process.cmdline())
            self.rss.append(memory.rss)
            self.private = max(self.private, memory.rss - getattr(memory, "shared", 0))
            times = self.process.cpu_times()
            self.cpu = times.user + times.system - self.cpu_before


class Watch:
    """Samples of all descendants of this process, but for those in `ignored`."""

    def __init__(self, ignored: frozenset[int] = frozenset()) -> None:
        self._ignored = ignored
        self._seen: dict[tuple[int, float], _Seen] = {}
        self._alive: list[_Seen] = []
        self._next_look = 0.0

    def sample(self, now: float) -> None:
        """Look once. now: seconds of a monotonic clock."""
        fresh = now >= self._next_look  # finding new processes costs more than reading known ones
        if fresh:
            self._next_look = now + _LOOK_FOR_NEW
            self._find(first=not self._seen)
        for seen in list(self._alive):
            try:
                seen.look(whole=fresh or len(seen.rss) < 10)
            except psutil.Error:
                self._alive.remove(seen)

    def figures(self) -> dict[str, Figures]:
        """What was seen, largest role first."""
        groups: dict[str, list[_Seen]] = defaultdict(list)
        for seen in self._seen.values():
            if seen.rss:
                groups[seen.role].append(seen)
        found = {
            name: Figures(
                processes=len(group),
                peak=max(max(one.rss) for one in group) / _MIB,
                steady=max(_steady(one.rss) for one in group) / _MIB,
                private=max(one.private for one in group) / _MIB,
                cpu=sum(one.cpu for one in group),
            )
            for name, group in groups.items()
        }
        return dict(sorted(found.items(), key=lambda entry: -entry[1].peak))

    def _find(self, first: bool) -> None:
        for process in psutil.Process().children(recursive=True):
            try:
                key = (process.pid, process.create_time())
                if process.pid in self._ignored or key in self._seen:
                    continue
                # Of one that is there at the very start only what it uses from now on counts.
                times = process.cpu_times() if first else None
                before = times.user + times.system if times else 0.0
            except psutil.Error:
                continue  # ended while we looked
            seen = self._seen[key] = _Seen(process, before)
            self._alive.append(seen)


def role(name: str, command: list[str]) -> str:
    """What a process is there for: `penstock work`, `postgres: checkpointer`, else its name."""
    title = command[0] if command else name
    if title.startswith("postgres:"):
        words = title.removeprefix("postgres:").split()
        own = len(words) < 2 or words[0] in {"autovacuum", "background", "io", "logical"}
        return f"postgres: {' '.join(words[:2])}" if own else SERVER
    for place, word in enumerate(command):
        if Path(word).name == "penstock" or command[place - 1 : place + 1] == ["-m", "penstock"]:
            verb = next((next_ for next_ in command[place + 1 :] if not next_.startswith("-")), "")
            return f"penstock {verb}".strip()
    if any("penstock.store.keeper" in word for word in command):
        return "penstock keeper"
    return name


def adopt_orphans() -> None:
    """Make processes that detach themselves from a command children of this one (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def watched(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    ignored: frozenset[int] = frozenset(),
    capture: bool = True,
) -> Ended:
    """Run a command to its end. capture: keep what it says instead of showing it.

    ignored: process IDs of servers that are there for other reasons.
    """
    adopt_orphans()
    watch = Watch(ignored)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.monotonic()
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env=environ,
            stdout=out if capture else None,
            stderr=err if capture else None,
        )
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            now = time.monotonic()
            if pid:
                break
            watch.sample(now)
            time.sleep(INTERVAL)
        child.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, err):
            file.seek(0)
        output, errors = out.read(), err.read()
    cpu = usage.ru_utime + usage.ru_stime
    return Ended(child.returncode, output, errors, now - started, cpu, watch.figures())


def table(found: Mapping[str, Figures]) -> str:
    """The figures as text."""
    lines = [f"{'role':32} {'processes':>9} {'peak':>8} {'steady':>8} {'private':>8}  MiB  CPU s"]
    lines += [
        f"{name:32.32} {one.processes:9} {one.peak:8.1f} {one.steady:8.1f} {one.private:8.1f} "
        f"{one.cpu:11.2f}"
        for name, one in found.items()
    ]
    return "\n".join(lines)


def _steady(samples: list[int]) -> float:
    return statistics.median(samples[len(samples) // 2 :])


def main() -> int:
    """Run the command, watch, print; returns the command's exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("command", nargs="+", help="after --: what to run")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command; it says how it ends
    ended = watched(options.command, capture=False)
    print(table(ended.roles), file=sys.stderr)
    return ended.code if ended.code >= 0 else 128 - ended.code


if __name__ == "__main__":
    sys.exit(main())
