"""Secrets, ConfigMaps and keys that a pod wants and that are not there, with the command that makes
them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from penstock_operator.observed import Problem

_NOT_FOUND = re.compile(r'(secret|configmap) "([^"]+)" not found')
_NO_KEY = re.compile(r"couldn't find key (\S+) in (Secret|ConfigMap) \S+/([^\s,]+)")

_KINDS = {"secret": "Secret", "configmap": "ConfigMap"}
_COMMANDS = {"Secret": "secret generic", "ConfigMap": "configmap"}
_REFERENCES = {"Secret": "secretKeyRef", "ConfigMap": "configMapKeyRef"}
_WHOLE = {"Secret": "secretRef", "ConfigMap": "configMapRef"}
_OURS = "PENSTOCK_DATABASE_URL"

Object = Mapping[str, Any]


def explained(pod: Object, message: str) -> Problem | None:
    """The problem behind what the kubelet says of a container that cannot be made; None when it is
    something else."""
    namespace = pod["metadata"].get("namespace", "default")
    no_key, not_found = _NO_KEY.search(message), _NOT_FOUND.search(message)
    if no_key is not None:
        key, kind, name = no_key.groups()
        what, keys = f"The {kind} {name} has no key {key}", [key]
        # What it holds already stays.
        end = " --dry-run=client --output yaml | kubectl apply --server-side --filename -"
    elif not_found is not None:
        kind, name = _KINDS[not_found[1]], not_found[2]
        what, keys = f"There is no {kind} {name} in {namespace}", _keys(pod, kind, name)
        end = ""
    else:
        return None
    if kind == "Secret" and _OURS in _variables(pod, kind, name):
        job = (pod["metadata"].get("labels") or {}).get("batch.kubernetes.io/job-name", "")
        advice = (
            "it is the operator's own, which makes it again with the Job after "
            f"`kubectl delete job {job} --namespace {namespace}`"
        )
    else:
        files = "".join(f" --from-file={key}=FILE" for key in keys) or (
            # Of lines such as AWS_ACCESS_KEY_ID=…
            " --from-env-file=FILE" if _is_whole(pod, kind, name) else " --from-file=KEY=FILE"
        )
        command = f"kubectl create {_COMMANDS[kind]} {name} --namespace {namespace}{files}{end}"
        advice = f"`{command}` makes it"
    return Problem(f"{kind}Missing", f"{what}: {advice}")


def volumes(pod: Object) -> list[str]:
    """The volumes of a pod that may not be there: `ConfigMap products`."""
    return [
        text for volume in (pod.get("spec") or {}).get("volumes") or () for text in _volume(volume)
    ]


def _volume(volume: Object) -> Iterator[str]:
    if source := volume.get("configMap"):
        yield f"ConfigMap {source.get('name')}"
    elif source := volume.get("secret"):
        yield f"Secret {source.get('secretName')}"
    elif source := volume.get("persistentVolumeClaim"):
        yield f"PersistentVolumeClaim {source.get('claimName')}"
    elif volume.get("csi") or volume.get("nfs") or volume.get("ephemeral"):
        yield f"volume {volume.get('name')}"


def _keys(pod: Object, kind: str, name: str) -> list[str]:
    """The keys of a Secret or ConfigMap that variables of the pod are made from."""
    return sorted(set(_variables(pod, kind, name).values()))


def _is_whole(pod: Object, kind: str, name: str) -> bool:
    """Whether every entry of it becomes a variable, whatever its key is."""
    return any(
        (one.get(_WHOLE[kind]) or {}).get("name") == name
        for container in _containers(pod)
        for one in container.get("envFrom") or ()
    )


def _containers(pod: Object) -> list[Object]:
    spec = pod.get("spec") or {}
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _variables(pod: Object, kind: str, name: str) -> dict[str, str]:
    """The variables that come from a Secret or ConfigMap, each with its key."""
    found = {}
    for container in _containers(pod):
        for variable in container.get("env") or ():
            reference = (variable.get("valueFrom") or {}).get(_REFERENCES[kind]) or {}
            if reference.get("name") == name:
                found[variable["name"]] = reference["key"]
    return found
