"""CoreDNS, as data. It runs beside the node, not as a pod, and answers on the pods' gateway."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.config import DOMAIN, HOST_NAME, Addresses, Paths
from tests.cluster.parts import Part


def coredns(binary: Path, paths: Paths, addresses: Addresses) -> Part:
    corefile = paths.configuration / "Corefile"
    health = f"{addresses.node}:8181"
    text = f"""{DOMAIN}:53 in-addr.arpa:53 ip6.arpa:53 {{
    bind {addresses.bridge}
    errors
    ready {health}
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {paths.client("coredns")}
    }}
}}

{HOST_NAME}:53 {{
    bind {addresses.bridge}
    hosts {{
        {addresses.host} {HOST_NAME}
    }}
}}

# Pods can't reach the internet: any other name does not exist, and a pod learns it at once.
.:53 {{
    bind {addresses.bridge}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
    command = (str(binary), "-conf", str(corefile))
    return Part("coredns", command, f"http://{health}/ready", {corefile: text})
