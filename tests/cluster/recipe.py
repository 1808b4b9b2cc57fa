"""The whole cluster as data: which parts with which arguments and files, and in which order.

Its digest is kept beside a running cluster. When it changes, because a version or a setting did,
the next `up` starts a new cluster instead of keeping the old one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import control_plane, dns, node
from tests.cluster.config import Addresses, Paths
from tests.cluster.containerd import containerd
from tests.cluster.parts import Part


@dataclass(frozen=True)
class Machine:
    """What the recipe has to know of the machine."""

    containerd: Path
    plugins: Path
    snapshotter: str


def stages(
    binaries: Mapping[str, Path], machine: Machine, paths: Paths, addresses: Addresses
) -> list[list[Part]]:
    """The parts in the order of their start; those of one stage start together."""
    runtime = containerd(machine.containerd, machine.plugins, machine.snapshotter, paths, addresses)
    api = control_plane.api_server(binaries["kube-apiserver"], paths, addresses)
    manager = binaries["kube-controller-manager"]
    return [
        [control_plane.etcd(binaries["etcd"], paths, addresses), runtime],
        [api],
        [
            node.kubelet(binaries["kubelet"], paths, addresses),
            control_plane.controller_manager(manager, paths, addresses),
            control_plane.scheduler(binaries["kube-scheduler"], paths, addresses),
            node.kube_proxy(binaries["kube-proxy"], paths, addresses),
            dns.coredns(binaries["coredns"], paths, addresses),
        ],
    ]


def digest(planned: Sequence[Sequence[Part]]) -> str:
    """Changes with every argument and every line of configuration."""
    parts = [
        (part.name, part.command, sorted((str(path), text) for path, text in part.files.items()))
        for stage in planned
        for part in stage
    ]
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def snapshotter(filesystem: str, supported: str) -> str:
    """How containerd stacks layers: an overlay can't lie on another overlay.

    `filesystem` is the type below the state directory, `supported` the text of /proc/filesystems.
    """
    usable = "overlay" in supported.split() and filesystem not in {"overlay", "overlayfs"}
    return "overlayfs" if usable else "native"
