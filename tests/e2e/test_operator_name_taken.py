"""A Job that is in the way of the one that a BatchJob needs."""

from __future__ import annotations

from pathlib import Path

from penstock_operator.names import BATCHJOB_UID, batchjob_uid_of, labels
from tests.e2e import parts
from tests.e2e.kube import Kube, Object
from tests.e2e.namespace import Namespace
from tests.e2e.operator_process import Operator, install_definition
from tests.e2e.parts import Postgres
from tests.e2e.target import Target
from tests.e2e.waiting import until

NAME = "job-1-plan"


def test_a_job_of_somebody_else_is_told_and_waited_for(
    namespace: Namespace, cluster: Target, kube: Kube, postgres: Postgres, tmp_path: Path
) -> None:
    install_definition(kube)
    namespace.create(in_the_way(cluster))
    with namespace.forward(f"pod/{postgres.name}", parts.POSTGRES_PORT) as port:
        url = postgres.url.replace(f"{postgres.name}.{namespace.name}:5432", f"127.0.0.1:{port}")
        with Operator(namespace, cluster, tmp_path / "log", url, postgres.url) as operator:
            operator.wait("/readyz")
            namespace.create(batchjob())
            namespace.wait("BatchJob", "job", taken, "it is told")
            until(lambda: told(namespace), lambda found: found == [("Warning", True)], "an Event")

            namespace.delete("Job", NAME)
            namespace.wait("BatchJob", "job", lambda found: not taken(found), "it goes on")
            uid = namespace.get("BatchJob", "job")["metadata"]["uid"]
            namespace.wait(
                "Job", NAME, lambda job: batchjob_uid_of(job["metadata"]) == uid, "its own Job"
            )


def told(namespace: Namespace) -> list[tuple[str, bool]]:
    """Of each Event about it the type, and whether it names the Job."""
    found = [one for one in namespace.all("Event") if one["reason"] == "JobNameTaken"]
    return [(one["type"], NAME in one["message"]) for one in found]


def taken(found: Object) -> bool:
    """Whether the status says that the Job's name is taken, and how to mend that."""
    advice = f"kubectl delete job {NAME} -n {found['metadata']['namespace']}"
    return any(
        (one["type"], one["reason"]) == ("Progressing", "JobNameTaken") and advice in one["message"]
        for one in found.get("status", {}).get("conditions") or ()
    )


def in_the_way(cluster: Target) -> Object:
    """As a copy of a Job out of another namespace would look; nothing of it runs."""
    container = {"name": "penstock", "image": cluster.images["worker"], "command": ["true"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": NAME,
            "labels": labels("job", 1, "plan"),
            "annotations": {BATCHJOB_UID: "11111111-2222-3333-4444-555555555555"},
        },
        "spec": {
            "suspend": True,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }


def batchjob() -> Object:
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "job"},
        "spec": {
            "source": {"inline": {"items": [{"id": 1}]}},
            "processor": {"http": {"url": "http://nowhere"}},
        },
    }
