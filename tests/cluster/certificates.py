"""The cluster's own certificate authority, made anew at every start with the openssl command."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.config import DOMAIN, NODE, Addresses, Paths, kubeconfig
from tests.cluster.errors import ClusterError


@dataclass(frozen=True)
class Identity:
    """Whom a certificate stands for: Kubernetes reads the user from CN and the groups from O."""

    name: str
    user: str
    group: str | None = None


CLIENTS = (
    Identity("admin", "penstock-admin", "system:masters"),
    Identity("api-server", "api-server"),
    Identity("kube-controller-manager", "system:kube-controller-manager"),
    Identity("kube-scheduler", "system:kube-scheduler"),
    Identity("kubelet", f"system:node:{NODE}", "system:nodes"),
    Identity("kube-proxy", "system:kube-proxy"),
    Identity("coredns", "coredns"),
)


def create(paths: Paths, addresses: Addresses) -> None:
    """Writes all keys and certificates, and a kubeconfig for each client."""
    paths.certificates.mkdir(parents=True, exist_ok=True)
    authority = ["-addext", "basicConstraints=critical,CA:TRUE"]
    authority += ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    _openssl(_request(paths, Identity("ca", "penstock-cluster-ca"), authority))
    names = ",".join(f"DNS:{name}" for name in server_names())
    numbers = ",".join(f"IP:{number}" for number in server_numbers(addresses))
    signed = ["-CA", str(paths.certificate("ca")), "-CAkey", str(paths.key("ca"))]
    leaf = [*signed, "-addext", "basicConstraints=critical,CA:FALSE"]
    server = [*leaf, "-addext", "extendedKeyUsage=serverAuth"]
    node = Identity("node", NODE)
    _openssl(_request(paths, node, [*server, "-addext", f"subjectAltName={names},{numbers}"]))
    for identity in CLIENTS:
        usage = [*leaf, "-addext", "extendedKeyUsage=clientAuth"]
        _openssl(_request(paths, identity, usage))
        _write_kubeconfig(paths.client(identity.name), paths, identity.name, addresses)
    _write_kubeconfig(paths.kubeconfig, paths, "admin", addresses)
    curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    signer = str(paths.key("service-accounts"))
    _openssl(["genpkey", *curve, "-out", signer])
    _openssl(["pkey", "-in", signer, "-pubout", "-out", str(paths.service_account_public_key)])


def server_names() -> list[str]:
    """The names the API server and the kubelet are called by."""
    short = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    return [*short, f"{short[-1]}.{DOMAIN}", NODE, "localhost"]


def server_numbers(addresses: Addresses) -> list[str]:
    """The addresses the API server and the kubelet are called by."""
    return [addresses.node, addresses.api_service, "127.0.0.1"]


def subject(identity: Identity) -> str:
    """`/O=group/CN=user`, as openssl wants it."""
    group = f"/O={identity.group}" if identity.group else ""
    return f"{group}/CN={identity.user}"


def _request(paths: Paths, identity: Identity, extra: Sequence[str]) -> list[str]:
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
    files = [
        "-keyout",
        str(paths.key(identity.name)),
        "-out",
        str(paths.certificate(identity.name)),
    ]
    who = ["-subj", subject(identity), "-days", "365"]
    # Without `-config /dev/null` the machine's own openssl.cnf adds extensions a second time.
    return ["req", "-x509", "-config", "/dev/null", *curve, *who, *files, *extra]


def _openssl(arguments: Sequence[str]) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"openssl {' '.join(arguments)} failed:\n{done.stderr.strip()}")


def _write_kubeconfig(target: Path, paths: Paths, name: str, addresses: Addresses) -> None:
    files = {
        "authority": paths.certificate("ca"),
        "certificate": paths.certificate(name),
        "key": paths.key(name),
    }
    encoded = {role: base64.b64encode(path.read_bytes()).decode() for role, path in files.items()}
    target.touch(mode=0o600)
    target.write_text(json.dumps(kubeconfig(addresses.api, encoded), indent=2))
