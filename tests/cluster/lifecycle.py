"""Brings the cluster up, takes it down, and says how it is. `__main__` calls this."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster import (
    api,
    binaries,
    certificates,
    images,
    leftovers,
    network,
    packages,
    permissions,
    processes,
    recipe,
    tuning,
)
from tests.cluster.config import Addresses, Paths, choose_block
from tests.cluster.errors import ClusterError
from tests.cluster.parts import Part
from tests.cluster.processes import Record

_LOCK = Path("/run/penstock-cluster.lock")


def up(paths: Paths) -> None:
    """Builds what is missing and starts the cluster; does nothing when it runs already."""
    check_machine()
    with _alone():
        # First, as builds need certificates, and a failure comes soon.
        packages.ensure(packages.RUNNING)
        built = binaries.ensure(binaries.NEEDED)
        began = time.monotonic()
        paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        addresses = _running(paths)
        if addresses:
            if (reason := _stale(built, addresses, paths)) is None:
                _say(f"already up: KUBECONFIG={paths.kubeconfig}")
                return
            _say(f"starting a new one: {reason}")
        if found := leftovers.clean(paths):
            _say(f"cleaned up what was left: {', '.join(found)}")
        try:
            _start(built, paths)
        except BaseException:
            # Half a cluster would only burn the machine's time; the logs stay.
            leftovers.clean(paths)
            raise
        _say(f"node Ready after {time.monotonic() - began:.1f} s: KUBECONFIG={paths.kubeconfig}")


def down(paths: Paths) -> None:
    """Ends the cluster and removes everything of it but its logs."""
    check_machine()
    with _alone():
        found = leftovers.clean(paths)
    ended = f"ended: {', '.join(found)}" if found else "nothing was running"
    _say(f"{ended}; logs are kept in {paths.logs}")


def status(paths: Paths) -> bool:
    """Prints every part and the node; True when all is well."""
    _be_root(paths)
    records = processes.records(paths)
    for record in records:
        state = "running" if processes.alive(record) else "ENDED"
        print(f"{record.name:24} {state:8} {record.pid:>8}  {processes.log_of(record.name, paths)}")
    addresses = _running(paths)
    if addresses is None:
        print("no cluster is running" if not records else "the cluster is not complete")
        return False
    reason = api.node_not_ready(addresses, paths)
    print(f"node                     {reason or 'Ready'}")
    print(f"pods, Services           {addresses.pods}, {addresses.services}")
    print(f"this machine, from pods  {addresses.host}")
    print("network policies         not enforced; pods don't reach the internet")
    return reason is None


def kubeconfig(paths: Paths) -> Path:
    """The kubeconfig of the running cluster."""
    _be_root(paths)
    if _running(paths) is None:
        raise ClusterError("no cluster is running; `make cluster` starts one")
    return paths.kubeconfig


def check_machine() -> None:
    """Raises when no cluster can run here, with what would be needed."""
    if platform.system() != "Linux":
        raise ClusterError(
            "a cluster of its own needs Linux; elsewhere name one (kind, k3d) in"
            " PENSTOCK_E2E_KUBECONFIG"
        )
    if os.geteuid() != 0:
        raise ClusterError(
            "starting containers needs root: sudo make cluster; or name a cluster that runs in"
            " PENSTOCK_E2E_KUBECONFIG"
        )


def _be_root(paths: Paths) -> None:
    if os.geteuid() != 0:
        raise ClusterError(f"{paths.state} belongs to root, as its keys may do anything; use sudo")


def _stale(built: Mapping[str, Path], addresses: Addresses, paths: Paths) -> str | None:
    """Why the running cluster can't be kept, None when it can."""
    planned = recipe.stages(built, _machine(paths), paths, addresses)
    if recipe.digest(planned) != _settings(paths)["recipe"]:
        return "versions or settings have changed"
    try:
        # A busy machine may be slow to answer; that is no reason to throw a cluster away.
        processes.wait(lambda: api.node_not_ready(addresses, paths), seconds=20)
    except ClusterError as error:
        return str(error)
    return None


def _start(built: Mapping[str, Path], paths: Paths) -> None:
    addresses = Addresses(choose_block(network.routes()))
    planned = recipe.stages(built, _machine(paths), paths, addresses)
    paths.runtime.mkdir(mode=0o700)
    tuning.note(paths)
    tuning.create_cgroup()
    network.create(addresses)
    certificates.create(paths, addresses)
    started: list[Record] = []
    for stage in planned:
        for part in stage:
            _write(part.files)
            started.append(processes.start(part, paths))
            if part.name == "kube-apiserver":
                # The API server takes longest; meanwhile the runtime gets what every pod needs.
                images.load_pause(built["pause"], paths)
        for part, record in zip(stage, started[-len(stage) :], strict=True):
            processes.wait(_readiness(part, paths), seconds=60, watched=[record], paths=paths)
        if any(part.name == "kube-apiserver" for part in stage):
            _apply(built["kubectl"], permissions.permissions(), paths)
    _wait_for_node(started, addresses, paths)
    settings = {"block": addresses.block, "recipe": recipe.digest(planned)}
    paths.settings.write_text(json.dumps(settings))


def _wait_for_node(started: Sequence[Record], addresses: Addresses, paths: Paths) -> None:
    # The kubelet's log says why when this takes too long, so it comes first.
    watched = sorted(started, key=lambda record: record.name != "kubelet")

    def missing() -> str | None:
        return api.node_not_ready(addresses, paths)

    processes.wait(missing, seconds=60, watched=watched, paths=paths)


def _readiness(part: Part, paths: Paths) -> Callable[[], str | None]:
    def missing() -> str | None:
        if part.health:
            return api.unhealthy(part.name, part.health, paths)
        there = paths.containerd_socket.exists()
        return None if there else f"{paths.containerd_socket} is not there"

    return missing


def _apply(kubectl: Path, objects: Sequence[Mapping[str, object]], paths: Paths) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    done = subprocess.run(
        [str(kubectl), "--kubeconfig", str(paths.kubeconfig), "apply", "-f", "-"],
        input=text,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_PROXY": "*"},
        check=False,
    )
    if done.returncode:
        raise ClusterError(f"kubectl apply failed: {done.stderr.strip()}")


def _write(files: Mapping[Path, str]) -> None:
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _running(paths: Paths) -> Addresses | None:
    """Addresses of the cluster that was started completely and all of whose parts are alive."""
    records = processes.records(paths)
    if not paths.settings.exists() or not records:
        return None
    if not all(processes.alive(record) for record in records):
        return None
    return Addresses(_settings(paths)["block"])


def _settings(paths: Paths) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(paths.settings.read_text())
    return settings


def _machine(paths: Paths) -> recipe.Machine:
    plugins = packages.plugin_directory()
    if plugins is None:
        raise ClusterError("the CNI plugins are missing although their package is installed")
    kind = network.run(["stat", "--file-system", "--format=%T", str(paths.state)]).strip()
    supported = Path("/proc/filesystems").read_text()
    return recipe.Machine(
        packages.required("containerd"), plugins, recipe.snapshotter(kind, supported)
    )


@contextmanager
def _alone() -> Iterator[None]:
    """One `up` or `down` at a time; a second one waits."""
    with _LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another `make cluster` or `make cluster-down`")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(f"cluster: {text}", file=sys.stderr, flush=True)
