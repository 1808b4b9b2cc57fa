"""The network namespace the whole cluster lives in, and the cable that leads there.

Bridge, iptables rules, forwarding and ports of the cluster are all inside the namespace; on the
machine there is one interface and one route. Deleting the namespace deletes everything.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import packages
from tests.cluster.config import BRIDGE, HOST_LINK, NAMESPACE, NODE_LINK, Addresses
from tests.cluster.errors import ClusterError

NAMESPACE_FILE = Path("/run/netns") / NAMESPACE
# Programs of the cluster run behind this. `ip netns exec` would hide the machine's cgroups.
INSIDE = ("nsenter", f"--net={NAMESPACE_FILE}")


def create(addresses: Addresses) -> None:
    """Makes namespace, cable and bridge; there must be none."""
    if modprobe := shutil.which("modprobe", path="/usr/sbin:/sbin:/usr/bin:/bin"):
        # Often they are built into the kernel, and then modprobe fails or does not even exist.
        for module in ("overlay", "br_netfilter", "veth"):
            subprocess.run([modprobe, "--quiet", module], capture_output=True, check=False)
    for command in commands(addresses):
        run(command)


def commands(addresses: Addresses) -> list[list[str]]:
    """What makes the network, in order."""
    inside = ["ip", "-n", NAMESPACE]
    peer = ["peer", "name", NODE_LINK, "netns", NAMESPACE]
    sysctl = [*INSIDE, "sysctl", "--quiet", "--write"]
    return [
        ["ip", "netns", "add", NAMESPACE],
        ["ip", "link", "add", HOST_LINK, "type", "veth", *peer],
        ["ip", "address", "add", f"{addresses.host}/30", "dev", HOST_LINK],
        ["ip", "link", "set", HOST_LINK, "up"],
        # So that the tests reach pods and Services by their addresses.
        ["ip", "route", "add", addresses.all, "via", addresses.node],
        [*inside, "link", "set", "lo", "up"],
        [*inside, "address", "add", f"{addresses.node}/30", "dev", NODE_LINK],
        [*inside, "link", "set", NODE_LINK, "up"],
        [*inside, "route", "add", "default", "via", addresses.host],
        [*inside, "link", "add", BRIDGE, "type", "bridge"],
        [*inside, "address", "add", f"{addresses.bridge}/24", "dev", BRIDGE],
        [*inside, "link", "set", BRIDGE, "up"],
        [*sysctl, "net.ipv4.ip_forward=1"],
        # Else a Service's address does not work between two pods of the bridge.
        [*sysctl, "net.bridge.bridge-nf-call-iptables=1"],
    ]


def remove() -> None:
    """Takes away what `create` made, as far as it is there."""
    if Path("/sys/class/net", HOST_LINK).exists():
        run(["ip", "link", "delete", HOST_LINK])
    if NAMESPACE_FILE.exists():
        run(["ip", "netns", "delete", NAMESPACE])


def routes() -> list[str]:
    """Where the machine already sends packets to, as networks: `["192.0.2.0/24"]`."""
    listed = run(["ip", "-json", "-4", "route", "show", "table", "all"])
    return destinations(json.loads(listed or "[]"))


def destinations(entries: Sequence[dict[str, object]]) -> list[str]:
    """The networks in what `ip -json route` lists, without the default and the cluster's own."""
    return [
        str(entry["dst"])
        for entry in entries
        if entry["dst"] != "default" and entry.get("dev") != HOST_LINK
    ]


def run(command: Sequence[str]) -> str:
    """Output of a command that must succeed."""
    environment = {**os.environ, "PATH": packages.search_path()}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise ClusterError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout}")
    return done.stdout
