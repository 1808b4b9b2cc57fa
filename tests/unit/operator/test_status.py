"""What is told of a BatchJob in its status and in Events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from penstock.errors import Mistake
from penstock.store.progress import Progress
from penstock_operator.crd.status import BatchJobStatus, Condition
from penstock_operator.observed import Observed, Problem
from penstock_operator.reconcile import decide
from tests.unit.operator.world import a_job, a_pod, job, run, seen

HALF = Progress(
    "team/products", 1, "Running", 200, skipped=20, succeeded=70, failed=10, requests=120,
    throttled=6, retries=4, prompt_tokens=1000, completion_tokens=500, cost=1.5, workers=2,
    in_flight=30, concurrency=64, items_per_second=12.34, requests_per_second=15.0,
    throttled_share=0.05, eta_seconds=600.0, held_back="429s at 900 a minute",
    failures=(("HTTP 400", 10),),
)  # fmt: skip


def told(observed: Observed) -> BatchJobStatus:
    status = decide(observed).status
    assert status is not None
    return status


def conditions(status: BatchJobStatus) -> dict[str, Condition]:
    return {condition.type: condition for condition in status.conditions or []}


def later(observed: Observed, **changes: Any) -> Observed:
    """The same job some time on, with the status that was told before."""
    return replace(
        observed, status=told(observed).as_json(), now=observed.now + 60, **changes
    )  # fmt: skip


def test_a_running_job() -> None:
    status = told(seen(run=run(progress=HALF, number=3), jobs=(a_job("work", 3),))).as_json()
    del status["conditions"]
    assert status == {
        "observedGeneration": 1,
        "phase": "Running",
        "message": "run 3: 100 of 200 items done, 10 failed",
        "currentRun": 3,
        "startTime": "1970-01-01T00:01:40Z",
        "activeSince": "1970-01-01T00:16:39Z",
        "estimatedCompletionTime": "1970-01-01T00:26:40Z",
        "progress": "50%",
        "rate": "12.3/s",
        "throttled": "5.0%",
        "eta": "10m",
        "itemCounts": {
            **{"total": 200, "skipped": 20, "pending": 70, "running": 30},
            **{"succeeded": 70, "failed": 10},
        },
        "failures": [{"reason": "HTTP 400", "count": 10}],
        "throughput": {"itemsPerSecond": 12.3, "requestsPerSecond": 15.0},
        "throttling": {
            **{"ratio": 0.05, "effectiveRequestsPerMinute": 900.0, "effectiveConcurrency": 64},
            **{"parallelism": 2, "reason": "429s at 900 a minute", "source": "postgres"},
        },
        "usage": {
            **{"requests": 120, "throttled": 6, "retries": 4},
            **{"promptTokens": 1000, "completionTokens": 500, "cost": 1.5},
        },
    }


def test_what_held_a_run_back_stays_when_it_has_ended() -> None:
    over = replace(HALF, phase="Complete", throttled_share=0.0, workers=0, concurrency=0)
    status = told(seen(run=run("Complete", progress=over))).as_json()
    assert status["throttling"] == {
        "ratio": 0.05,
        "reason": "429s at 900 a minute",
        "source": "postgres",
    }
    assert "throughput" not in status
    untried = replace(over, requests=0, throttled=0)
    assert told(seen(run=run("Complete", progress=untried))).throttling is None


def test_it_says_when_nobody_is_at_work() -> None:
    nobody = replace(HALF, workers=0, held_back="429s of yesterday")
    throttling = told(seen(run=run(progress=nobody))).throttling
    assert throttling is not None
    assert throttling.reason == "no worker pod is at work"


def test_working_time_is_told_without_a_new_status_every_second() -> None:
    first = seen(run=run(seconds=400.0))
    # A look that came a second late, as it had to wait.
    second = replace(first, status=told(first).as_json(), now=1031.0, run=run(seconds=430.0))
    assert told(second) == told(first)
    waited = replace(second, run=run(seconds=401.0))  # it was paused in between
    assert told(waited).as_json()["activeSince"] == "1970-01-01T00:10:30Z"
    another = replace(second, run=run(number=2, seconds=431.5))
    assert told(another).as_json()["activeSince"] == "1970-01-01T00:09:59Z"


@pytest.mark.parametrize("phase", ["Planning", "Paused", "Complete"])
def test_working_time_of_a_run_that_waits_or_has_ended_is_a_number(phase: str) -> None:
    status = told(seen(run=run(phase, seconds=61.26, working=False))).as_json()
    assert (status["activeSeconds"], "activeSince" in status) == (61.3, False)


def test_all_but_done_is_not_a_hundred_percent() -> None:
    nearly = Progress("p", 1, "Running", 100_000, succeeded=99_999)
    assert told(seen(run=run(progress=nearly))).progress == "99%"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1s"), (90, "90s"), (600, "10m"), (8000, "2h"), (400_000, "5d")],
)
def test_eta(seconds: float, text: str) -> None:
    assert told(seen(run=run(progress=replace(HALF, eta_seconds=seconds)))).eta == text


@pytest.mark.parametrize(
    ("observed", "kind", "status", "reason", "text"),
    [
        (
            seen(job=None, mistakes=(Mistake("spec.source", "is missing"),)),
            *("Failed", "True", "InvalidManifest", "spec.source: is missing"),
        ),
        (
            seen(run=run(), job=None, mistakes=(Mistake("spec.retry", "is no map"),)),
            *("Accepted", "False", "InvalidManifest", "spec.retry: is no map"),
        ),
        (
            seen(refused="'products' is in use"),
            *("Accepted", "False", "ResultSetInUse", "is in use"),
        ),
        (seen(database="refused"), "Progressing", "False", "DatabaseAway", "refused; workers wait"),
        (
            seen(run=run(), pods=(a_pod("work", Problem("ImagePullFailed", "cannot pull x")),)),
            *("Progressing", "False", "ImagePullFailed", "cannot pull x"),
        ),
        (
            seen(
                run=run(),
                pods=(
                    a_pod("work", Problem("Unschedulable", "no room")),
                    a_pod("work", None, ready=True),
                ),
            ),
            *("Progressing", "True", "Running", ""),
        ),
        (
            seen(run=run(), jobs=(a_job("work", active=0, created=900.0),)),
            *("Progressing", "False", "PodsNotCreated", "kubectl describe job products-1-work"),
        ),
        (
            seen(run=run(), jobs=(a_job("work", active=0, created=990.0),)),
            *("Progressing", "True", "Running", ""),
        ),
        (
            seen(run=run("Paused", reason="HTTP 401 invalid_api_key", message="HTTP 401: bad key")),
            *("Progressing", "False", "HTTP401InvalidApiKey", "HTTP 401: bad key"),
        ),
        (
            seen(run=run("Paused", reason="429 quota", message="spent")),
            *("Progressing", "False", "Reason429Quota", "spent"),
        ),
        (
            seen(run=run("Planning"), job=job(suspend=True)),
            *("Suspended", "True", "Suspended", "spec.suspend is true"),
        ),
        (
            seen(run=run("Complete", foreign=True, mine=False)),
            *("Accepted", "False", "NameInUse", "raise spec.rerun to 1"),
        ),
        (
            seen(status={"currentRun": 3, "observedGeneration": 1, "phase": "Complete"}),
            *("Accepted", "False", "RunsLost", "knows nothing of run 3"),
        ),
        (seen(run=run("Planning")), "Planned", "False", "Planning", "being read"),
        (
            seen(run=run("Failed", reason="InvalidInput", message="x.csv:2: no", finished=1.0)),
            *("Failed", "True", "InvalidInput", "x.csv:2"),
        ),
        (seen(run=run(progress=HALF)), "Planned", "True", "Planned", "200 items"),
        (seen(run=run(progress=HALF)), "Throttled", "True", "TooManyRequests", "5% of the calls"),
        (
            seen(run=run("Complete", progress=HALF, reason="CompletedWithFailedItems")),
            *("Complete", "True", "CompletedWithFailedItems", "70 succeeded, 20 skipped, 10"),
        ),
    ],
)  # fmt: skip
def test_conditions(observed: Observed, kind: str, status: str, reason: str, text: str) -> None:
    condition = conditions(told(observed))[kind]
    assert (condition.status, condition.reason) == (status, reason)
    assert text in condition.message


def test_what_holds_a_job_up_is_its_message() -> None:
    stuck = seen(run=run(), pods=(a_pod("work", Problem("SecretMissing", "make it")),))
    assert told(stuck).message == "make it"


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    first = seen(run=run(progress=HALF), jobs=(a_job("work"),))
    second = later(first)
    assert (
        conditions(told(second))["Throttled"].last_transition_time
        == conditions(told(first))["Throttled"].last_transition_time
    )
    third = later(second, run=run(progress=replace(HALF, throttled_share=0.0)))
    throttled = conditions(told(third))["Throttled"]
    assert throttled.status == "False"
    assert throttled.last_transition_time.timestamp() == third.now


def test_what_was_known_stays_while_the_database_is_away() -> None:
    running = seen(run=run(progress=HALF))
    away = told(later(running, run=None, database="the database is away"))
    assert (away.phase, away.progress, away.item_counts) == (
        *("Running", "50%", told(running).item_counts),
    )  # fmt: skip
    assert conditions(away)["Planned"].status == "True"


def test_mistakes_are_no_end_while_the_database_is_away() -> None:
    """Whether a run is under way that goes on without the edit is not known then."""
    running = seen(run=run(progress=HALF))
    away = later(running, run=None, database="away", job=None, mistakes=(Mistake("spec", "no"),))
    assert "Failed" not in conditions(told(away))
    ended = later(seen(run=run("Failed", reason="InvalidInput", finished=900.0)))
    away = replace(ended, run=None, database="away", job=None, mistakes=(Mistake("spec", "no"),))
    kinds = [condition.type for condition in told(away).conditions or []]
    assert kinds.count("Failed") == 1


def test_an_end_is_gone_when_the_next_run_begins() -> None:
    ended = seen(run=run("Complete", reason="Completed", finished=900.0, shards=0))
    again = later(ended, run=run("Planning", number=2))
    assert "Complete" not in conditions(told(again))


def test_a_status_of_another_version_is_written_anew() -> None:
    assert told(seen(status={"phase": "Sleeping", "extra": 1})).phase == "Pending"


def test_events_are_told_once() -> None:
    stuck = seen(run=run(), pods=(a_pod("work", Problem("SecretMissing", "make it")),))
    before = later(seen(run=run("Planning")))
    notices = decide(replace(stuck, status=before.status)).notices
    assert [(one.type, one.reason) for one in notices] == [
        ("Warning", "SecretMissing"),
        ("Normal", "Planned"),
        ("Normal", "Started"),
    ]
    assert decide(later(stuck)).notices == ()


def test_an_end_and_a_suspension_are_told_once_and_not_as_a_warning() -> None:
    for end in (run("Complete", reason="Completed", finished=900.0), run("Suspended")):
        before = later(seen(run=run()))
        notices = decide(replace(before, run=end)).notices
        assert [one.type for one in notices] == ["Normal"]


def test_the_status_stays_small() -> None:
    many = tuple((f"reason {number}", number) for number in range(50))
    big = replace(HALF, total=10**8, failures=many)
    stuck = Problem("ImagePullFailed", "x" * 100_000)
    observed = seen(run=run(progress=big), pods=(a_pod("work", stuck),) * 50)
    status = told(observed)
    assert len(status.failures or []) == 10
    assert len(status.message or "") <= 32_768
    assert max(len(one.message) for one in status.conditions or []) <= 32_768


def test_what_kubernetes_refuses_is_told_until_it_does_not() -> None:
    stuck = Problem("Refused", "Kubernetes refuses the Job: spec.template.spec.containers[0].image")
    before = seen(run=run("Planning"))
    refused = later(before, run=run("Planning"), stuck=stuck)
    status = told(refused)
    condition = conditions(status)["Progressing"]
    assert (condition.status, condition.reason, condition.message) == (
        "False", stuck.reason, stuck.message,
    )  # fmt: skip
    assert status.message == stuck.message
    assert [notice.reason for notice in decide(refused).notices] == ["Refused"]
    again = replace(
        refused, status=status.as_json(), now=refused.now + 60, run=run("Planning", seconds=61.0)
    )
    assert told(again) == status
    assert not decide(again).notices
    mended = replace(again, stuck=None)
    assert conditions(told(mended))["Progressing"].status == "True"
