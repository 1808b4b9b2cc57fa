"""The pod that plans, works or exports: what all three have, and what each needs.

It passes Pod Security "restricted". `spec.template` is laid over it; what the operator needs for
itself is refused there before.
"""

from __future__ import annotations

from typing import Any

from penstock.spec.job import BatchJob
from penstock_operator.builders import needs
from penstock_operator.builders.merge import CONTAINER, RESERVED, RESERVED_PATH, merged
from penstock_operator.builders.secret import URL_KEY
from penstock_operator.names import Owner, annotations_of, labels
from penstock_operator.observed import Role
from penstock_operator.settings import Settings

USER = 65532
GRACE_SECONDS = 30
"""A worker that is asked to stop takes at most ten."""
REQUESTS = {"cpu": "100m", "memory": "128Mi"}

_TMP = f"{RESERVED}tmp"
_SOURCE = f"{RESERVED}source"
_SOURCE_PATH = f"{RESERVED_PATH}/source"
_CODE = f"{RESERVED}code"
_CODE_PATH = f"{RESERVED_PATH}/code"


def pod_template(
    role: Role,
    owner: Owner,
    run: int,
    run_id: int,
    manifest: BatchJob,
    settings: Settings,
    secret: str,
) -> dict[str, Any]:
    """The pod template of a Job: its metadata and spec. secret: as in `build`."""
    plain = {
        "metadata": {
            "labels": labels(owner.name, run, role),
            "annotations": {
                **annotations_of(owner),
                "kubectl.kubernetes.io/default-container": CONTAINER,
            },
        },
        "spec": _spec(role, owner, run_id, manifest, settings, secret),
    }
    pod = merged(plain, manifest.spec.template)
    spec = pod["spec"] = {**pod["spec"], "restartPolicy": "Never"}
    spec["containers"] = [
        _completed(one, role, manifest, settings, spec) if one["name"] == CONTAINER else one
        for one in spec["containers"]
    ]
    return pod


def _spec(
    role: Role, owner: Owner, run_id: int, manifest: BatchJob, settings: Settings, secret: str
) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [{"name": _TMP, "emptyDir": {}}]
    mounts: list[dict[str, Any]] = [{"name": _TMP, "mountPath": "/tmp"}]
    source = manifest.spec.source.config_map
    if role == "plan" and source is not None:
        items = [{"key": source.key, "path": source.key}]
        volumes.append({"name": _SOURCE, "configMap": {"name": source.name, "items": items}})
        mounts.append({"name": _SOURCE, "mountPath": _SOURCE_PATH, "readOnly": True})
    code = needs.code(role, manifest)
    if code is not None:
        volumes.append({"name": _CODE, "configMap": {"name": code}})
        mounts.append({"name": _CODE, "mountPath": _CODE_PATH, "readOnly": True})
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        # Variables for every Service of the namespace would only be in the way.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            # Else all files of a large volume are changed at every start.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": CONTAINER,
                "imagePullPolicy": settings.pull_policy,
                "env": _environment(role, owner, run_id, manifest, secret),
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }
    if settings.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.pull_secrets]
    return spec


def _environment(
    role: Role, owner: Owner, run_id: int, manifest: BatchJob, secret: str
) -> list[dict[str, Any]]:
    variables: list[dict[str, Any]] = [
        needs.from_secret("PENSTOCK_DATABASE_URL", secret, URL_KEY),
        {"name": "PENSTOCK_RUN", "value": str(run_id)},
        {"name": "PENSTOCK_JOB", "value": f"{owner.namespace}/{owner.name}"},
        {"name": "PENSTOCK_WORKERS", "value": str(manifest.spec.scaling.max_parallelism)},
    ]
    source = manifest.spec.source.config_map
    if role == "plan" and source is not None:
        variables.append({"name": "PENSTOCK_SOURCE", "value": f"{_SOURCE_PATH}/{source.key}"})
    if needs.code(role, manifest) is not None:
        variables.append({"name": "PENSTOCK_CODE", "value": _CODE_PATH})
    return [*variables, *needs.variables(role, manifest)]


def _completed(
    container: dict[str, Any],
    role: Role,
    manifest: BatchJob,
    settings: Settings,
    spec: dict[str, Any],
) -> dict[str, Any]:
    """Our container with what depends on what the template left open."""
    result = {
        **container,
        "image": container.get("image") or settings.image,
        "args": [role],
    }
    secrets = needs.env_from(role, manifest)
    if secrets:  # Kubernetes knows nothing to tell these apart by: both lists count
        result["envFrom"] = [*(container.get("envFrom") or ()), *secrets]
    if not spec.get("resources"):  # those of the whole pod, which must not be less than ours
        result["resources"] = _resources(container.get("resources") or {})
    return result


def _resources(given: dict[str, Any]) -> dict[str, Any]:
    """With requests where nothing is said: a limit alone is taken for the request as well."""
    requests, limits = given.get("requests") or {}, given.get("limits") or {}
    missing = {
        name: amount
        for name, amount in REQUESTS.items()
        if name not in requests and name not in limits
    }
    return {**given, "requests": {**missing, **requests}}
