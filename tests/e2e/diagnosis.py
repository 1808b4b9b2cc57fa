"""Keeps everything that may explain a failed test: objects, events, logs of pods and cluster."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.cluster.config import Paths
from tests.e2e.kube import Kube, Object
from tests.e2e.namespace import Namespace

KEPT = Path("build/e2e")
_EVENTS = 25
_LOG_LINES = 20
_COMPONENT_LINES = 300


def keep(test: str, namespaces: Sequence[Namespace], *, own: bool) -> str:
    """Writes all there is to `build/e2e/<test>`; returns that and the most telling lines of it.

    Takes whatever it can get: a cluster in trouble must not hide the failure.
    """
    directory = KEPT / re.sub(r"[^\w.-]+", "-", test.rpartition("/")[2]).strip("-")
    shutil.rmtree(directory, ignore_errors=True)
    told = [f"everything is kept in {directory}"]
    for namespace in namespaces:
        told += _keep_namespace(directory / namespace.name, namespace)
    for kube in {id(namespace.kube): namespace.kube for namespace in namespaces}.values():
        _write(directory / "nodes.txt", _kubectl(kube, "describe", "nodes"))
    if own:
        _keep_components(directory / "cluster", Paths())
    return "\n".join(told)


def _keep_namespace(directory: Path, namespace: Namespace) -> list[str]:
    kube, at = namespace.kube, ("--namespace", namespace.name)
    events = _kubectl(kube, *at, "get", "events", "--sort-by=.lastTimestamp", "--output=wide")
    pods = _kubectl(kube, *at, "get", "pods", "--output=wide")
    _write(directory / "events.txt", events)
    _write(directory / "pods.txt", pods)
    kinds = _kinds(kube)
    objects = _kubectl(kube, *at, "get", ",".join(kinds), "--output=yaml")
    _write(directory / "objects.yaml", objects)
    _write(directory / "secrets.json", without_data(_kubectl(
        kube, *at, "get", "secrets", "--output=json"
    )))  # fmt: skip
    _write(directory / "describe.txt", _kubectl(kube, *at, "describe", ",".join(kinds)))
    told = [f"namespace {namespace.name}:", pods, *events.splitlines()[-_EVENTS:]]
    for pod, container, restarted in _containers(kube, at):
        log = _kubectl(kube, *at, "logs", pod, "--container", container)
        _write(directory / "logs" / f"{pod}.{container}.log", log)
        told += [f"log of {pod}, {container}:", *log.splitlines()[-_LOG_LINES:]]
        if restarted:
            before = _kubectl(kube, *at, "logs", pod, "--container", container, "--previous")
            _write(directory / "logs" / f"{pod}.{container}.previous.log", before)
    return told


def _kinds(kube: Kube) -> list[str]:
    """All kinds of objects a namespace can hold, but for Secrets and the lengthy ones."""
    listed = _kubectl(kube, "api-resources", "--namespaced", "--verbs=list", "--output=name")
    return [kind for kind in listed.split() if kind.partition(".")[0] not in {"secrets", "events"}]


def _containers(kube: Kube, at: Sequence[str]) -> Iterable[tuple[str, str, bool]]:
    try:
        found = json.loads(_kubectl(kube, *at, "get", "pods", "--output=json"))["items"]
    except (ValueError, KeyError):
        return
    for pod in found:
        status = pod.get("status", {})
        for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            yield pod["metadata"]["name"], one["name"], one["restartCount"] > 0


def _keep_components(directory: Path, paths: Paths) -> None:
    for log in sorted(paths.logs.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-_COMPONENT_LINES:]
        _write(directory / log.name, "\n".join(lines))


def without_data(listed: str) -> str:
    """The Secrets of a list in JSON with their keys, and without what these hold."""
    try:
        found: Object = json.loads(listed)
    except ValueError:
        return listed
    for secret in found.get("items", ()):
        for part in ("data", "stringData"):
            if part in secret:
                secret[part] = sorted(secret[part])
        # kubectl apply keeps a copy of the whole object there.
        secret["metadata"].pop("annotations", None)
    return json.dumps(found, indent=1)


def _kubectl(kube: Kube, *arguments: str) -> str:
    try:
        done = kube.try_kubectl(*arguments)
    except Exception as error:
        return f"kubectl {' '.join(arguments)}: {error}"
    return done.stdout + done.stderr


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
