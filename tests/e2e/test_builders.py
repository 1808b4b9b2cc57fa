"""What the operator builds, on a real API server and kubelet: taken without a warning where Pod
Security is "restricted", and its troubles recognised."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.spec.job import BatchJob
from penstock.spec.load import load
from penstock.spec.names import LONGEST_JOB_NAME
from penstock_operator.builders.jobs import build
from penstock_operator.builders.merge import template_mistakes
from penstock_operator.builders.secret import database_secret
from penstock_operator.names import Owner, secret_name
from penstock_operator.observed import JobSeen, PodSeen
from penstock_operator.seen import job_seen, pod_seen
from tests.e2e.kube import Object
from tests.e2e.namespace import Namespace, Namespaces
from tests.e2e.target import Target
from tests.e2e.waiting import until
from tests.unit.operator.manifests import ROLES, SETTINGS, URL, manifest
from tests.unit.operator.templates import GOOD

SAMPLES = sorted((Path(__file__).parents[2] / "manifests" / "samples").glob("*.yaml"))
UID = "5f6f9a3c-0000-4000-8000-000000000001"
KEY = {"secretKeyRef": {"name": "openai", "key": "api-key"}}
HTTP = {"http": {"url": "http://far.side/", "apiKey": KEY}}


@pytest.fixture(scope="module")
def place(namespaces: Namespaces) -> Iterator[Namespace]:
    """A namespace for all tests here. It refuses pods that are not restricted, and warns of Jobs
    that would make such pods."""
    made = namespaces.create()
    warn = {"metadata": {"labels": {"pod-security.kubernetes.io/warn": "restricted"}}}
    made.kube.patch(f"/api/v1/namespaces/{made.name}", warn)
    made.create(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "worker"}},
        database_secret(Owner("own", made.name, UID), "own-db-1", "postgresql://127.0.0.1:1/x"),
    )
    yield made
    namespaces.delete(made)


def check(place: Namespace, job: BatchJob) -> None:
    """Lets the API server judge the Secret, the Jobs and their pods, and keep nothing of it."""
    owner = Owner(job.name, place.name, UID)
    name = secret_name(owner, URL)
    objects: list[Object] = [database_secret(owner, name, URL)]
    for role in ROLES:
        built = build(
            role, owner, 12, 345, job, SETTINGS, secret=name, parallelism=1, suspend=False
        )
        template = built["spec"]["template"]
        named = {**template["metadata"], "name": f"pod-{role}"}
        objects += [built, {**template, "apiVersion": "v1", "kind": "Pod", "metadata": named}]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    asked = ("create", "--dry-run=server", "--validate=strict", "--namespace", place.name)
    done = place.kube.try_kubectl(*asked, "--filename", "-", text=text)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("created (server dry run)") == 7


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_samples(place: Namespace, sample: Path) -> None:
    check(place, load(sample))


@pytest.mark.parametrize("template", GOOD.values(), ids=GOOD)
def test_templates(place: Namespace, template: dict[str, Any]) -> None:
    assert template_mistakes(template) == []
    check(place, manifest(template=template))


@pytest.mark.parametrize(
    "job",
    [
        manifest({"name": "n" * LONGEST_JOB_NAME}, scaling={"maxParallelism": 10_000}),
        manifest(source={"configMap": {"name": "products", "key": "tv.jsonl"}}, processor=HTTP),
        manifest({"labels": {"kueue.x-k8s.io/queue-name": "batch"}}),
    ],
    ids=["long and wide", "configMap and key", "queued"],
)
def test_other_jobs(place: Namespace, job: BatchJob) -> None:
    check(place, job)


def started(place: Namespace, cluster: Target, name: str, **spec: Any) -> str:
    """Makes a work Job of one pod; returns its name."""
    owner = Owner(name, place.name, UID)
    settings = replace(SETTINGS, image=cluster.images["worker"], pull_secrets=())
    job = manifest({"name": name}, scaling={"maxParallelism": 1}, **spec)
    secret = database_secret(owner, f"{name}-db", URL)
    built = build(
        "work", owner, 1, 1, job, settings, secret=f"{name}-db", parallelism=1, suspend=False
    )
    for one in (secret, built):
        # There is no such BatchJob, and what belongs to none is removed.
        del one["metadata"]["ownerReferences"]
    place.create(secret, built)
    return str(built["metadata"]["name"])


def python(code: str, **container: Any) -> dict[str, Any]:
    """A template whose container runs this in place of a worker."""
    return {"spec": {"containers": [{"command": ["python", "-c", code], **container}]}}


def troubled(place: Namespace, job: str, later: float) -> PodSeen:
    """Waits for a pod of the Job to have a problem, seen from so many seconds later."""

    def look() -> PodSeen | None:
        pods = place.all("Pod", f"batch.kubernetes.io/job-name={job}")
        # Seen from later, one that is just made would have waited long for the scheduler.
        known = (pod for pod in pods if pod["status"].get("conditions"))
        found = (pod_seen(pod, time.time() + later) for pod in known)
        return next((pod for pod in found if pod is not None and pod.problem is not None), None)

    seen = until(look, lambda pod: pod is not None, f"a pod of {job} with a problem")
    assert seen is not None
    return seen


TROUBLES: dict[str, tuple[dict[str, Any], float, str, str]] = {
    "image": (
        {"template": {"spec": {"containers": [{"image": "registry.invalid/none:1"}]}}},
        0,
        "ImagePullFailed",
        "The image registry.invalid/none:1 cannot be pulled: ",
    ),
    "image-name": (
        {"template": {"spec": {"containers": [{"image": "No Such Image"}]}}},
        0,
        "ImagePullFailed",
        "'No Such Image' is not the name of an image",
    ),
    "secret": ({"processor": HTTP}, 0, "SecretMissing", "There is no Secret openai in "),
    "secret-key": (
        {
            "processor": {
                "http": {
                    "url": "http://far.side/",
                    "apiKey": {"secretKeyRef": {"name": "known", "key": "api-key"}},
                }
            }
        },
        0,
        "SecretMissing",
        "The Secret known has no key api-key",
    ),
    "place": (
        {"template": {"spec": {"nodeSelector": {"disk": "none"}}}},
        11,
        "Unschedulable",
        "didn't match Pod's node affinity/selector",
    ),
    "claim": (
        {
            "template": {
                "spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "none"}}]}
            }
        },
        11,
        "Unschedulable",
        'persistentvolumeclaim "none" not found',
    ),
    "volume": (
        {
            "template": {
                "spec": {
                    "volumes": [{"name": "rules", "configMap": {"name": "none"}}],
                    "containers": [{"volumeMounts": [{"name": "rules", "mountPath": "/rules"}]}],
                }
            }
        },
        61,
        "StartTakesLong",
        "(ConfigMap none)",
    ),
    "command": (
        {"template": {"spec": {"containers": [{"command": ["/no/such/command"]}]}}},
        0,
        "CannotStart",
        "/no/such/command",
    ),
    "crash": (
        {"template": python("import sys; sys.exit('nothing is left')")},
        0,
        "Crashed",
        "exit code 1: nothing is left",
    ),
    "memory": (
        {
            "template": python(
                "print(len(bytearray(10**9)))", resources={"limits": {"memory": "64Mi"}}
            )
        },
        0,
        "OutOfMemory",
        "more memory than its limit of 64Mi",
    ),
}


@pytest.mark.parametrize(("spec", "later", "reason", "part"), TROUBLES.values(), ids=TROUBLES)
def test_troubles_are_recognised(
    place: Namespace,
    cluster: Target,
    request: pytest.FixtureRequest,
    spec: dict[str, Any],
    later: float,
    reason: str,
    part: str,
) -> None:
    name = request.node.callspec.id
    if name == "secret-key":
        metadata = {"name": "known"}
        place.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
    job = started(place, cluster, name, **spec)
    seen = troubled(place, job, later)
    place.delete("Job", job)
    assert seen.problem is not None
    assert (seen.role, seen.run, seen.ready) == ("work", 1, False)
    assert (seen.problem.reason, part in seen.problem.message) == (reason, True), seen.problem


@pytest.mark.parametrize(
    ("code", "good"),
    [
        (0, lambda job: job.ended == "Complete"),
        (2, lambda job: (job.ended, job.reason) == ("Failed", "PodFailurePolicy")),
    ],
)
def test_how_a_job_ends(
    place: Namespace, cluster: Target, code: int, good: Callable[[JobSeen], bool]
) -> None:
    template = python(f"import sys; print('no column sku'); sys.exit({code})")
    job = started(place, cluster, f"ends-{code}", template=template)
    seen = until(
        lambda: job_seen(place.get("Job", job)),
        lambda job: job is not None and job.ended != "",
        f"Job {job} has ended",
    )
    assert seen is not None
    assert good(seen), seen
    if code == 2:
        problem = troubled(place, job, 0).problem
        assert problem is not None
        assert problem.reason == "BadInput"
        assert "no column sku" in problem.message
    place.delete("Job", job)
