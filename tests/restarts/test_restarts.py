"""`make cluster` after a kill -9 of everything, three times in a row, with pods running."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import leftovers, lifecycle, network, processes
from tests.cluster.config import HOST_LINK, PAUSE_IMAGE, Paths
from tests.e2e.command import cluster

pytestmark = pytest.mark.slow

# What a second start takes at most on two cores of its own; and what it may take on a machine that
# others use as well.
WANTED_SECONDS = 30
READY_SECONDS = 60

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "alive", "namespace": "default"},
    "spec": {
        "containers": [{"name": "alive", "image": PAUSE_IMAGE, "imagePullPolicy": "Never"}],
        "automountServiceAccountToken": False,
    },
}


# A cold cache builds Kubernetes first.
@pytest.mark.timeout(3600)
def test_starts_again_after_everything_was_killed(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    # Printed as it goes, also when all is well.
    with capsys.disabled():
        print()
        cluster("up")
        for number in range(1, 4):
            run_a_pod()
            killed = set(belonging(paths))
            processes.end(killed)
            assert not lifecycle.status(paths)
            began = time.monotonic()
            cluster("up")
            seconds = time.monotonic() - began
            told = f"restart {number}: killed {len(killed)} processes, Ready in {seconds:.1f} s"
            print(f"{told} (wanted: under {WANTED_SECONDS})", flush=True)
            assert seconds < READY_SECONDS


@pytest.mark.timeout(600)
def test_nothing_stays_after_the_end(paths: Paths) -> None:
    cluster("up")
    run_a_pod()
    before = paths.sysctls.read_text()
    cluster("down")
    assert not processes.records(paths)
    assert not list(belonging(paths))
    assert not leftovers.cgroups()
    assert not network.NAMESPACE_FILE.exists()
    assert not Path("/sys/class/net", HOST_LINK).exists()
    assert [entry.name for entry in paths.state.iterdir()] == ["logs"]
    mounted = Path("/proc/self/mountinfo").read_text()
    assert not leftovers.mounts_below(mounted, [paths.state, paths.runtime])
    for name, value in json.loads(before).items():
        assert Path("/proc/sys", name).read_text().strip() == value


def run_a_pod() -> None:
    """A container that runs: there is a shim, a sandbox and a mount to be cleaned up."""
    cluster("kubectl", "apply", "--filename=-", text=json.dumps(POD))
    cluster("kubectl", "wait", "--for=condition=Ready", "pod/alive", "--timeout=120s")


def belonging(paths: Paths) -> Iterator[int]:
    """What carries the cluster's mark, and what runs in its containers."""
    for directory in processes.PROC.glob("[0-9]*"):
        with suppress(OSError):
            if leftovers.marked((directory / "environ").read_bytes(), paths):
                yield int(directory.name)
    for group in leftovers.cgroups():
        for listing in group.rglob("cgroup.procs"):
            with suppress(OSError):
                yield from map(int, listing.read_text().split())
