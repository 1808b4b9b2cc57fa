"""What is seen of a BatchJob from outside, and when there is nothing more to see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from penstock.cluster.seen import progress_of
from penstock.cluster.watching import Since, judge, mistakes
from penstock.spec.job import BatchJob
from penstock.store.progress import Progress
from penstock_operator import status
from penstock_operator.observed import Observed, RunSeen

NOW = 1_700_000_100.0


def batchjob(
    phase: str | None, *conditions: tuple[str, str, str, str], generation: int = 1, **more: Any
) -> dict[str, Any]:
    told = [
        dict(zip(("type", "status", "reason", "message"), one, strict=True)) for one in conditions
    ]
    seen = {"phase": phase, "observedGeneration": generation, "conditions": told, **more}
    return {
        "metadata": {"name": "products", "generation": generation},
        "spec": {"suspend": False},
        "status": seen if phase else {},
    }


RAN = Progress(
    name="team/products", run=3, phase="Running", total=1_000, skipped=100, succeeded=300, failed=7,
    seconds=100.0, requests=350, throttled=14, retries=9, prompt_tokens=5, completion_tokens=6,
    cost=0.25, workers=2, in_flight=12, concurrency=16, items_per_second=3.1,
    requests_per_second=3.5, throttled_share=0.04, eta_seconds=190.0,
    held_back="the provider's rate limit", failures=(("HTTP 500", 7),),
)  # fmt: skip


def told_of(progress: Progress) -> dict[str, Any]:
    """A BatchJob with the status that the operator writes of a run."""
    job = BatchJob.model_validate(
        {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": "products"},
            "spec": {
                "source": {"inline": {"items": [1]}},
                "processor": {"http": {"url": "http://p"}},
            },
        }
    )
    seen = RunSeen(
        id=1, number=progress.run, mine=True, foreign=False, phase=progress.phase,
        reason=progress.reason,
        message=progress.message, manifest=job, existing="skip", shards=1,
        seconds=progress.seconds, working=progress.phase == "Running", output="",
        progress=progress, started=NOW - progress.seconds,
        finished=None,
    )  # fmt: skip
    observed = Observed(
        name="products", namespace="team", uid="u", generation=1, deleting=False,
        managed_elsewhere=False, job=job, mistakes=(), run=seen, database="", refused="",
        jobs=(), pods=(), status={}, now=NOW,
    )  # fmt: skip
    said, _ = status.tell(observed, "")
    return {
        "metadata": {"name": "products", "generation": 1},
        "spec": {},
        "status": said.as_json(),
    }


@pytest.mark.parametrize("phase", ["Running", "Paused"])
def test_the_status_tells_how_long_it_was_at_work(phase: str) -> None:
    raw = told_of(replace(RAN, phase=phase))
    passed = 30.0 if phase == "Running" else 0.0
    assert progress_of(raw, NOW + 30.0).seconds == RAN.seconds + passed


def test_the_status_tells_what_a_local_run_shows() -> None:
    found = progress_of(told_of(RAN), NOW)
    for field in (
        *("run", "phase", "total", "skipped", "succeeded", "failed", "seconds", "requests"),
        *(
            "throttled",
            "retries",
            "prompt_tokens",
            "completion_tokens",
            "cost",
            "workers",
            "in_flight",
            "concurrency",
        ),
        *("items_per_second", "requests_per_second", "throttled_share", "eta_seconds"),
        *("held_back", "failures"),
    ):
        assert getattr(found, field) == getattr(RAN, field), field
    assert (found.name, found.done, found.pending) == ("products", 407, 593)


def test_the_end_of_a_run() -> None:
    done = progress_of(
        batchjob(
            "Failed",
            ("Failed", "True", "InvalidInput", "items.csv:3: too few columns"),
            startTime="2026-01-01T00:00:00Z",
            completionTime="2026-01-01T09:01:30Z",
            activeSeconds=90.0,
        ),
        NOW,
    )
    assert (done.phase, done.reason, done.seconds) == ("Failed", "InvalidInput", 90.0)
    assert done.message == "items.csv:3: too few columns"


def test_without_a_status_it_is_pending() -> None:
    found = progress_of(batchjob(None), NOW)
    assert (found.phase, found.total, found.seconds) == ("Pending", 0, 0.0)


@pytest.mark.parametrize("phase", ["Complete", "Failed", "Paused"])
def test_ends(phase: str) -> None:
    assert judge(batchjob(phase), Since(), NOW).over


@pytest.mark.parametrize("phase", [None, "Pending", "Planning", "Running", "Exporting"])
def test_no_ends(phase: str | None) -> None:
    assert not judge(batchjob(phase), Since(), NOW).over


def test_suspended_is_an_end_while_it_is_asked_for() -> None:
    raw = batchjob("Suspended")
    assert not judge(raw, Since(), NOW).over
    raw["spec"]["suspend"] = True
    assert judge(raw, Since(), NOW).over


def test_what_was_said_before_the_edit_does_not_count() -> None:
    raw = batchjob("Complete", generation=1, currentRun=1)
    raw["metadata"]["generation"] = 2
    assert not judge(raw, Since(), NOW).over
    assert not judge(batchjob("Complete", generation=4), Since(generation=5), NOW).over


def test_the_run_before_does_not_count() -> None:
    since = Since(generation=2, run=1)
    old = judge(
        batchjob("Complete", generation=2, currentRun=1, itemCounts={"total": 5}), since, NOW
    )
    assert (old.over, old.progress.phase, old.progress.total) == (False, "Pending", 0)
    assert judge(batchjob("Complete", generation=2, currentRun=2), since, NOW).over


def test_a_refused_edit_is_told() -> None:
    refused = ("Accepted", "False", "EditRefused", "spec.source was edited")
    look = judge(batchjob("Running", refused, currentRun=1), Since(1, 1), NOW)
    assert look.refused == "spec.source was edited"
    in_use = ("Accepted", "False", "ResultSetInUse", "another job writes it")
    look = judge(batchjob("Pending", in_use), Since(1), NOW)
    assert (look.refused, look.notice, look.over) == ("", "another job writes it", False)


def test_what_keeps_it_from_going_on_is_told() -> None:
    problem = ("Progressing", "False", "ImagePullFailed", "the image cannot be pulled")
    assert judge(batchjob("Running", problem), Since(), NOW).notice == "the image cannot be pulled"
    assert not judge(batchjob("Complete", problem), Since(), NOW).notice


def test_mistakes_come_one_a_line() -> None:
    assert [str(one) for one in mistakes("a.csv:1: x\n\na.csv:2: y").mistakes] == [
        "a.csv:1: x",
        "a.csv:2: y",
    ]
