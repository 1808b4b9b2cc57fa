"""What goes into a look at a BatchJob and when its status is written; the cache that it is made
from; and the other decisions of the outer layer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cluster.kinds import BATCH_JOBS, JOBS, PODS, Raw
from penstock.errors import DatabaseError
from penstock.store.owned import OwnedRun
from penstock_operator import names
from penstock_operator.actions import CreateJob, Notice, SetRunPhase, reason
from penstock_operator.cache import Cache, batchjob_key
from penstock_operator.controller import (
    STATUS_EVERY,
    idle,
    manifest,
    observe,
    refused_by,
    status_delay,
)
from penstock_operator.events import event
from penstock_operator.kube import KubeError
from penstock_operator.lease import DURATION, Watched, wanted
from penstock_operator.metrics import Metrics
from penstock_operator.names import Owner
from penstock_operator.sweep import orphans
from penstock_operator.tally import Tally
from tests.unit.operator import world

OWNER = Owner("job", "team", "uid-1")


def batchjob(version: int = 1, uid: str = "uid-1", **spec: Any) -> Raw:
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {
            "name": "job",
            "namespace": "team",
            "uid": uid,
            "generation": 3,
            "resourceVersion": str(version),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {
            "source": {"inline": {"items": [{"a": 1}]}},
            "processor": {"http": {"url": "http://far.example/echo"}},
            **spec,
        },
        "status": {"phase": "Pending"},
    }


def job(version: int = 1, uid: str = "job-uid", owner: Owner = OWNER, name: str = "x") -> Raw:
    return {
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "uid": uid,
            "resourceVersion": str(version),
            "labels": names.labels(owner.name, 1, "work"),
            "ownerReferences": [names.owner_reference(owner)],
        },
        "spec": {"parallelism": 2},
    }


def pod(uid: str = "pod-uid", owner: Owner = OWNER) -> Raw:
    """Owned by a Job; only its annotations name the BatchJob."""
    return {
        "metadata": {
            "name": "x-0",
            "namespace": owner.namespace,
            "uid": uid,
            "resourceVersion": "1",
            "labels": names.labels(owner.name, 1, "work"),
            "annotations": names.annotations_of(owner),
        },
        "status": {"phase": "Running"},
    }


def look(raw: Raw, **more: Any) -> Any:
    told: dict[str, Any] = {"database": "", "refused": "", "jobs": [], "pods": [], "now": 5.0}
    return observe(raw, manifest(raw), None, **{**told, **more})


def test_a_batchjob_as_the_api_server_has_it_is_a_manifest() -> None:
    said = manifest(batchjob())
    assert said.job is not None
    assert (said.job.name, said.generation, said.mistakes) == ("job", 3, ())


def test_every_mistake_is_found_with_its_path_those_of_the_pod_template_too() -> None:
    said = manifest(
        batchjob(
            scaling={"minParallelism": 5, "maxParallelism": 2},
            template={"spec": {"restartPolicy": "Always"}},
        )
    )
    assert said.job is None
    places = {mistake.where for mistake in said.mistakes}
    assert "spec.template.spec.restartPolicy" in places
    assert any(place.startswith("spec.scaling") for place in places)


def test_a_look_holds_what_was_seen() -> None:
    seen = look(batchjob(), jobs=[job(name="b", uid="b"), job(name="a", uid="a")], pods=[pod()])
    assert (seen.key, seen.uid, seen.generation) == ("team/job", "uid-1", 3)
    assert [one.name for one in seen.jobs] == ["a", "b"]
    assert [one.name for one in seen.pods] == ["x-0"]
    assert not seen.deleting
    assert not seen.managed_elsewhere


def test_a_look_says_what_is_not_ours_to_touch() -> None:
    raw = batchjob(managedBy="somebody.example/else")
    raw["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    seen = look(raw)
    assert seen.deleting
    assert seen.managed_elsewhere


def test_what_keeps_a_batchjob_from_working() -> None:
    queued = job()
    queued["spec"]["suspend"] = True
    ended = {**queued, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    assert not idle(batchjob(), [])
    assert not idle(batchjob(suspend=False), [job(), ended])
    assert idle(batchjob(suspend=True), [])
    assert idle(batchjob(), [job(), queued])


@pytest.mark.parametrize(
    ("known", "new", "written", "delay"),
    [
        ({"phase": "Running", "n": 1}, {"phase": "Running", "n": 1.0}, None, None),
        ({}, {"phase": "Pending"}, 9.9, 0.0),
        ({"phase": "Planning"}, {"phase": "Running"}, 9.9, 0.0),
        ({"phase": "Running", "n": 1}, {"phase": "Running", "n": 2}, None, 0.0),
        ({"phase": "Running", "n": 1}, {"phase": "Running", "n": 2}, 9.5, STATUS_EVERY - 0.5),
        ({"phase": "Running", "n": 1}, {"phase": "Running", "n": 2}, 1.0, 0.0),
    ],
)
def test_when_a_status_is_written(
    known: Raw, new: Raw, written: float | None, delay: float | None
) -> None:
    assert status_delay(known, new, written, 10.0) == delay


def test_the_cache_keeps_the_newest() -> None:
    cache = Cache()
    assert cache.put(BATCH_JOBS, batchjob(5))
    assert not cache.put(BATCH_JOBS, batchjob(5))
    assert not cache.put(BATCH_JOBS, batchjob(4))
    found = cache.batchjob(("team", "job"))
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "5"
    assert "managedFields" not in found["metadata"]


def test_jobs_and_pods_are_found_by_their_batchjob_and_not_by_its_name() -> None:
    cache = Cache()
    other = Owner("job", "team", "uid-0")
    cache.put(JOBS, job())
    cache.put(JOBS, job(uid="old", owner=other))
    cache.put(PODS, pod())
    assert [one["metadata"]["uid"] for one in cache.owned(JOBS, "uid-1")] == ["job-uid"]
    assert [one["metadata"]["uid"] for one in cache.owned(PODS, "uid-1")] == ["pod-uid"]
    assert batchjob_key(PODS, pod()) == batchjob_key(JOBS, job()) == ("team", "job")
    cache.remove(JOBS, "job-uid")
    assert cache.owned(JOBS, "uid-1") == []


def test_of_two_batchjobs_of_one_name_the_newer_counts_in_whatever_order_they_are_told_of() -> None:
    for first, second in ((1, 2), (2, 1)):
        cache = Cache()
        for version in (first, second):
            cache.put(BATCH_JOBS, batchjob(version, uid=f"uid-{version}"))
        found = cache.batchjob(("team", "job"))
        assert found is not None
        assert found["metadata"]["uid"] == "uid-2"
        cache.remove(BATCH_JOBS, "uid-1")
        assert cache.batchjob(("team", "job")) is found
        cache.remove(BATCH_JOBS, "uid-2")
        assert cache.batchjob(("team", "job")) is None
        assert cache.batchjobs() == []


def test_a_listing_removes_what_it_lacks_unless_that_is_newer() -> None:
    cache = Cache()
    for uid, version in (("old", 3), ("kept", 4), ("new", 9)):
        cache.put(JOBS, job(version, uid=uid))
    cache.put(JOBS, job(1, uid="elsewhere", owner=Owner("job", "other", "uid-1")))
    cache.replace(JOBS, "team", [job(4, uid="kept")], "7")
    left = {one["metadata"]["uid"] for one in cache.owned(JOBS, "uid-1")}
    assert left == {"kept", "new", "elsewhere"}


def test_what_was_removed_does_not_come_back_with_an_older_listing() -> None:
    cache = Cache()
    cache.put(JOBS, job(3))
    cache.remove(JOBS, "job-uid")
    cache.replace(JOBS, None, [job(3)], "4")
    assert cache.owned(JOBS, "uid-1") == []


@given(st.permutations([("put", 1), ("put", 2), ("put", 3), ("remove", 0)]))
def test_the_order_of_news_does_not_matter(order: list[tuple[str, int]]) -> None:
    cache = Cache()
    for what, version in order:
        if what == "put":
            cache.put(JOBS, job(version))
        else:
            cache.remove(JOBS, "job-uid")
    assert cache.owned(JOBS, "uid-1") == []


def lease(holder: str, version: str = "1") -> Raw:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": int(DURATION)}
    return {"metadata": {"resourceVersion": version}, "spec": spec}


def test_whose_the_lease_is() -> None:
    assert wanted(lease("me"), "me", None, 0.0)
    assert wanted(lease(""), "me", None, 0.0)
    assert not wanted(lease("other"), "me", None, 1e9)
    watched = Watched("1", since=100.0)
    assert not wanted(lease("other"), "me", watched, 100.0 + DURATION)
    assert wanted(lease("other"), "me", watched, 100.1 + DURATION)
    assert not wanted(lease("other", "2"), "me", watched, 100.1 + DURATION)


def owned(job_name: str, number: int, owner: str) -> OwnedRun:
    return OwnedRun(number, job_name, number, owner, "Running", job_name, False)


def test_only_runs_of_unseen_batchjobs_of_this_cluster_and_namespaces_may_be_orphans() -> None:
    found = [
        owned("team/job", 2, "here/gone"),
        owned("team/job", 1, "here/gone"),
        owned("team/job", 3, "here/known"),
        owned("team/more", 1, "elsewhere/gone"),
        owned("other/job", 1, "here/gone-too"),
    ]
    (one,) = orphans(found, "here/", {"known"}, ["team"])
    assert (one.namespace, one.name, one.uid) == ("team", "job", "gone")
    assert [run.number for run in one.runs] == [1, 2]
    assert len(orphans(found, "here/", {"known"}, [])) == 2
    assert orphans(found, "here/", {"known", "gone", "gone-too"}, []) == []


def test_the_same_notice_is_the_same_event_and_nothing_secret_is_in_it() -> None:
    notice = Notice("Warning", "DatabaseAway", "postgres://me:Jericho-17@db/x is away" + "!" * 2000)
    one, two = event(OWNER, notice, 0.0), event(OWNER, notice, 60.0)
    assert one["metadata"] == two["metadata"]
    assert "Jericho" not in str(one)
    assert len(one["message"]) == 1024
    other = event(Owner("job", "team", "uid-2"), notice, 0.0)
    assert other["metadata"]["name"] != one["metadata"]["name"]
    assert one["involvedObject"]["uid"] == "uid-1"


def test_the_line_of_the_log_counts_since_the_last_one() -> None:
    calls = {("patch", "BatchJob"): 3}
    tally = Tally(calls)
    assert tally.line(1, 0) == ""
    tally.looked(0.25)
    assert "patch BatchJob 3" in tally.line(1, 0)
    calls["patch", "BatchJob"] += 2
    tally.looked(0.25)
    line = tally.line(2, 1)
    assert line.startswith("2 BatchJob(s), 1 queued: 1 looks, half of them within 0.250 s")
    assert "patch BatchJob 2" in line


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "Refused"),
        (422, "Refused"),
        (403, "Forbidden"),
        (404, ""),
        (409, ""),
        (500, ""),
        (0, ""),
    ],
)
def test_what_kubernetes_says_no_to_is_told_and_what_passes_is_not(
    status: int, reason: str
) -> None:
    message = 'strict decoding error: unknown field "spec.template.spec.nodeSelectr"'
    found = refused_by(KubeError("create Job team", status, "", message, False), "team")
    assert (found.reason if found else "") == reason
    if found:
        assert message in found.message


def test_nothing_secret_is_told_of_a_refusal() -> None:
    message = 'Invalid value: "postgresql://me:Jericho-17@db/x"'
    found = refused_by(KubeError("create Job team", 422, "Invalid", message, False), "team")
    assert found is not None
    assert "Jericho" not in found.message


def test_an_absent_database_is_no_refusal() -> None:
    assert refused_by(DatabaseError("away"), "team") is None
    assert refused_by(None, "team") is None


def test_a_name_that_another_job_has_is_told_with_the_way_out() -> None:
    message = 'jobs.batch "products-1-plan" already exists'
    error = KubeError("create Job", 409, "AlreadyExists", message, False, "products-1-plan")
    found = refused_by(error, "team")
    assert found is not None
    assert found.reason == "JobNameTaken"
    assert "kubectl delete job products-1-plan -n team" in found.message


def test_prometheus_is_told_of_looks_calls_and_phases() -> None:
    cache, calls = Cache(), {("create", "Job"): 3}
    cache.put(BATCH_JOBS, batchjob())
    cache.put(BATCH_JOBS, {**batchjob(uid="uid-2"), "status": {"phase": "Complete"}})
    metrics = Metrics(calls, cache.phases)
    metrics.looked(0.02, well=True)
    metrics.looked(3.0, well=False)
    calls["create", "Job"] += 1
    done = (
        CreateJob("plan", 1, 7, world.job()),
        CreateJob("work", 1, 7, world.job()),
        SetRunPhase(7, "Failed", ("Running",), "DeadlineExceeded", "it took too long"),
        SetRunPhase(7, "Running", ("Suspended",)),
    )
    for action in done:
        metrics.acted(reason(action))
    lines = metrics.text().decode().splitlines()
    name = "penstock_operator_reconcile_duration_seconds"
    assert f'{name}_bucket{{le="2.0",result="ok"}} 1.0' in lines
    assert f'{name}_bucket{{le="2.0",result="error"}} 0.0' in lines
    assert 'penstock_operator_api_calls_total{kind="Job",verb="create"} 4.0' in lines
    assert 'penstock_operator_jobs{phase="Complete"} 1.0' in lines
    decisions = "penstock_operator_decisions_total"
    for word, count in (("CreateJob", 2), ("DeadlineExceeded", 1), ("Resumed", 1)):
        assert f'{decisions}{{reason="{word}"}} {count}.0' in lines
    assert 'penstock_operator_jobs{phase="Pending"} 1.0' in lines
