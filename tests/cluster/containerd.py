"""The container runtime and the pods' network, as data."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cluster.config import BRIDGE, NAMESPACE, PAUSE_IMAGE, Addresses, Paths
from tests.cluster.parts import Part


def containerd(
    binary: Path, cni: Path, snapshotter: str, paths: Paths, addresses: Addresses
) -> Part:
    """`cni` is the directory with the network plugins, `snapshotter` overlayfs or native."""
    networks = paths.configuration / "cni"
    configuration = paths.configuration / "containerd.toml"
    files = {
        configuration: _toml(cni, networks, snapshotter, paths),
        networks / "penstock.conflist": json.dumps(network(paths, addresses), indent=2),
    }
    return Part("containerd", (str(binary), "--config", str(configuration)), None, files)


def network(paths: Paths, addresses: Addresses) -> dict[str, object]:
    """The CNI network: a bridge, addresses counted up, and hostPort."""
    return {
        "cniVersion": "0.4.0",
        "name": NAMESPACE,
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "isGateway": True,
                # A pod may reach itself through its own Service.
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": addresses.pods, "gateway": addresses.bridge}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": str(paths.state / "cni"),
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _toml(cni: Path, networks: Path, snapshotter: str, paths: Paths) -> str:
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{paths.state / "containerd"}"
state = "{paths.runtime / "containerd"}"
# What the cluster has no use for; some of these only warn, others want directories of their own.
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "{paths.containerd_socket}"

[plugins."io.containerd.internal.v1.opt"]
path = "{paths.state / "opt"}"

[{cri}]
sandbox_image = "{PAUSE_IMAGE}"
# A container may not be protected better than containerd itself is. Where this root has no right to
# protect anything, runc would die otherwise: "can't get final child's PID".
restrict_oom_score_adj = true
stream_server_address = "127.0.0.1"
netns_mounts_under_state_dir = true

[{cri}.cni]
bin_dir = "{cni}"
conf_dir = "{networks}"

[{cri}.containerd]
snapshotter = "{snapshotter}"

[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[{cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
"""
