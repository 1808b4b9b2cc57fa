"""Takes a cluster away, whether it runs, was ended, or was killed half-way.

There is one way only: `up` goes it before it starts anything, `down` goes it and stops there. What
belongs to the cluster is told by its mark in a process's environment, by its cgroup, and by the
directories and names in `config.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.cluster import network, processes, tuning
from tests.cluster.config import CGROUP, MARKER, Paths
from tests.cluster.errors import ClusterError

_CGROUPS = Path("/sys/fs/cgroup")
_KEPT = {"logs"}


def clean(paths: Paths) -> list[str]:
    """Ends every process of the cluster and removes what it left; says what that was."""
    found, ended = [], 0
    # New processes may come up while the old ones are ended, from a shim or a container.
    while pids := sorted({*_recorded(paths), *_marked(paths), *_contained()}):
        processes.end(pids)
        ended += len(pids)
    if ended:
        found.append(_count(ended, "process", "es"))
    for socket in _shim_sockets(paths):
        socket.unlink(missing_ok=True)
    if mounts := _unmount(paths):
        found.append(_count(mounts, "mount"))
    if network.NAMESPACE_FILE.exists():
        found.append("the network")
    network.remove()
    if groups := _remove_cgroups():
        found.append(_count(groups, "cgroup"))
    tuning.restore(paths)
    _remove_files(paths)
    return found


def mounts_below(mountinfo: str, roots: Iterable[Path]) -> list[str]:
    """Mount points at or below `roots` in the text of /proc/self/mountinfo, innermost first."""
    inside = []
    for line in mountinfo.splitlines():
        # Blanks and the like are written as \040 there.
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split()[4])
        if any(Path(point).is_relative_to(root) for root in roots):
            inside.append(point)
    return inside[::-1]


def marked(environ: bytes, paths: Paths) -> bool:
    """Whether a process with this environment was started by the cluster."""
    return f"{MARKER}={paths.state}".encode() in environ.split(b"\0")


def _count(number: int, thing: str, plural: str = "s") -> str:
    return f"{number} {thing}{plural if number > 1 else ''}"


def _recorded(paths: Paths) -> list[int]:
    return [record.pid for record in processes.records(paths) if processes.alive(record)]


def _marked(paths: Paths) -> list[int]:
    """Parts, shims and whatever else inherited the mark; containers do not."""
    pids = []
    for directory in processes.PROC.glob("[0-9]*"):
        try:
            environ = (directory / "environ").read_bytes()
        except OSError:
            continue  # it has just ended, or is a kernel thread
        if marked(environ, paths):
            pids.append(int(directory.name))
    return [pid for pid in pids if (found := processes.stat(pid)) and found[0] != "Z"]


def cgroups() -> list[Path]:
    """The cluster's cgroup in each hierarchy, version 1 or 2, where there is one."""
    places = [_CGROUPS, *_CGROUPS.glob("*/")]
    return [place / CGROUP for place in places if (place / CGROUP).is_dir()]


def _contained() -> list[int]:
    """Processes of the cluster's containers."""
    pids: list[int] = []
    for group in cgroups():
        for listing in group.rglob("cgroup.procs"):
            try:
                pids += [int(pid) for pid in listing.read_text().split()]
            except OSError:
                continue  # the group went with its last process
    return [pid for pid in pids if (found := processes.stat(pid)) and found[0] != "Z"]


def _remove_cgroups() -> int:
    """Removes empty groups, innermost first; an ended process may need a moment to leave one."""
    groups = cgroups()

    def remaining() -> str | None:
        for group in groups:
            for directory, _, _ in os.walk(group, topdown=False):
                try:
                    Path(directory).rmdir()
                except FileNotFoundError:
                    continue
                except OSError as error:
                    return f"cgroup {directory} can't be removed ({error.strerror})"
        return None

    processes.wait(remaining, seconds=10)
    return len(groups)


def _shim_sockets(paths: Paths) -> list[Path]:
    """Sockets of shims, which containerd puts into a directory shared with every other one."""
    bundles = (paths.runtime / "containerd").glob("io.containerd.runtime.v2.task/*/*/address")
    return [Path(bundle.read_text().strip().removeprefix("unix://")) for bundle in bundles]


def _unmount(paths: Paths) -> int:
    points = _mounts(paths)
    for point in points:
        # Lazily: a dead process's mounts may be busy for a moment yet.
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)
    if left := _mounts(paths):
        # Removing files now could remove what a pod had mounted from elsewhere.
        raise ClusterError(f"can't unmount {', '.join(left)}")
    return len(points)


def _mounts(paths: Paths) -> list[str]:
    text = (processes.PROC / "self/mountinfo").read_text()
    return mounts_below(text, [paths.state, paths.runtime])


def _remove_files(paths: Paths) -> None:
    for link in Path("/var/log/containers").glob("*.log"):
        # The kubelet puts links to its logs there, whatever its directories are.
        if link.is_symlink() and link.readlink().is_relative_to(paths.state):
            link.unlink()
    for result in Path("/var/lib/cni/results").glob("*"):
        # Written by containerd's network library, in a place that can't be changed.
        if str(paths.runtime) in result.read_text():
            result.unlink()
    if paths.state.is_dir():
        for entry in paths.state.iterdir():
            if entry.name in _KEPT:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    if paths.runtime.is_dir():
        shutil.rmtree(paths.runtime)
