"""Starts the parts, remembers which processes they are, and ends exactly those.

A process is known by its id, the moment it started and the boot of the machine: a number alone may
long belong to somebody else.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.config import MARKER, Paths
from tests.cluster.errors import ClusterError
from tests.cluster.network import INSIDE
from tests.cluster.parts import Part

PROC = Path("/proc")
_LINES = 15


@dataclass(frozen=True)
class Record:
    """A process that was started. `started` counts clock ticks since `boot`."""

    name: str
    pid: int
    started: int
    boot: str


def start(part: Part, paths: Paths) -> Record:
    """Starts a part inside the cluster's namespace; it goes on when this process ends."""
    paths.pids.mkdir(parents=True, exist_ok=True)
    log = log_of(part.name, paths)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".log.previous"))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*INSIDE, *part.command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environment(paths),
            start_new_session=True,
        )
    found = stat(process.pid)
    record = Record(part.name, process.pid, found[1] if found else -1, boot_id())
    path = paths.pids / f"{part.name}.json"
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(record)))
    scratch.replace(path)
    return record


def environment(paths: Paths) -> dict[str, str]:
    """What the parts see: no proxy settings, nothing of the caller's, and the mark."""
    search = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": search, "HOME": "/root", "LANG": "C.UTF-8", MARKER: str(paths.state)}


def records(paths: Paths) -> list[Record]:
    """Everything that was started since the last clean-up, alive or not."""
    if not paths.pids.is_dir():
        return []
    return [Record(**json.loads(path.read_text())) for path in sorted(paths.pids.glob("*.json"))]


def alive(record: Record) -> bool:
    """Whether this very process still runs; a zombie does not."""
    found = stat(record.pid)
    return (
        found is not None
        and found[0] != "Z"
        and found[1] == record.started
        and (record.boot == boot_id())
    )


def stat(pid: int) -> tuple[str, int] | None:
    """State letter and start (clock ticks since boot) of a process, None when there is none."""
    try:
        return parse_stat((PROC / str(pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def parse_stat(text: str) -> tuple[str, int]:
    """Fields 3 and 22 of /proc/PID/stat; field 2, the name, may hold blanks and brackets."""
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def end(pids: Iterable[int], *, seconds: float = 20) -> None:
    """Kills processes by id and waits until they are gone.

    Nothing of a cluster is kept, so there is nothing for them to finish.
    """
    known = {pid: found[1] for pid in pids if (found := stat(pid))}
    for pid in known:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue

    def gone() -> str | None:
        for pid, started in known.items():
            found = stat(pid)
            if found and found[0] != "Z" and found[1] == started:
                return f"process {pid} does not end"
        return None

    wait(gone, seconds=seconds)


def wait(
    what_is_missing: Callable[[], str | None],
    *,
    seconds: float,
    watched: Iterable[Record] = (),
    paths: Paths | None = None,
) -> None:
    """Asks until the answer is None; raises when time is up or a watched process has ended."""
    deadline = time.monotonic() + seconds
    while missing := what_is_missing():
        for record in watched:
            if not alive(record):
                raise failed(f"{record.name} has ended", record.name, paths)
        if time.monotonic() > deadline:
            names = [record.name for record in watched]
            raise failed(f"{missing} after {seconds:.0f} s", names[0] if names else None, paths)
        time.sleep(0.1)


def failed(reason: str, name: str | None, paths: Paths | None) -> ClusterError:
    """An error that shows the end of a part's log and says where the rest is."""
    if name is None or paths is None:
        return ClusterError(reason)
    log = log_of(name, paths)
    last = "\n".join(f"  {line}" for line in tail(log))
    return ClusterError(f"{reason}; the end of {log}:\n{last}")


def tail(log: Path) -> list[str]:
    """The last lines of a log, cut where they are very long."""
    if not log.exists():
        return []
    return [line[:600] for line in log.read_text(errors="replace").splitlines()[-_LINES:]]


def log_of(name: str, paths: Paths) -> Path:
    return paths.logs / f"{name}.log"
