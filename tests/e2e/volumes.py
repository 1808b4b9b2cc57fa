"""Volumes that outlive pods, on a cluster that provides none: a directory of the node, and a pod
that reads and writes there."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.e2e import pods
from tests.e2e.kube import Object
from tests.e2e.namespace import Namespace, Namespaces

CLASS = "penstock-tests"
"""Storage class of the volumes. None of that name exists: nobody makes volumes of it by himself."""
_ON_NODE = "/tmp/penstock-tests"
_KEEPER, _THERE = "keeper", "/tests"
_SIZE = "10Gi"


@dataclass(frozen=True)
class Volume:
    """A directory that any user may write to. Paths are relative to it."""

    keeper: Namespace
    name: str

    def write(self, path: str, content: bytes) -> None:
        """A file with this content."""
        at = f"{_THERE}/{self.name}/{path}"
        # As an argument: what goes to a command's input can get lost when it starts slowly.
        script = f'mkdir -p $(dirname {at}) && printf %s "$0" | base64 -d > {at}'
        self.keeper.exec(_KEEPER, "sh", "-c", script, b64encode(content).decode())

    def read(self, path: str) -> bytes:
        """What a file holds. Raises AssertionError when there is none."""
        return b64decode(self.keeper.exec(_KEEPER, "base64", f"{_THERE}/{self.name}/{path}"))


@contextmanager
def volume(
    namespaces: Namespaces, image: str, namespace: Namespace, claim: str
) -> Iterator[Volume]:
    """A volume for the claim of this name, which its user makes. image: with a shell.

    Its namespace has to be on its way out at the end; so nobody uses the volume any more.
    """
    # Directories of the node are for root, and the restricted standard is for everybody else.
    keeper = namespaces.create("privileged")
    made = Volume(keeper, f"{namespace.name}-{claim}")
    path = f"/api/v1/persistentvolumes/{made.name}"
    keeper.create(pods.pod(_KEEPER, _keeper(image)))
    node = keeper.ready(_KEEPER)["spec"]["nodeName"]
    keeper.exec(_KEEPER, "mkdir", "-m", "0777", f"{_THERE}/{made.name}")
    keeper.kube.create(path.rpartition("/")[0], _volume(made.name, node, namespace, claim))
    try:
        yield made
    finally:
        keeper.kube.kubectl("wait", "--for=delete", f"namespace/{namespace.name}", "--timeout=280s")
        keeper.kube.delete(path)
        keeper.exec(_KEEPER, "rm", "-rf", f"{_THERE}/{made.name}")
        namespaces.delete(keeper)


def claim(name: str) -> Object:
    """A claim of the volume that is kept for it."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": CLASS,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": _SIZE}},
        },
    }


def _volume(name: str, node: str, namespace: Namespace, claim: str) -> Object:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": CLASS,
            "capacity": {"storage": _SIZE},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": f"{_ON_NODE}/{name}"},
            "claimRef": {"namespace": namespace.name, "name": claim},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }


def _keeper(image: str) -> Object:
    main = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "tests", "mountPath": _THERE}],
    }
    on_node = {"path": _ON_NODE, "type": "DirectoryOrCreate"}
    return {
        "containers": [main],
        "volumes": [{"name": "tests", "hostPath": on_node}],
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
    }
