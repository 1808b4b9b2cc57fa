"""etcd, the API server, the controllers and the scheduler, as data.

They run inside the cluster's network namespace. etcd speaks plain HTTP on that namespace's loopback
address, where nobody on the machine but root can reach it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.cluster.config import DOMAIN, Addresses, Paths
from tests.cluster.parts import Part, flags

_ETCD = "http://127.0.0.1:2379"
_ETCD_PEER = "http://127.0.0.1:2380"


def etcd(binary: Path, paths: Paths, addresses: Addresses) -> Part:
    metrics = f"http://{addresses.node}:2381"
    arguments = flags(
        {
            "name": "penstock",
            "data-dir": paths.state / "etcd",
            "listen-client-urls": _ETCD,
            "advertise-client-urls": _ETCD,
            "listen-peer-urls": _ETCD_PEER,
            "initial-advertise-peer-urls": _ETCD_PEER,
            "initial-cluster": f"penstock={_ETCD_PEER}",
            "listen-metrics-urls": metrics,
            # The data is thrown away with the cluster; waiting for the disk would only cost time.
            "unsafe-no-fsync": "true",
        }
    )
    return Part("etcd", (str(binary), *arguments), f"{metrics}/health")


def api_server(binary: Path, paths: Paths, addresses: Addresses) -> Part:
    issuer = f"https://kubernetes.default.svc.{DOMAIN}"
    arguments = flags(
        {
            # Pods reach the API server through this address, so it can't be a loopback one.
            "advertise-address": addresses.node,
            "secure-port": 6443,
            "etcd-servers": _ETCD,
            "service-cluster-ip-range": addresses.services,
            "client-ca-file": paths.certificate("ca"),
            "tls-cert-file": paths.certificate("node"),
            "tls-private-key-file": paths.key("node"),
            "kubelet-certificate-authority": paths.certificate("ca"),
            "kubelet-client-certificate": paths.certificate("api-server"),
            "kubelet-client-key": paths.key("api-server"),
            # The node's name is known to no name server: without this, logs and exec fail.
            "kubelet-preferred-address-types": "InternalIP",
            "service-account-issuer": issuer,
            "service-account-key-file": paths.service_account_public_key,
            "service-account-signing-key-file": paths.key("service-accounts"),
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "allow-privileged": "true",
        }
    )
    return Part("kube-apiserver", (str(binary), *arguments), f"{addresses.api}/readyz")


def controller_manager(binary: Path, paths: Paths, addresses: Addresses) -> Part:
    arguments = flags(
        {
            **_shared(paths, "kube-controller-manager"),
            "root-ca-file": paths.certificate("ca"),
            "service-account-private-key-file": paths.key("service-accounts"),
            "use-service-account-credentials": "true",
            "cluster-signing-cert-file": paths.certificate("ca"),
            "cluster-signing-key-file": paths.key("ca"),
            "allocate-node-cidrs": "true",
            "cluster-cidr": addresses.pods,
            "node-cidr-mask-size": 24,
            "service-cluster-ip-range": addresses.services,
        }
    )
    health = f"https://{addresses.node}:10257/healthz"
    return Part("kube-controller-manager", (str(binary), *arguments), health)


def scheduler(binary: Path, paths: Paths, addresses: Addresses) -> Part:
    arguments = flags(_shared(paths, "kube-scheduler"))
    health = f"https://{addresses.node}:10259/healthz"
    return Part("kube-scheduler", (str(binary), *arguments), health)


def _shared(paths: Paths, name: str) -> Mapping[str, object]:
    client = paths.client(name)
    return {
        "kubeconfig": client,
        "authentication-kubeconfig": client,
        "authorization-kubeconfig": client,
        "tls-cert-file": paths.certificate("node"),
        "tls-private-key-file": paths.key("node"),
        # There is only one of each: an election would only make the start slower.
        "leader-elect": "false",
    }
