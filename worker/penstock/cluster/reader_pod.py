"""The pod that results are read by: where the job's database is reached from, and nobody else is.

Users have no credentials of the database, the job's namespace has. Pure: made from the pods that
the job itself had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from penstock.cluster.changing import owner_reference
from penstock.cluster.kinds import Raw
from penstock.cluster.mounts import CONTAINER

LIFE = 2 * 3600
"""Seconds after which it ends by itself, should nobody be left to delete it."""
DATABASE = "PENSTOCK_DATABASE_URL"
_RUN, _ROLE = "penstock.dev/run", "penstock.dev/role"
_ROLES = ("export", "plan", "work")
_VOLUMES = ("emptyDir", "configMap", "secret", "projected")
"""Volumes that every pod can have at once, wherever it runs."""
_OPERATORS = "penstock-"
"""Volumes of the operator's own begin so; but for /tmp they are about one role."""
_KEPT = (
    *("securityContext", "imagePullSecrets", "nodeSelector", "affinity", "tolerations"),
    *("priorityClassName", "runtimeClassName", "schedulerName", "serviceAccountName"),
    *("dnsPolicy", "dnsConfig", "hostAliases"),
)
_RESTRICTED_POD = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def newest(jobs: Iterable[Raw], uid: str) -> Raw | None:
    """Of a BatchJob's Jobs the one to take the pod from; None when they are gone."""
    own = [
        job
        for job in jobs
        if any(owner.get("uid") == uid for owner in job["metadata"].get("ownerReferences") or ())
        and job["metadata"].get("labels", {}).get(_ROLE) in _ROLES
    ]
    return max(own, key=_rank, default=None)


def reader_of(job: Raw, batchjob: Raw, image: str | None) -> Raw:
    """The pod, made after that of a Job. image: another one."""
    template = job["spec"]["template"]["spec"]
    container = next(one for one in template["containers"] if one["name"] == CONTAINER)
    volumes = [one for one in template.get("volumes") or () if _is_taken(one)]
    names = {one["name"] for one in volumes}
    main = {
        "image": image or container["image"],
        "imagePullPolicy": container.get("imagePullPolicy", "IfNotPresent"),
        "env": [one for one in container.get("env") or () if _is_needed(one)],
        "securityContext": container.get("securityContext") or _RESTRICTED,
        "volumeMounts": [
            one for one in container.get("volumeMounts") or () if one["name"] in names
        ],
    }
    kept = {name: template[name] for name in _KEPT if template.get(name)}
    return _pod(batchjob, main, {**kept, "volumes": volumes})


def reader_with(secret: str, image: str, batchjob: Raw) -> Raw:
    """The pod, made from the Secret with the address of the database and an image alone."""
    reference = {"secretKeyRef": {"name": secret, "key": "url"}}
    main = {
        "image": image,
        "env": [{"name": DATABASE, "valueFrom": reference}],
        "securityContext": _RESTRICTED,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    volumes = [{"name": "tmp", "emptyDir": {}}]
    return _pod(batchjob, main, {"securityContext": _RESTRICTED_POD, "volumes": volumes})


def database_secret(secrets: Iterable[Raw], uid: str) -> str | None:
    """Name of the newest Secret of a BatchJob, by the metadata of all with its label."""
    own = [
        one["metadata"]
        for one in secrets
        if any(owner.get("uid") == uid for owner in one["metadata"].get("ownerReferences") or ())
        and "-db-" in one["metadata"]["name"]
    ]
    found = max(own, key=lambda metadata: str(metadata["creationTimestamp"]), default=None)
    return None if found is None else str(found["name"])


def _pod(batchjob: Raw, main: Mapping[str, Any], spec: Mapping[str, Any]) -> Raw:
    name = batchjob["metadata"]["name"]
    labels = {
        # Not the operator's labels: this pod is none of its own.
        "app.kubernetes.io/name": "penstock",
        "app.kubernetes.io/component": "results",
        "app.kubernetes.io/part-of": name,
        "app.kubernetes.io/managed-by": "penstock-results",
    }
    container = {
        **main,
        "name": CONTAINER,
        "command": ["sleep", str(LIFE)],
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": "512Mi"},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{name}-results-",
            "labels": labels,
            "ownerReferences": [owner_reference(batchjob)],
        },
        "spec": {
            **spec,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFE,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        },
    }


def _rank(job: Raw) -> tuple[int, int]:
    labels = job["metadata"]["labels"]
    run = labels.get(_RUN, "")
    return int(run) if run.isdigit() else 0, -_ROLES.index(labels[_ROLE])


def _is_taken(volume: Mapping[str, Any]) -> bool:
    own = volume["name"].startswith(_OPERATORS)
    return "emptyDir" in volume if own else any(kind in volume for kind in _VOLUMES)


def _is_needed(variable: Mapping[str, Any]) -> bool:
    """The address of the database and what is said plainly: PGSSLROOTCERT, say. No other secret."""
    return variable["name"] == DATABASE or "valueFrom" not in variable
