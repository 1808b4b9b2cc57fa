"""Why a pod does not work, out of what Kubernetes says of it, and what to do about it. Pure.

A message names objects and fields and holds nothing secret: what programs and registries have said
is masked and cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from penstock.secrets import mask
from penstock.text import storable
from penstock_operator import missing
from penstock_operator.observed import Problem

UNSCHEDULABLE_SECONDS = 10.0
"""So long a pod may wait for a place before it is told; most wait a moment."""
STUCK_SECONDS = 60.0
"""So long volumes and images may take."""
PATIENCE = max(UNSCHEDULABLE_SECONDS, STUCK_SECONDS)

_LONGEST = 600
_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
          "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed")  # fmt: skip
_CANNOT_START = ("CreateContainerError", "RunContainerError")
_FOR_A_MOMENT = "failed to sync"
"""The node does not know yet whether a Secret or ConfigMap is there."""
_STARTING = ("ContainerCreating", "PodInitializing")
_NEVER_STARTED = ("ContainerCannotRun", "StartError")
_NODE_LOST = ("DeletionByPodGC", "DeletionByTaintManager", "NodeLost")
_FINE = (0, 130)
"""Exit codes: done, and drained with work left."""

Object = Mapping[str, Any]


def problem_of(pod: Object, now: float) -> Problem | None:
    """What keeps a pod from working, or ended it badly; None when all is well, or when it was asked
    to stop. now: seconds since the epoch."""
    status = pod.get("status") or {}
    gone = _disrupted(status)
    if gone is not None:
        return gone
    if pod["metadata"].get("deletionTimestamp"):
        return None
    if status.get("phase") == "Succeeded":
        return None
    for container in _statuses(status):
        end = (container.get("state") or {}).get("terminated") or {}
        found = _waiting(pod, container) or _terminated(pod, container, end)
        if found is not None:
            return found
    if status.get("phase") == "Failed":
        return _refused(status)
    return _unscheduled(pod, now) or _stuck(pod, now)


def _disrupted(status: Object) -> Problem | None:
    """Taken away from outside. Another pod takes over; it tells why there are fewer of them."""
    if status.get("phase") == "Succeeded":
        return None
    condition = _condition(status, "DisruptionTarget") or {}
    on = condition if condition.get("status") == "True" else {}
    reason = status.get("reason") or on.get("reason") or ""
    said = _said(status.get("message") or on.get("message"))
    if reason in _NODE_LOST:
        return Problem(
            "NodeLost", f"Its node is gone or does not answer{said}; another pod goes on"
        )
    if reason in ("Evicted", "TerminationByKubelet"):
        advice = "; give pods the requests and limits they need in spec.template"
        return Problem("Evicted", f"Its node took the pod away{said}{advice}")
    if reason == "PreemptionByScheduler":
        advice = "; priorityClassName in spec.template.spec decides who goes first"
        return Problem("Preempted", f"A pod of higher priority took its place{said}{advice}")
    if reason == "EvictionByEvictionAPI":
        return Problem("Evicted", f"It was asked off its node{said}; another pod goes on")
    return None


def _waiting(pod: Object, container: Object) -> Problem | None:
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason, message = waiting.get("reason") or "", waiting.get("message") or ""
    if reason in _IMAGE:
        return Problem("ImagePullFailed", _image(container, reason, message))
    if reason == "CreateContainerConfigError" and not message.startswith(_FOR_A_MOMENT):
        found = missing.explained(pod, message)
        if found is not None:
            return found
        return Problem("InvalidPod", f"The container cannot be made{_said(message)}")
    if reason in _CANNOT_START:
        return Problem("CannotStart", _cannot_start(container, message))
    if reason == "CrashLoopBackOff":
        last = (container.get("lastState") or {}).get("terminated") or {}
        return _terminated(pod, container, last) or Problem(
            "Crashed", f"The container {container['name']} ends again and again{_said(message)}"
        )
    return None


def _image(container: Object, reason: str, message: str) -> str:
    name = storable(str(container.get("image") or ""))[:256]
    if reason == "InvalidImageName":
        return f"{name!r} is not the name of an image: mend spec.template.spec.containers[].image"
    if reason == "ErrImageNeverPull":
        return (
            f"The image {name} is not on the node, and imagePullPolicy Never forbids to fetch it: "
            "load it there, or change the policy"
        )
    return (
        f"The image {name} cannot be pulled{_said(message)}; check its name and tag "
        "(spec.template.spec.containers[].image), whether the node reaches the registry, and, "
        "where that wants a login, spec.template.spec.imagePullSecrets"
    )


def _cannot_start(container: Object, message: str | None) -> str:
    return (
        f"The container {container['name']} cannot start{_said(message)}; its image must hold "
        "`penstock`, and a `command` in spec.template must exist in it"
    )


def _terminated(pod: Object, container: Object, end: Object) -> Problem | None:
    code, reason, message = end.get("exitCode", 0), end.get("reason"), end.get("message")
    name = container["name"]
    if reason == "OOMKilled":
        return Problem("OutOfMemory", _out_of_memory(pod, name))
    if reason in _NEVER_STARTED:
        return Problem("CannotStart", _cannot_start(container, message))
    if code in _FINE:
        return None
    if code == 2:
        return Problem("BadInput", f"The container {name} found its input wrong{_said(message)}")
    if code == 137:
        return Problem("Killed", f"The container {name} was killed from outside{_said(message)}")
    return Problem("Crashed", f"The container {name} ended with exit code {code}{_said(message)}")


def _out_of_memory(pod: Object, name: str) -> str:
    containers = (pod.get("spec") or {}).get("containers") or ()
    own: Object = next((one for one in containers if one.get("name") == name), {})
    limit = ((own.get("resources") or {}).get("limits") or {}).get("memory")
    if limit is None:
        return (
            f"The node had no memory left for the container {name}: set resources.requests.memory "
            "in spec.template.spec.containers[] to what it needs"
        )
    return (
        f"The container {name} used more memory than its limit of {limit}: raise "
        "resources.limits.memory in spec.template.spec.containers[], or lower "
        "spec.scaling.concurrency.max"
    )


def _refused(status: Object) -> Problem | None:
    """It failed and none of its containers says why: its node would not have it."""
    ended = any((one.get("state") or {}).get("terminated") for one in _statuses(status))
    if ended or not status.get("reason"):
        return None
    return Problem("Rejected", f"Its node refused the pod{_said(status.get('message'))}")


def _unscheduled(pod: Object, now: float) -> Problem | None:
    condition = _condition(pod.get("status") or {}, "PodScheduled")
    if condition is None:
        created = pod["metadata"].get("creationTimestamp")
        if (pod.get("spec") or {}).get("nodeName") or _since(created, now) < STUCK_SECONDS:
            return None
        scheduler = (pod.get("spec") or {}).get("schedulerName")
        said = f"; its schedulerName is {scheduler}" if scheduler else ""
        return Problem("Unschedulable", f"No scheduler has looked at the pod{said}")
    if condition.get("status") != "False" or condition.get("reason") != "Unschedulable":
        return None
    if _since(condition.get("lastTransitionTime"), now) < UNSCHEDULABLE_SECONDS:
        return None
    return Problem(
        "Unschedulable",
        f"There is no node for the pod{_said(condition.get('message'))}; change what "
        "spec.template.spec asks for (resources, nodeSelector, tolerations, volumes), or add nodes",
    )


def _stuck(pod: Object, now: float) -> Problem | None:
    status = pod.get("status") or {}
    starting = any(
        ((one.get("state") or {}).get("waiting") or {}).get("reason") in _STARTING
        for one in _statuses(status)
    )
    running = any((one.get("state") or {}).get("running") is not None for one in _statuses(status))
    if not starting or running:
        return None
    seconds = _since(status.get("startTime"), now)
    if seconds < STUCK_SECONDS:
        return None
    mounted = missing.volumes(pod)
    what = f" ({', '.join(mounted)})" if mounted else ""
    metadata = pod["metadata"]
    return Problem(
        "StartTakesLong",
        f"The pod has been starting for {STUCK_SECONDS:.0f} s or more: a large image, or a volume "
        f"that cannot be mounted{what}; `kubectl describe pod {metadata['name']} --namespace "
        f"{metadata.get('namespace', 'default')}` tells which",
    )


def _statuses(status: Object) -> list[Object]:
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _condition(status: Object, kind: str) -> Object | None:
    conditions = status.get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), None)


def _since(moment: str | None, now: float) -> float:
    """Seconds since a moment as Kubernetes writes it; 0 when there is none."""
    if not moment:
        return 0.0
    return now - datetime.fromisoformat(moment.replace("Z", "+00:00")).astimezone(UTC).timestamp()


def _said(message: str | None) -> str:
    """`: what was said`, without secrets and on one line; of a long text its end, where programs
    say why they end. Nothing when nothing was said."""
    text = " ".join(mask(storable(message or "")).split()).rstrip(".")
    if len(text) > _LONGEST:
        text = f"… {text[-_LONGEST:]}"
    return f": {text}" if text else ""
