"""The Jobs of a run: plan, work, export.

Work is an Indexed Job whose indexes are worker slots: there are more than pods, so that one whose
restarts are used up leaves others. They do not shorten the wait after a crash: Kubernetes takes the
lowest index again, after a wait that grows each time. The first worker that finds the run finished
ends 0, and with it the Job is Complete. A worker that was stopped with work left ends 130, which
counts as nothing.
"""

from __future__ import annotations

from typing import Any

from penstock.spec.job import BatchJob
from penstock_operator.builders.merge import CONTAINER, template_code
from penstock_operator.builders.pod import pod_template
from penstock_operator.names import (
    TEMPLATE,
    Owner,
    annotations_of,
    job_name,
    labels,
    owner_reference,
)
from penstock_operator.observed import Role
from penstock_operator.settings import Settings

BACKOFF_LIMIT = 6
BACKOFF_LIMIT_PER_INDEX = 1000
TTL_SECONDS = 3600
EXIT_BAD_INPUT = 2
EXIT_DRAINED = 130

_QUEUE = "kueue.x-k8s.io/"
"""Labels and annotations of the BatchJob that its Jobs need as well, to be queued."""


def build(
    role: Role,
    owner: Owner,
    run: int,
    run_id: int,
    manifest: BatchJob,
    settings: Settings,
    *,
    secret: str,
    parallelism: int,
    suspend: bool,
) -> dict[str, Any]:
    """The Job of a role in a run, as JSON. The template of the manifest must have no mistakes.

    run: number of the run; run_id: its number in the database. secret: name of the Secret with the
    address of the database. parallelism: pods of the work Job; the other two have one.
    """
    metadata = manifest.metadata
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(owner.name, run, role),
            "namespace": owner.namespace,
            "labels": {**_queueing(metadata.labels), **labels(owner.name, run, role)},
            "annotations": {
                **_queueing(metadata.annotations),
                **annotations_of(owner),
                TEMPLATE: template_code(manifest.spec.template),
            },
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": {
            **(_many(manifest, parallelism) if role == "work" else _one()),
            "suspend": suspend,
            "podReplacementPolicy": "Failed",
            "ttlSecondsAfterFinished": TTL_SECONDS,
            "template": pod_template(role, owner, run, run_id, manifest, settings, secret),
        },
    }


def completions(manifest: BatchJob) -> int:
    """Worker slots of the work Job, spare ones included; fixed once it is made."""
    most = manifest.spec.scaling.max_parallelism
    return max(2 * most, most + 8)


def _many(manifest: BatchJob, parallelism: int) -> dict[str, Any]:
    slots = completions(manifest)
    return {
        "completionMode": "Indexed",
        "completions": slots,
        "parallelism": parallelism,
        "backoffLimitPerIndex": BACKOFF_LIMIT_PER_INDEX,
        "maxFailedIndexes": slots,
        "successPolicy": {"rules": [{"succeededCount": 1}]},
        "podFailurePolicy": {
            "rules": [_exit("Ignore", EXIT_DRAINED), _DISRUPTED, _exit("FailJob", EXIT_BAD_INPUT)]
        },
    }


def _one() -> dict[str, Any]:
    return {
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": BACKOFF_LIMIT,
        "podFailurePolicy": {
            "rules": [_exit("Ignore", EXIT_DRAINED), _DISRUPTED, _exit("FailJob", EXIT_BAD_INPUT)]
        },
    }


_DISRUPTED = {
    "action": "Ignore",
    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
}


def _exit(action: str, code: int) -> dict[str, Any]:
    codes = {"containerName": CONTAINER, "operator": "In", "values": [code]}
    return {"action": action, "onExitCodes": codes}


def _queueing(entries: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in entries.items() if name.startswith(_QUEUE)}
