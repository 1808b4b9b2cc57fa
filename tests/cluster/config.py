"""Where the cluster keeps its files and which addresses it uses.

Everything lies in directories, a network namespace and a cgroup of the cluster's own. A containerd,
a kubelet or a firewall that is on the machine already never meets it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError

NODE = "penstock"
DOMAIN = "cluster.local"
# In pods, the name of the machine the cluster runs on.
HOST_NAME = "host.penstock.internal"
NAMESPACE = "penstock-cluster"
CGROUP = "penstock-cluster"
BRIDGE = "penstock0"
# The two ends of the cable between the machine and the namespace.
HOST_LINK = "penstock-host"
NODE_LINK = "penstock-node"
PAUSE_IMAGE = "penstock.local/pause:1"

# Every process that is started carries this variable with the state directory as its value, and
# what it starts inherits it. So whatever a crash left can be told from everybody else's.
MARKER = "PENSTOCK_CLUSTER"


@dataclass(frozen=True)
class Paths:
    """All files of the cluster. Everything but `logs` is thrown away with it.

    `runtime` is empty after a boot, as the process ids and kernel settings noted there mean nothing
    then.
    """

    state: Path = Path("/var/lib/penstock-cluster")
    runtime: Path = Path("/run/penstock-cluster")

    @property
    def certificates(self) -> Path:
        return self.state / "pki"

    @property
    def configuration(self) -> Path:
        return self.state / "etc"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def pids(self) -> Path:
        return self.runtime / "pids"

    @property
    def kubeconfig(self) -> Path:
        """For people and tests; every part has one of its own beside its certificate."""
        return self.state / "kubeconfig"

    @property
    def settings(self) -> Path:
        """Written last, when the cluster is ready: addresses and the digest of its recipe."""
        return self.state / "settings.json"

    @property
    def sysctls(self) -> Path:
        """What the machine's kernel settings were before the kubelet changed them."""
        return self.runtime / "sysctls.json"

    @property
    def containerd_socket(self) -> Path:
        return self.runtime / "containerd.sock"

    def certificate(self, name: str) -> Path:
        return self.certificates / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.certificates / f"{name}.key"

    @property
    def service_account_public_key(self) -> Path:
        """What the API server checks tokens with; it does not read it out of the private key."""
        return self.certificates / "service-accounts.pub"

    def client(self, name: str) -> Path:
        """The kubeconfig of one part."""
        return self.certificates / f"{name}.kubeconfig"


@dataclass(frozen=True)
class Addresses:
    """The cluster's part of 10.0.0.0/8: 10.<block>.0.0/16, for pods, Services and the cable."""

    block: int

    @property
    def all(self) -> str:
        return f"10.{self.block}.0.0/16"

    @property
    def pods(self) -> str:
        return f"10.{self.block}.0.0/24"

    @property
    def bridge(self) -> str:
        """Gateway of the pods, and where they ask for names."""
        return f"10.{self.block}.0.1"

    @property
    def services(self) -> str:
        return f"10.{self.block}.16.0/20"

    @property
    def api_service(self) -> str:
        return f"10.{self.block}.16.1"

    @property
    def host(self) -> str:
        """The machine, as pods see it."""
        return f"10.{self.block}.255.1"

    @property
    def node(self) -> str:
        """The node, as the machine sees it: API server, kubelet, health of all parts."""
        return f"10.{self.block}.255.2"

    @property
    def api(self) -> str:
        return f"https://{self.node}:6443"


def choose_block(routes: Iterable[str]) -> int:
    """Second number of a 10.x.0.0/16 that overlaps none of the machine's routes (`10.1.2.0/24`)."""
    taken = [ipaddress.ip_network(route, strict=False) for route in routes]
    for block in range(244, 100, -1):
        wanted = ipaddress.ip_network(Addresses(block).all)
        if not any(wanted.overlaps(other) for other in taken):
            return block
    raise ClusterError("no 10.x.0.0/16 is free: the machine's routes (`ip route`) take all of them")


def kubeconfig(server: str, certificates: Mapping[str, str]) -> dict[str, object]:
    """A kubeconfig; `certificates` holds base64 under `authority`, `certificate` and `key`."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": NODE,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": certificates["authority"],
                },
            }
        ],
        "users": [
            {
                "name": NODE,
                "user": {
                    "client-certificate-data": certificates["certificate"],
                    "client-key-data": certificates["key"],
                },
            }
        ],
        "contexts": [{"name": NODE, "context": {"cluster": NODE, "user": NODE}}],
        "current-context": NODE,
    }
