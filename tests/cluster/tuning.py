"""What the machine itself is set to: kernel settings the kubelet changes, and the cluster's cgroup.

The kubelet insists on its own kernel settings (a machine that panics on an oops, for one). They are
noted before it starts and put back when the cluster goes.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.cluster.config import CGROUP, Paths
from tests.cluster.errors import ClusterError

_SYSCTLS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
_PROC_SYS = Path("/proc/sys")
_CGROUPS = Path("/sys/fs/cgroup")
_NEEDED = {"cpu", "memory", "pids"}


def note(paths: Paths) -> None:
    """Writes down the kernel settings as they are."""
    values = {name: (_PROC_SYS / name).read_text().strip() for name in _SYSCTLS}
    scratch = paths.sysctls.with_suffix(".new")
    scratch.write_text(json.dumps(values))
    scratch.replace(paths.sysctls)


def restore(paths: Paths) -> None:
    """Puts the kernel settings back, if they were noted."""
    if paths.sysctls.exists():
        for name, value in json.loads(paths.sysctls.read_text()).items():
            target = _PROC_SYS / name
            if target.read_text().strip() != value:
                target.write_text(value)


def create_cgroup() -> None:
    """Makes the group all pods are put into, in every hierarchy: the kubelet wants to find it."""
    if (_CGROUPS / "cgroup.controllers").exists():
        _create_unified()
        return
    present = {place.name for place in _CGROUPS.iterdir()}
    if missing := _NEEDED - present:
        raise ClusterError(f"this kernel offers no cgroups for {', '.join(sorted(missing))}")
    for place in _CGROUPS.iterdir():
        if place.is_symlink() or not (place / "cgroup.procs").exists():
            continue
        group = place / CGROUP
        group.mkdir(exist_ok=True)
        if place.name.startswith("cpuset"):
            for name in ("cpuset.cpus", "cpuset.mems"):
                (group / name).write_text((place / name).read_text())


def _create_unified() -> None:
    available = set((_CGROUPS / "cgroup.controllers").read_text().split())
    if missing := _NEEDED - available:
        raise ClusterError(f"this kernel offers no cgroups for {', '.join(sorted(missing))}")
    wanted = sorted(available & {*_NEEDED, "cpuset", "io", "hugetlb"})
    control = _CGROUPS / "cgroup.subtree_control"
    try:
        control.write_text(" ".join(f"+{name}" for name in wanted))
    except OSError as error:
        raise ClusterError(
            f"{control} can't be changed ({error.strerror}): inside a container, give it the"
            " machine's cgroups (docker run --privileged --cgroupns=host)"
        ) from error
    (_CGROUPS / CGROUP).mkdir(exist_ok=True)
