"""kubelet and kube-proxy, as data."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cluster.config import CGROUP, DOMAIN, NODE, Addresses, Paths
from tests.cluster.parts import Part, flags


def kubelet(binary: Path, paths: Paths, addresses: Addresses) -> Part:
    configuration = paths.configuration / "kubelet.json"
    resolver = paths.configuration / "resolv.conf"
    root = paths.state / "kubelet"
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": addresses.node,
        "healthzBindAddress": addresses.node,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(paths.certificate("ca"))},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(paths.certificate("node")),
        "tlsPrivateKeyFile": str(paths.key("node")),
        "containerRuntimeEndpoint": f"unix://{paths.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDomain": DOMAIN,
        "clusterDNS": [addresses.bridge],
        "resolvConf": str(resolver),
        "podLogsDir": str(root / "pod-logs"),
        "volumePluginDir": str(root / "volume-plugins"),
        # A developer's disk is often nearly full; the defaults would evict every pod, or remove
        # images that come from nowhere but the last import.
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": False,
    }
    arguments = flags(
        {
            "config": configuration,
            "kubeconfig": paths.client("kubelet"),
            "root-dir": root,
            "hostname-override": NODE,
            "node-ip": addresses.node,
        }
    )
    return Part(
        "kubelet",
        (str(binary), *arguments),
        f"http://{addresses.node}:10248/healthz",
        {
            configuration: json.dumps(settings, indent=2),
            resolver: f"nameserver {addresses.bridge}\n",
        },
    )


def kube_proxy(binary: Path, paths: Paths, addresses: Addresses) -> Part:
    configuration = paths.configuration / "kube-proxy.json"
    health = f"{addresses.node}:10256"
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": addresses.pods,
        "hostnameOverride": NODE,
        "clientConnection": {"kubeconfig": str(paths.client("kube-proxy"))},
        "healthzBindAddress": health,
        "metricsBindAddress": f"{addresses.node}:10249",
        # The size of the connection table belongs to the machine, not to the namespace.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    arguments = flags({"config": configuration})
    files = {configuration: json.dumps(settings, indent=2)}
    return Part("kube-proxy", (str(binary), *arguments), f"http://{health}/healthz", files)
