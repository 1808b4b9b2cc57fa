"""The operator comes, changes and goes while a job is under way: an upgrade is not noticed by it,
and after the operator's end nothing waits for it. Who may do what is printed on the way."""

from __future__ import annotations

import pytest

from penstock_operator.names import BATCHJOB
from tests.e2e import parts
from tests.e2e.kube import Object, condition
from tests.e2e.namespace import Namespace
from tests.e2e.target import Target
from tests.e2e.tried_out import OPERATOR, POSTGRES, TriedOut
from tests.e2e.waiting import until

pytestmark = pytest.mark.acceptance

ITEMS = 300
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"


def test_an_upgrade_in_the_middle_of_a_job(namespace: Namespace, cluster: Target) -> None:
    installation = TriedOut(namespace, cluster)
    installation.install()
    # Two pods with two calls at a time: a minute's work, longer than an upgrade.
    simulator = parts.start_simulator(namespace, cluster.images["worker"], "--latency=800ms")
    namespace.create(batchjob(simulator.url))
    under_way(namespace)
    before, database = installation.pod(OPERATOR), installation.pod(POSTGRES)
    [job] = namespace.all("Job", "penstock.dev/role=work")
    workers = pods_of(namespace)
    has_no_token(namespace, workers[0])

    installation.upgrade(logFormat="json")
    after = installation.pod(OPERATOR)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert installation.pod(POSTGRES)["metadata"]["uid"] == database["metadata"]["uid"]
    found = namespace.get("BatchJob", "job")
    assert condition(found, "Complete") is None, "it was not in flight any more"

    done = namespace.wait("BatchJob", "job", is_complete, "Complete")
    assert done["status"]["itemCounts"]["succeeded"] == ITEMS
    assert done["status"]["currentRun"] == 1
    assert (
        namespace.get("Job", job["metadata"]["name"])["metadata"]["uid"] == (job["metadata"]["uid"])
    )
    assert set(pods_of(namespace)) == set(workers), "workers were started again"
    stats = simulator.stats()
    assert stats["served_twice"] == 0, stats


def test_uninstalled_in_the_middle_of_a_job(namespace: Namespace, cluster: Target) -> None:
    installation = TriedOut(namespace, cluster)
    installation.install()
    simulator = parts.start_simulator(namespace, cluster.images["worker"], "--latency=800ms")
    namespace.create(batchjob(simulator.url))
    under_way(namespace)
    print_what_they_may(namespace)

    installation.uninstall()
    found = namespace.get("BatchJob", "job")
    assert not found["metadata"].get("finalizers")
    namespace.kube.kubectl(
        *("--namespace", namespace.name, "delete", "batchjob", "job", "--wait", "--timeout=60s")
    )
    until(lambda: left(namespace), lambda names: not names, "everything of the job is gone")


def batchjob(url: str) -> Object:
    tiny = {"name": "penstock", "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}}
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "job"},
        "spec": {
            "source": {"inline": {"items": [{"id": f"i{number}"} for number in range(ITEMS)]}},
            "processor": {"http": {"url": f"{url}/echo"}},
            "scaling": {"maxParallelism": 2, "concurrency": {"min": 2, "max": 2}},
            "template": {"spec": {"containers": [tiny]}},
        },
    }


def under_way(namespace: Namespace) -> None:
    """Waits until some items are done and both workers work."""

    def good(found: Object) -> bool:
        assert not is_complete(found), "it was too quick"
        status = found.get("status", {})
        return bool((status.get("itemCounts") or {}).get("succeeded"))

    namespace.wait("BatchJob", "job", good, "some items are done")
    for pod in pods_of(namespace):
        namespace.ready(pod)


def is_complete(found: Object) -> bool:
    assert condition(found, "Failed") is None, found["status"]
    return condition(found, "Complete") is not None


def pods_of(namespace: Namespace) -> list[str]:
    """Names of the worker pods that there are."""
    return [one["metadata"]["name"] for one in namespace.all("Pod", "penstock.dev/role=work")]


def has_no_token(namespace: Namespace, pod: str) -> None:
    """Nothing in a worker's pod could talk to the API server."""
    spec = namespace.get("Pod", pod)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert not [one for one in spec["volumes"] if "projected" in one]
    script = f"import os; print(os.path.exists({TOKEN!r}), 'PENSTOCK_RUN' in os.environ)"
    assert namespace.exec(pod, "python", "-c", script).split() == ["False", "True"]


def print_what_they_may(namespace: Namespace) -> None:
    """`kubectl auth can-i --list` of the operator, and of the worker pods, whose account is
    `default`: that one may do nothing with what is in the namespace."""
    said = {}
    for account in ("penstock-operator", "default"):
        who = f"--as=system:serviceaccount:{namespace.name}:{account}"
        said[account] = namespace.kube.kubectl(
            "auth", "can-i", "--list", "--namespace", namespace.name, who
        )
        print(f"\n{account}:\n{said[account]}")
    for kind in ("batchjobs", "jobs", "pods", "secrets", "configmaps", "events", "leases"):
        assert kind not in said["default"]
    for kind in ("batchjobs", "jobs", "pods", "secrets", "events", "leases"):
        assert kind in said["penstock-operator"]


def left(namespace: Namespace) -> list[str]:
    """Names of what there is of the job."""
    kinds = ("BatchJob", "Job", "Pod", "Secret")
    found = [one for kind in kinds[1:] for one in namespace.all(kind, BATCHJOB)]
    return [one["metadata"]["name"] for one in (*found, *namespace.all("BatchJob"))]
