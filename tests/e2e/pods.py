"""Kubernetes objects the tests make, as dicts; every pod keeps to the restricted Pod Security
standard."""

from __future__ import annotations

from collections.abc import Mapping

from tests.e2e.kube import Object

RESTRICTED_POD: Object = {
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED_CONTAINER: Object = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def container(image: str, *arguments: str, **more: object) -> Object:
    """A container, called `main`; `more` are further fields of it."""
    return {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": list(arguments),
        "securityContext": RESTRICTED_CONTAINER,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        **more,
    }


def shell(image: str, script: str, **more: object) -> Object:
    """A container that runs a shell script; busybox's own image would have it run as root."""
    user = {**RESTRICTED_CONTAINER, "runAsUser": 65534}
    return container(image, "-c", script, command=["sh"], securityContext=user, **more)


def pod_spec(main: Object, **more: object) -> Object:
    """The spec of a pod with one container and an empty /tmp."""
    volumes: list[Object] = [{"name": "tmp", "emptyDir": {}}]
    volumes += more.pop("volumes", [])  # type: ignore[arg-type]
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, *main.get("volumeMounts", [])]
    return {
        "securityContext": RESTRICTED_POD,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "containers": [{**main, "volumeMounts": mounts}],
        "volumes": volumes,
        **more,
    }


def pod(name: str, spec: Object) -> Object:
    """A pod with the label app=NAME."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"restartPolicy": "Never", **spec},
    }


def service(name: str, port: int) -> Object:
    """A Service of the pods with the label app=NAME."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"selector": {"app": name}, "ports": [{"port": port}]},
    }


def job(name: str, pod: Object, **spec: object) -> Object:
    """A Job; `spec` are further fields of its spec."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"restartPolicy": "Never", **pod},
            },
            **spec,
        },
    }


def secret(name: str, values: Mapping[str, str]) -> Object:
    """A Secret of texts."""
    metadata = {"name": name}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}


def config_map(name: str, values: Mapping[str, str]) -> Object:
    """A ConfigMap of texts."""
    metadata = {"name": name}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": values}


def from_secret(variable: str, name: str, key: str) -> Object:
    """An environment variable whose value is in a Secret."""
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def variables(values: Mapping[str, str]) -> list[Object]:
    """Environment variables with plain values."""
    return [{"name": name, "value": value} for name, value in values.items()]


def http_ready(port: int, path: str) -> Object:
    """Ready as soon as a path answers; asked every second."""
    return {
        "httpGet": {"port": port, "path": path},
        "periodSeconds": 1,
        "timeoutSeconds": 5,
        "failureThreshold": 180,
    }
