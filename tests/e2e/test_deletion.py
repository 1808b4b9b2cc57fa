"""What is deleted in the middle of a run goes: a BatchJob, also while no operator is there, and a
whole namespace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from penstock_operator.names import BATCHJOB
from tests.e2e import parts
from tests.e2e.kube import Object, condition
from tests.e2e.namespace import Namespace, Namespaces
from tests.e2e.operator_process import Operator, install_definition
from tests.e2e.parts import Simulator
from tests.e2e.target import Target
from tests.e2e.waiting import until

ITEMS = 200
PODS = 2
# Each call takes so long that no job comes to its end by itself.
LATENCY = "30s"


@dataclass(frozen=True)
class Place:
    """A namespace for jobs; the operator that minds it, database and provider are elsewhere."""

    namespace: Namespace
    simulator: Simulator
    operator: Operator
    namespaces: Namespaces


@pytest.fixture
def place(
    namespaces: Namespaces, cluster: Target, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """An operator that minds one namespace from another, as an installed one does."""
    home, namespace = namespaces.create(), namespaces.create()
    try:
        install_definition(home.kube)
        postgres = parts.start_postgres(home, cluster.images["postgres"])
        simulator = parts.start_simulator(home, cluster.images["worker"], f"--latency={LATENCY}")
        log = tmp_path_factory.mktemp("operator") / "log"
        with (
            postgres.reached() as url,
            Operator(home, cluster, log, url, postgres.url, minds=namespace) as operator,
        ):
            operator.wait("/readyz")
            yield Place(namespace, simulator, operator, namespaces)
    finally:
        for one in (namespace, home):
            if one in namespaces.open:
                namespaces.delete(one)


@pytest.mark.slow
def test_a_batchjob_deleted_in_mid_run_goes_with_all_that_is_its(place: Place) -> None:
    namespace = place.namespace
    for name in ("first", "second"):
        namespace.create(batchjob(name, place.simulator.url))
    until(lambda: at_work(namespace), lambda pods: len(pods) == 2 * PODS, "all pods are at work")

    namespace.delete("BatchJob", "first")
    until(lambda: left(namespace, "first"), lambda names: not names, "nothing is left of it")
    assert len([pod for pod in at_work(namespace) if pod.startswith("second-")]) == PODS

    place.operator.process.kill()
    place.operator.process.wait()
    namespace.delete("BatchJob", "second")
    until(lambda: left(namespace, "second"), lambda names: not names, "nothing is left of it")


@pytest.mark.slow
def test_a_namespace_deleted_in_mid_run_goes(place: Place) -> None:
    """Kubernetes removes its pods before all else, and keeps each that failed until another takes
    its place: for ever, if the operator did not give up the Job that they are of."""
    namespace = place.namespace
    namespace.create(batchjob("job", place.simulator.url))
    until(lambda: at_work(namespace), lambda pods: len(pods) == PODS, "all pods are at work")
    began = time.monotonic()
    namespace.kube.delete(f"/api/v1/namespaces/{namespace.name}")
    there = ("get", "namespace", namespace.name)
    until(
        lambda: namespace.kube.try_kubectl(*there).returncode,
        lambda code: code != 0,
        "the namespace is gone",
    )
    place.namespaces.open.remove(namespace)
    print(f"gone after {time.monotonic() - began:.0f} s")
    assert "DeleteJob(name='job-1-work')" in place.operator.log()


def batchjob(name: str, url: str) -> Object:
    main = {"name": "penstock", "resources": {"requests": {"cpu": "10m"}}}
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": name},
        "spec": {
            "source": {"inline": {"items": [{"id": f"i{number}"} for number in range(ITEMS)]}},
            "processor": {"http": {"url": f"{url}/any"}},
            "scaling": {
                "minParallelism": PODS,
                "maxParallelism": PODS,
                "concurrency": {"min": 1, "max": 1},
            },
            "template": {"spec": {"containers": [main]}},
        },
    }


def at_work(namespace: Namespace) -> list[str]:
    """Workers' pods that are at work."""
    found = namespace.all("Pod", "app.kubernetes.io/component=work")
    return [pod["metadata"]["name"] for pod in found if condition(pod, "Ready")]


def left(namespace: Namespace, batchjob: str) -> list[str]:
    """What there is of a BatchJob."""
    found = namespace.find("BatchJob", batchjob)
    return [
        *([batchjob] if found else []),
        *(
            f"{kind}/{one['metadata']['name']}"
            for kind in ("Job", "Pod", "Secret")
            for one in namespace.all(kind, f"{BATCHJOB}={batchjob}")
        ),
    ]
