"""What Kubernetes says of pods that do not work, and what people are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_operator.observed import Problem, Role
from penstock_operator.problems import problem_of
from tests.unit.operator.manifests import built, manifest

MOMENT = datetime(2025, 11, 24, 16, tzinfo=UTC)
NOW = MOMENT.timestamp()
KEY = {"secretKeyRef": {"name": "openai", "key": "api-key"}}
JOB = manifest(
    source={"objectStore": {"url": "s3://in/*.pdf", "secretRef": {"name": "store"}}},
    processor={"http": {"url": "http://far.side/", "apiKey": KEY}},
    template={
        "spec": {
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "rules", "configMap": {"name": "rules"}},
            ],
            "containers": [
                {
                    "resources": {"limits": {"memory": "256Mi"}},
                    "env": [
                        {
                            "name": "MODE",
                            "valueFrom": {"configMapKeyRef": {"name": "modes", "key": "mode"}},
                        }
                    ],
                }
            ],
        }
    },
)


def ago(seconds: float) -> str:
    return (MOMENT - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(status: dict[str, Any], role: Role = "work", **metadata: Any) -> dict[str, Any]:
    template = built(role, JOB)["spec"]["template"]
    labels = {**template["metadata"]["labels"], "batch.kubernetes.io/job-name": "tv-2-work"}
    own = {"name": "tv-2-work-0-abcde", "namespace": "shop", "labels": labels}
    return {"metadata": {**own, **metadata}, "spec": template["spec"], "status": status}


def told(status: dict[str, Any], **metadata: Any) -> Problem | None:
    return problem_of(pod(status, **metadata), NOW)


def state(**state: Any) -> dict[str, Any]:
    """The status of a container of ours in this state."""
    return {"name": "penstock", "image": "example.com/worker:9", "state": state}


def waiting(reason: str, message: str = "", seconds: float = 5) -> dict[str, Any]:
    container = state(waiting={"reason": reason, "message": message})
    start = ago(seconds)
    return {"phase": "Pending", "startTime": start, "containerStatuses": [container]}


def ended(**end: Any) -> dict[str, Any]:
    return {"phase": "Failed", "containerStatuses": [state(terminated=end)]}


def condition(kind: str, status: str = "True", **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, **more}


def unscheduled(seconds: float, reason: str = "Unschedulable") -> dict[str, Any]:
    message = "0/3 nodes are available: 3 Insufficient memory."
    found = condition(
        "PodScheduled", "False", reason=reason, message=message, lastTransitionTime=ago(seconds)
    )
    return {"phase": "Pending", "conditions": [found]}


FINE: dict[str, dict[str, Any]] = {
    "new": {},
    "running": {"phase": "Running", "containerStatuses": [state(running={})]},
    "done": {"phase": "Succeeded", "containerStatuses": [state(terminated={"exitCode": 0})]},
    "drained": ended(exitCode=130, reason="Error", message="stopped with work left"),
    "starting": waiting("ContainerCreating", seconds=59),
    "the node has not looked yet": waiting(
        "CreateContainerConfigError",
        "failed to sync secret cache: timed out waiting for the condition",
    ),
    "waits for a place": unscheduled(9),
    "held back on purpose": unscheduled(900, "SchedulingGated"),
    "evicted after its end": {"phase": "Succeeded", "conditions": [condition("DisruptionTarget")]},
    "not disrupted": {
        "phase": "Running",
        "conditions": [condition("DisruptionTarget", "False", reason="EvictionByEvictionAPI")],
    },
    "a sidecar runs while another starts": {
        "phase": "Pending",
        "startTime": ago(500),
        "initContainerStatuses": [{"name": "fetch", "state": {"running": {}}}],
        "containerStatuses": [state(waiting={"reason": "PodInitializing"})],
    },
}


@pytest.mark.parametrize("status", FINE.values(), ids=FINE)
def test_all_is_well(status: dict[str, Any]) -> None:
    assert told(status) is None


BAD: list[tuple[dict[str, Any], str, list[str]]] = [
    (
        waiting("ErrImagePull", "rpc error: code = NotFound desc = no such image"),
        "ImagePullFailed",
        ["example.com/worker:9", "no such image", "imagePullSecrets"],
    ),
    (
        waiting("ImagePullBackOff", 'Back-off pulling image "example.com/worker:9": 401'),
        "ImagePullFailed",
        ["401", "spec.template.spec.containers[].image"],
    ),
    (
        waiting("InvalidImageName", "invalid reference format"),
        "ImagePullFailed",
        ["is not the name of an image"],
    ),
    (waiting("ErrImageNeverPull", "x"), "ImagePullFailed", ["imagePullPolicy Never"]),
    (
        waiting("CreateContainerConfigError", 'secret "openai" not found'),
        "SecretMissing",
        [
            "There is no Secret openai in shop: `kubectl create secret generic openai "
            "--namespace shop --from-file=api-key=FILE` makes it"
        ],
    ),
    (
        waiting("CreateContainerConfigError", "couldn't find key api-key in Secret shop/openai"),
        "SecretMissing",
        [
            "The Secret openai has no key api-key: `kubectl create secret generic openai "
            "--namespace shop --from-file=api-key=FILE --dry-run=client --output yaml "
            "| kubectl apply --server-side --filename -` makes it"
        ],
    ),
    (
        waiting("CreateContainerConfigError", 'configmap "modes" not found'),
        "ConfigMapMissing",
        ["`kubectl create configmap modes --namespace shop --from-file=mode=FILE` makes it"],
    ),
    (
        waiting("CreateContainerConfigError", 'configmap "elsewhere" not found'),
        "ConfigMapMissing",
        ["--from-file=KEY=FILE"],
    ),
    (
        waiting("CreateContainerConfigError", "couldn't find key mode in ConfigMap shop/modes"),
        "ConfigMapMissing",
        ["The ConfigMap modes has no key mode"],
    ),
    (
        waiting("CreateContainerConfigError", "image will run as root"),
        "InvalidPod",
        ["image will run as root"],
    ),
    (
        waiting("CreateContainerError", "no command specified"),
        "CannotStart",
        ["no command specified", "`command`"],
    ),
    (
        waiting("ContainerCreating", seconds=61),
        "StartTakesLong",
        [
            "PersistentVolumeClaim data, ConfigMap rules",
            "`kubectl describe pod tv-2-work-0-abcde --namespace shop`",
        ],
    ),
    (unscheduled(10), "Unschedulable", ["3 Insufficient memory;", "nodeSelector"]),
    (
        ended(exitCode=137, reason="OOMKilled"),
        "OutOfMemory",
        ["its limit of 256Mi", "resources.limits.memory"],
    ),
    (ended(exitCode=137, reason="Error"), "Killed", ["killed from outside"]),
    (
        ended(exitCode=128, reason="StartError", message='exec: "penstock": not found'),
        "CannotStart",
        ['exec: "penstock": not found'],
    ),
    (
        ended(exitCode=1, reason="Error", message="error: the database\nrefused\n"),
        "Crashed",
        ["exit code 1: error: the database refused"],
    ),
    (
        ended(exitCode=2, reason="Error", message="products.csv:7: no column sku\n"),
        "BadInput",
        ["products.csv:7: no column sku"],
    ),
    (
        {
            "phase": "Running",
            "containerStatuses": [
                {
                    "name": "proxy",
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                    "lastState": {"terminated": {"exitCode": 1, "message": "no port"}},
                }
            ],
        },
        "Crashed",
        ["proxy", "no port"],
    ),
    (
        {
            "phase": "Running",
            "containerStatuses": [
                {"name": "proxy", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
            ],
        },
        "Crashed",
        ["proxy ends again and again"],
    ),
    (
        {
            "phase": "Pending",
            "initContainerStatuses": [
                {"name": "fetch", "state": {"waiting": {"reason": "ErrImagePull"}}}
            ],
            "containerStatuses": [state(waiting={"reason": "PodInitializing"})],
        },
        "ImagePullFailed",
        [],
    ),
    (
        {
            "phase": "Failed",
            "reason": "Evicted",
            "message": "The node was low on resource: memory.",
        },
        "Evicted",
        ["low on resource: memory", "requests"],
    ),
    (
        {
            "phase": "Failed",
            "conditions": [condition("DisruptionTarget", reason="PreemptionByScheduler")],
            "containerStatuses": [state(terminated={"exitCode": 137})],
        },
        "Preempted",
        ["priorityClassName"],
    ),
    (
        {
            "phase": "Failed",
            "conditions": [condition("DisruptionTarget", reason="DeletionByPodGC")],
        },
        "NodeLost",
        ["another pod goes on"],
    ),
    (
        {"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough cpu"},
        "Rejected",
        ["enough cpu"],
    ),
]


@pytest.mark.parametrize(("status", "reason", "parts"), BAD)
def test_what_is_wrong_and_what_to_do(
    status: dict[str, Any], reason: str, parts: list[str]
) -> None:
    problem = told(status)
    assert problem is not None
    assert problem.reason == reason
    for part in parts:
        assert part in problem.message
    assert "\n" not in problem.message


def test_the_secret_of_a_store_holds_more_than_one_key() -> None:
    status = waiting("CreateContainerConfigError", 'secret "store" not found')
    problem = problem_of(pod(status, "plan"), NOW)
    assert problem is not None
    assert problem.reason == "SecretMissing"
    assert (
        "There is no Secret store in shop: `kubectl create secret generic store "
        "--namespace shop --from-env-file=FILE` makes it"
    ) in problem.message


def test_the_secret_of_the_operator_is_not_for_people_to_make() -> None:
    environment = pod({})["spec"]["containers"][0]["env"]
    name = environment[0]["valueFrom"]["secretKeyRef"]["name"]
    problem = told(waiting("CreateContainerConfigError", f'secret "{name}" not found'))
    assert problem == Problem(
        "SecretMissing",
        f"There is no Secret {name} in shop: it is the operator's own, which makes it again with "
        "the Job after `kubectl delete job tv-2-work --namespace shop`",
    )


def test_memory_without_a_limit() -> None:
    raw = pod(ended(exitCode=137, reason="OOMKilled"))
    raw["spec"]["containers"][0].pop("resources")
    problem = problem_of(raw, NOW)
    assert problem is not None
    assert "resources.requests.memory" in problem.message


@pytest.mark.parametrize(("seconds", "wanted"), [(59, False), (61, True)])
def test_a_scheduler_that_does_not_exist(seconds: float, wanted: bool) -> None:
    raw = pod({"phase": "Pending"}, creationTimestamp=ago(seconds))
    raw["spec"]["schedulerName"] = "mine"
    problem = problem_of(raw, NOW)
    assert (problem is not None and "schedulerName is mine" in problem.message) == wanted
    raw["spec"]["nodeName"] = "n1"
    assert problem_of(raw, NOW) is None


@pytest.mark.parametrize(
    "status",
    [
        ended(exitCode=137, reason="Error"),
        unscheduled(900),
        waiting("ImagePullBackOff"),
        waiting("ContainerCreating", seconds=900),
    ],
)
def test_what_was_asked_to_stop_has_no_problem(status: dict[str, Any]) -> None:
    assert told(status, deletionTimestamp=ago(1)) is None


def test_unless_its_node_is_lost() -> None:
    disrupted = condition("DisruptionTarget", reason="DeletionByTaintManager")
    problem = told({"phase": "Running", "conditions": [disrupted]}, deletionTimestamp=ago(1))
    assert problem is not None
    assert problem.reason == "NodeLost"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdef123456",
        "postgresql://penstock:hunter22@db/x",
        "Authorization: Bearer abcdefghijkl",
        "password=hunter22",
    ],
)
def test_nothing_secret_is_told(secret: str) -> None:
    for status in (
        ended(exitCode=1, message=f"failed: {secret}"),
        waiting("ErrImagePull", f"failed: {secret}"),
        {"phase": "Failed", "reason": "Evicted", "message": secret},
    ):
        problem = told(status)
        assert problem is not None
        assert "***" in problem.message
        assert "hunter22" not in problem.message
        assert "abcdef" not in problem.message


@given(st.text(max_size=5000), st.sampled_from([1, 2, 137, 3]))
def test_messages_stay_short_and_keep_the_end(text: str, code: int) -> None:
    problem = told(ended(exitCode=code, message=f"{text} the very end"))
    assert problem is not None
    assert len(problem.message) < 700
    assert problem.message.endswith("the very end")
    problem.message.encode()
