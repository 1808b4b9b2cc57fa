"""How the Job controller treats what our workers say with their exit codes; DESIGN's Indexed Job
is built on it."""

from __future__ import annotations

import pytest

from tests.e2e import indexed, pods
from tests.e2e.kube import Object, condition
from tests.e2e.namespace import Namespace
from tests.e2e.target import Target
from tests.e2e.waiting import until


def job(cluster: Target, script: str, **spec: object) -> Object:
    """An Indexed Job of two shell scripts with a worker Job's policies."""
    pod = pods.pod_spec(pods.shell(cluster.images["busybox"], script))
    return indexed.job("work", pod, parallelism=2, completions=2, **spec)


def test_the_first_that_finds_the_run_finished_completes_the_job(
    namespace: Namespace, cluster: Target
) -> None:
    script = 'test "$JOB_COMPLETION_INDEX" = 1 && exit 0; trap "exit 130" TERM; sleep 3600 & wait'
    namespace.create(job(cluster, script))
    found = namespace.finished("work")
    met = condition(found, "SuccessCriteriaMet")
    assert met is not None
    assert met["reason"] == "SuccessPolicy"
    assert found["status"]["completedIndexes"] == "1"
    assert not found["status"].get("failedIndexes")


def test_bad_configuration_fails_the_job_at_once(namespace: Namespace, cluster: Target) -> None:
    namespace.create(job(cluster, "exit 2"))
    failed = condition(namespace.finished("work", "Failed"), "Failed")
    assert failed is not None
    assert failed["reason"] == "PodFailurePolicy"


@pytest.mark.parametrize(("code", "index_fails"), [(130, False), (1, True)])
def test_a_drained_worker_is_replaced_without_counting_as_failed(
    namespace: Namespace, cluster: Target, code: int, index_fails: bool
) -> None:
    # With no retry an index fails at the first failure that counts. Index 1 keeps the Job going.
    script = f'test "$JOB_COMPLETION_INDEX" = 0 && exit {code}; sleep 3600'
    namespace.create(job(cluster, script, backoffLimitPerIndex=0))

    def look() -> tuple[bool, bool]:
        """Whether index 0 has failed, and whether it has a second pod."""
        first = "batch.kubernetes.io/job-completion-index=0"
        seen.update(pod["metadata"]["uid"] for pod in namespace.all("Pod", first))
        status = namespace.get("Job", "work")["status"]
        return status.get("failedIndexes") == "0", len(seen) > 1

    seen: set[str] = set()
    failed, replaced = until(look, lambda found: any(found), "index 0 fails, or gets another pod")
    assert (failed, replaced) == (index_fails, not index_fails)
