"""Raw Jobs and pods, as a watch gives them, and what is made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from penstock_operator.builders.merge import template_code
from penstock_operator.observed import JobSeen, PodSeen
from penstock_operator.seen import job_seen, pod_seen
from tests.unit.operator.manifests import ROLES, built, manifest

NOW = 1_764_000_000.0
CODE = template_code(None)


def job(status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    raw: dict[str, Any] = built("work", manifest(), parallelism=4)
    return {**raw, "metadata": {**raw["metadata"], **metadata}, "status": status or {}}


def pod(status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    template = built("work", manifest())["spec"]["template"]
    own = {"name": "tv-2-work-0-abcde", "namespace": "shop", **template["metadata"]}
    return {"metadata": {**own, **metadata}, "spec": template["spec"], "status": status or {}}


def condition(kind: str, status: str = "True", **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, **more}


@pytest.mark.parametrize("role", ROLES)
def test_what_was_built_is_recognised(role: Any) -> None:
    raw = built(role, manifest(), parallelism=1)
    slots = raw["spec"]["completions"]
    wanted = JobSeen(f"tv-2-{role}", role, 2, False, 1, 0, "", template=CODE, completions=slots)
    assert job_seen(raw) == wanted


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({}, ("", "", "")),
        ({"conditions": None}, ("", "", "")),
        ({"conditions": [condition("Suspended")]}, ("", "", "")),
        # Its pods still end.
        ({"conditions": [condition("FailureTarget", reason="PodFailurePolicy")]}, ("", "", "")),
        ({"conditions": [condition("SuccessCriteriaMet")]}, ("", "", "")),
        ({"conditions": [condition("Complete", "False")]}, ("", "", "")),
        (
            {"conditions": [condition("SuccessCriteriaMet"), condition("Complete", reason="Done")]},
            ("Complete", "Done", ""),
        ),
        (
            {"conditions": [condition("Failed", reason="PodFailurePolicy", message="code 2")]},
            ("Failed", "PodFailurePolicy", "code 2"),
        ),
    ],
)
def test_the_end_of_a_job(status: dict[str, Any], wanted: tuple[str, str, str]) -> None:
    seen = job_seen(job(status))
    assert seen is not None
    assert (seen.ended, seen.reason, seen.message) == wanted


def test_a_job_at_work() -> None:
    raw = job({"active": 3})
    slots = raw["spec"]["completions"]
    plain = JobSeen("tv-2-work", "work", 2, False, 4, 3, "", template=CODE, completions=slots)
    assert job_seen(raw) == plain
    raw["metadata"]["creationTimestamp"] = "1970-01-01T00:01:00Z"
    assert job_seen(raw) == replace(plain, created=60.0)
    del raw["metadata"]["creationTimestamp"]
    raw["spec"] |= {"suspend": True, "parallelism": 0}
    assert job_seen(raw) == replace(plain, suspended=True, parallelism=0)
    del raw["spec"]["parallelism"]
    raw["metadata"]["deletionTimestamp"] = "2025-11-24T16:00:00Z"
    assert job_seen(raw) == replace(plain, suspended=True, parallelism=1, deleting=True)


@pytest.mark.parametrize(
    ("status", "phase", "ready"),
    [
        ({}, "Pending", False),
        ({"phase": "Running", "conditions": [condition("Ready")]}, "Running", True),
        ({"phase": "Running", "conditions": [condition("Ready", "False")]}, "Running", False),
        ({"phase": "Succeeded", "conditions": [condition("Ready", "False")]}, "Succeeded", False),
    ],
)
def test_a_pod(status: dict[str, Any], phase: str, ready: bool) -> None:
    seen = pod_seen(pod(status), NOW)
    assert seen == PodSeen("tv-2-work-0-abcde", "work", 2, phase, ready, None)


def test_a_pod_that_is_asked_to_stop_is_not_ready() -> None:
    status = {"phase": "Running", "conditions": [condition("Ready")]}
    seen = pod_seen(pod(status, deletionTimestamp="2025-11-24T16:00:00Z"), NOW)
    assert seen is not None
    assert not seen.ready


def test_a_pod_with_a_problem_carries_it() -> None:
    end = {"exitCode": 2, "message": "no such field"}
    container = {"name": "penstock", "state": {"terminated": end}}
    seen = pod_seen(pod({"phase": "Failed", "containerStatuses": [container]}), NOW)
    assert seen is not None
    assert seen.problem is not None
    assert seen.problem.reason == "BadInput"


LABELS = {"penstock.dev/run": "2", "penstock.dev/role": "work"}


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": None, "annotations": None, "ownerReferences": None},
        {"labels": {}},
        {"labels": {**LABELS, "penstock.dev/role": "other"}},
        {"labels": {**LABELS, "penstock.dev/run": "two"}},
        {"labels": {**LABELS, "penstock.dev/run": "²"}},
        {"labels": {"penstock.dev/role": "work"}},
        {"labels": LABELS, "annotations": {}, "ownerReferences": []},
    ],
)
def test_what_is_not_ours_is_left_aside(metadata: dict[str, Any]) -> None:
    assert job_seen(job(**metadata)) is None
    assert pod_seen(pod(**metadata), NOW) is None
