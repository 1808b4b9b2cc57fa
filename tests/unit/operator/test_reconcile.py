"""What is decided about a BatchJob, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from penstock.errors import Mistake
from penstock.spec.job import BatchJob
from penstock.store.progress import Progress
from penstock.store.runs import OPEN_PHASES
from penstock_operator.actions import (
    Action,
    BeginExport,
    CloseRun,
    CreateJob,
    DeleteBatchJob,
    DeleteJob,
    EditRun,
    OpenRun,
    PatchJob,
    SetRunPhase,
)
from penstock_operator.builders.merge import template_code
from penstock_operator.edits import as_stored
from penstock_operator.observed import Observed, Problem, Role
from penstock_operator.reconcile import decide, parallelism
from penstock_operator.refusal import refusal
from tests.unit.operator.world import SHARDS, a_job, a_pod, job, run, seen

FILE = {"file": {"path": "out.jsonl"}}
EDITED = {"inline": {"items": [1, 2, 3, 4]}}


def actions(observed: Observed) -> Sequence[Action]:
    return decide(observed).actions


def test_a_new_job_gets_its_first_run() -> None:
    assert actions(seen()) == (OpenRun(1, as_stored(job()), "skip"),)


@pytest.mark.parametrize(
    "observed",
    [
        seen(deleting=True),
        seen(managed_elsewhere=True),
        seen(job=None, mistakes=(Mistake("spec.source", "is missing"),)),
        seen(database="the database is away"),
        seen(run=run("Complete", finished=900.0, shards=0)),
        seen(run=run("Running"), jobs=(a_job("work"),)),
        seen(run=run("Planning"), jobs=(a_job("plan"),)),
        seen(run=run("Paused"), jobs=(a_job("work", suspended=True),)),
        seen(run=run("Planning"), jobs=(a_job("plan", ended="Failed", deleting=True),)),
        seen(
            run=run("Exporting", job(output=FILE), shards=0),
            jobs=(a_job("export"),),
            job=job(output=FILE),
        ),
    ],
)
def test_nothing_is_to_be_done(observed: Observed) -> None:
    assert actions(observed) == ()


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        # Planning
        ({"run": run("Planning")}, CreateJob("plan", 1, 11, job())),
        (
            {"run": run("Planning"), "job": job(suspend=True)},
            CreateJob("plan", 1, 11, job(), suspend=True),
        ),
        (
            {"run": run("Planning"), "jobs": (a_job("plan"),), "job": job(suspend=True)},
            PatchJob("products-1-plan", suspend=True),
        ),
        (
            {"run": run("Planning"), "jobs": (a_job("plan", ended="Complete"),)},
            DeleteJob("products-1-plan"),
        ),
        (
            {
                "run": run("Planning"),
                "jobs": (a_job("plan", ended="Failed", message="backoff"),),
                "pods": (a_pod("plan", Problem("OOMKilled", "needs more memory")),),
            },
            SetRunPhase(11, "Failed", OPEN_PHASES, "PlanFailed", "needs more memory"),
        ),
        # Running
        ({"run": run()}, CreateJob("work", 1, 11, job(), parallelism=SHARDS)),
        (
            {"run": run(), "jobs": (a_job("work", parallelism=1),)},
            PatchJob("products-1-work", parallelism=SHARDS),
        ),
        (
            {"run": run(), "jobs": (a_job("work", ended="Complete"),)},
            DeleteJob("products-1-work"),
        ),
        (
            {"run": run(), "jobs": (a_job("work", ended="Failed", reason="MaxFailedIndexes"),)},
            DeleteJob("products-1-work"),
        ),
        (
            {
                "run": run(),
                "jobs": (a_job("work", ended="Failed", reason="PodFailurePolicy", message="2"),),
            },
            SetRunPhase(11, "Failed", OPEN_PHASES, "WorkerFailed", "2"),
        ),
        ({"run": run(shards=0), "jobs": (a_job("work"),)}, BeginExport(11)),
        ({"run": run("Paused", shards=0)}, BeginExport(11)),
        (
            {"run": run("Paused"), "jobs": (a_job("work"),)},
            PatchJob("products-1-work", suspend=True),
        ),
        # Exporting
        ({"run": run("Exporting", shards=0)}, CloseRun(11)),
        (
            {
                "run": run("Exporting", job(output=FILE), shards=0),
                "jobs": (a_job("export", ended="Failed", message="disk full"),),
                "job": job(output=FILE),
            },
            SetRunPhase(11, "Failed", OPEN_PHASES, "ExportFailed", "disk full"),
        ),
        # After the end
        (
            {"run": run("Complete", shards=0, finished=900.0), "job": job(rerun=1)},
            OpenRun(2, as_stored(job(rerun=1)), "skip"),
        ),
        (
            {
                "run": run("Complete", finished=900.0, progress=Progress("p", 1, "", 3, failed=1)),
                "job": job(redrive=1),
            },
            OpenRun(2, as_stored(job(redrive=1)), "redrive"),
        ),
        (
            {
                "run": run("Failed", reason="InvalidInput", finished=900.0),
                "job": job(source=EDITED),
            },
            OpenRun(2, as_stored(job(source=EDITED)), "skip"),
        ),
        (
            {
                "run": run("Complete", shards=0, finished=900.0),
                "job": job(ttlSecondsAfterFinished=100),
            },
            DeleteBatchJob(),
        ),
        (
            {"run": run("Failed", finished=900.0), "jobs": (a_job("work"),)},
            DeleteJob("products-1-work"),
        ),
        (
            {
                "run": run(
                    "Failed", job(output=FILE), reason="FailurePolicyExceeded", finished=999.0
                ),
                "job": job(output=FILE),
            },
            CreateJob("export", 1, 11, job(output=FILE)),
        ),
        # Leftovers of an earlier run
        (
            {"run": run(number=2), "jobs": (a_job("work", 1), a_job("work", 2))},
            DeleteJob("products-1-work"),
        ),
        # A run of a BatchJob of the same name that was deleted
        ({"run": run(mine=False)}, SetRunPhase(
            11, "Failed", OPEN_PHASES, "Superseded", "its BatchJob was deleted"
        )),
        (
            {"run": run("Complete", mine=False, number=4)},
            OpenRun(5, as_stored(job()), "skip"),
        ),
    ],
)  # fmt: skip
def test_one_thing_is_to_be_done(changes: dict[str, Any], wanted: Action) -> None:
    assert actions(seen(**changes)) == (wanted,)


@pytest.mark.parametrize(
    ("active", "held", "given_up"), [(0, 31.0, True), (0, 29.0, False), (1, 99.0, False)]
)
def test_a_job_that_only_waits_gives_way_to_a_fresh_one(
    active: int, held: float, given_up: bool
) -> None:
    """Else a namespace could never be deleted while a job is under way."""
    pod = replace(a_pod("work", None), phase="Failed", held=held)
    observed = seen(run=run(), jobs=(a_job("work", active=active),), pods=(pod,))
    assert actions(observed) == ((DeleteJob("products-1-work"),) if given_up else ())


@pytest.mark.parametrize(
    ("phase", "role"), [("Planning", "plan"), ("Running", "work"), ("Exporting", "export")]
)
def test_an_edit_of_the_pod_template_makes_the_job_anew(phase: str, role: Role) -> None:
    template = {"spec": {"nodeSelector": {"disk": "ssd"}}}
    manifest = job(template=template, output=FILE)
    going = run(phase, manifest, shards=0 if phase == "Exporting" else SHARDS)
    known = seen(job=manifest, run=going)
    as_it_is = a_job(role, template=template_code(manifest.spec.template))
    assert actions(replace(known, jobs=(as_it_is,))) == ()
    assert actions(replace(known, jobs=(replace(as_it_is, template=""),))) == ()
    before = replace(as_it_is, template=template_code(None))
    assert actions(replace(known, jobs=(before,))) == (DeleteJob(before.name),)
    assert actions(replace(known, jobs=(replace(before, deleting=True),))) == ()


LOST = {"currentRun": 3, "observedGeneration": 1, "phase": "Complete"}


def test_nothing_is_run_again_unasked_when_the_database_was_emptied() -> None:
    assert actions(seen(status=LOST)) == ()
    assert actions(seen(status=LOST, jobs=(a_job("work", 3),))) == (DeleteJob("products-3-work"),)
    edited = seen(status=LOST, generation=2)
    assert actions(edited) == (OpenRun(4, as_stored(job()), "skip"),)
    status = decide(edited).status
    assert status is not None
    assert status.observed_generation == 1  # until there is that run


def test_a_name_that_another_cluster_has_in_the_database_is_left_alone() -> None:
    theirs = run("Running", mine=False, foreign=True)
    assert actions(seen(run=theirs)) == ()
    (ended,) = actions(seen(run=theirs, job=job(rerun=1)))
    assert isinstance(ended, SetRunPhase)


def test_kueue_decides_when_a_job_in_its_queue_runs() -> None:
    queued = job()
    labels = {"kueue.x-k8s.io/queue-name": "team"}
    metadata = queued.metadata.model_copy(update={"labels": labels})
    queued = queued.model_copy(update={"metadata": metadata})
    one = run(manifest=queued)
    (create,) = actions(seen(run=one, job=queued))
    assert isinstance(create, CreateJob)
    assert create.suspend
    assert actions(seen(run=one, job=queued, jobs=(a_job("work", suspended=True),))) == ()
    asked = seen(run=one, job=job(suspend=True), jobs=(a_job("work"),))
    assert PatchJob("products-1-work", suspend=True) in actions(asked)


def test_a_job_without_slots_for_more_pods_gives_way_to_a_larger_one() -> None:
    wide = as_stored(job(scaling={"maxParallelism": 100}))
    one = run(manifest=wide, shards=200)
    for completions, wanted in ((9, DeleteJob), (200, PatchJob)):
        small = a_job("work", completions=completions)
        (action,) = actions(seen(run=one, job=wide, jobs=(small,)))
        assert isinstance(action, wanted)


def test_results_of_a_run_that_was_stopped_wait_for_its_pods() -> None:
    stopped = run("Failed", job(output=FILE), reason="DeadlineExceeded", finished=999.0)
    working = seen(run=stopped, job=job(output=FILE), jobs=(a_job("work"),))
    assert actions(working) == ()
    assert decide(working).again == 30.0


def test_suspend_stops_the_workers_and_resume_starts_them_again() -> None:
    asked = seen(run=run(), jobs=(a_job("work"),), job=job(suspend=True))
    assert actions(asked) == (
        SetRunPhase(
            11, "Suspended", ("Running", "Paused"), "Suspended", "spec.suspend is true"
        ),
        PatchJob("products-1-work", suspend=True),
    )  # fmt: skip
    again = seen(run=run("Suspended"), jobs=(a_job("work", suspended=True),))
    assert actions(again) == (
        SetRunPhase(11, "Running", ("Suspended",)),
        PatchJob("products-1-work", suspend=False),
    )


LIMITED = job(activeDeadlineSeconds=60, output={"file": {"path": "out.csv"}})


@pytest.mark.parametrize("phase", ["Planning", "Running"])
def test_a_run_that_takes_too_long_fails(phase: str) -> None:
    late = run(phase, as_stored(LIMITED), seconds=61.0)
    message = "it took longer than activeDeadlineSeconds, 60 s"
    assert actions(seen(run=late, job=LIMITED)) == (
        SetRunPhase(11, "Failed", (phase,), "DeadlineExceeded", message),
    )
    intime = run(phase, as_stored(LIMITED), seconds=59.0)
    assert SetRunPhase not in map(type, actions(seen(run=intime, job=LIMITED)))


@pytest.mark.parametrize("phase", ["Suspended", "Paused", "Exporting"])
def test_a_run_that_waits_or_is_all_but_done_does_not(phase: str) -> None:
    late = run(phase, as_stored(LIMITED), seconds=61.0)
    suspended = LIMITED.model_copy(
        update={"spec": LIMITED.spec.model_copy(update={"suspend": phase == "Suspended"})}
    )
    assert SetRunPhase not in map(type, actions(seen(run=late, job=suspended)))


def test_a_late_look_at_a_run_whose_items_are_all_done_does_not_fail_it() -> None:
    done = run("Running", as_stored(LIMITED), seconds=61.0, shards=0)
    assert actions(seen(run=done, job=LIMITED)) == (BeginExport(11),)


@pytest.mark.parametrize(("total", "written"), [(0, False), (3, True)])
def test_the_results_of_a_late_run_are_written_if_it_was_planned(total: int, written: bool) -> None:
    progress = Progress("team/products", 1, "Failed", total)
    late = run(
        "Failed", as_stored(LIMITED), reason="DeadlineExceeded", finished=990.0, progress=progress
    )
    found = actions(seen(run=late, job=LIMITED))
    assert [one.role for one in found if isinstance(one, CreateJob)] == ["export"] * written


def test_scaling_and_limits_are_edited_live() -> None:
    edited = job(scaling={"maxParallelism": 2}, rateLimit={"requestsPerMinute": 60})
    decision = decide(seen(run=run(), jobs=(a_job("work"),), job=edited))
    assert decision.actions[0] == EditRun(11, as_stored(edited))
    after = seen(run=run(manifest=as_stored(edited)), jobs=(a_job("work"),), job=edited)
    assert actions(after) == (PatchJob("products-1-work", parallelism=2),)


def test_whoever_edits_a_paused_job_lets_it_go_on() -> None:
    edited = job(price={"inputPerMillion": 1})
    observed = seen(run=run("Paused"), jobs=(a_job("work", suspended=True),), job=edited)
    assert actions(observed) == (EditRun(11, as_stored(edited), resume=True),)


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        ({"source": EDITED}, "spec.source"),
        ({"source": {**EDITED, "limit": 1}}, "spec.source.limit"),
        ({"processor": {"http": {"url": "http://provider.test/", "body": "7"}}}, "spec.processor"),
        ({"existing": "force"}, "spec.existing"),
        ({"resultSet": "other"}, "spec.resultSet"),
    ],
)
def test_an_edit_of_what_is_done_is_refused_with_the_way(edit: dict[str, Any], field: str) -> None:
    observed = seen(run=run(), jobs=(a_job("work"),), job=job(**edit))
    decision = decide(observed)
    assert decision.actions == ()
    assert f"{field} was edited" in refusal(observed)
    assert "raise spec.rerun to 1" in refusal(observed)
    assert decision.status is not None
    told = {condition.type: condition for condition in decision.status.conditions or []}
    assert (told["Accepted"].status, told["Accepted"].reason) == ("False", "EditRefused")


def test_other_code_is_for_another_run() -> None:
    def with_code(name: str) -> BatchJob:
        python = {"entrypoint": "mine:work", "codeFrom": {"configMap": {"name": name}}}
        return job(processor={"python": python})

    under_way = run(manifest=as_stored(with_code("first")))
    observed = seen(run=under_way, jobs=(a_job("work"),), job=with_code("second"))
    assert decide(observed).actions == ()
    assert "spec.processor.python.codeFrom was edited" in refusal(observed)
    same = seen(run=under_way, jobs=(a_job("work"),), job=with_code("first"))
    assert refusal(same) == ""


def test_what_becomes_of_results_is_taken_up_beside_an_edit_that_is_refused() -> None:
    edited = job(deletionPolicy="Delete", source=EDITED, scaling={"maxParallelism": 2})
    observed = seen(run=run("Paused"), jobs=(a_job("work", suspended=True),), job=edited)
    taken = as_stored(job(deletionPolicy="Delete"))
    assert actions(observed) == (EditRun(11, taken),)
    assert actions(replace(observed, run=run("Paused", taken))) == ()


def test_raising_rerun_gives_the_run_up() -> None:
    observed = seen(run=run(), jobs=(a_job("work"),), job=job(source=EDITED, rerun=1))
    (ended,) = actions(observed)
    assert isinstance(ended, SetRunPhase)
    assert (ended.phase, ended.reason) == ("Failed", "Superseded")


def test_what_becomes_of_results_can_be_decided_after_the_end() -> None:
    ended = run("Complete", finished=900.0, shards=0)
    (edit,) = actions(seen(run=ended, job=job(deletionPolicy="Delete", source=EDITED)))
    assert edit == EditRun(11, as_stored(job(deletionPolicy="Delete")))


def test_a_redrive_with_nothing_failed_says_so() -> None:
    observed = seen(run=run("Complete", finished=900.0), job=job(redrive=1))
    assert actions(observed) == ()
    assert refusal(observed) == "nothing failed in run 1: there is nothing to redrive"


def test_a_redrive_after_an_edit_is_refused() -> None:
    failed = Progress("p", 1, "Complete", 3, failed=1)
    observed = seen(
        run=run("Complete", finished=900.0, progress=failed), job=job(redrive=1, source=EDITED)
    )
    assert actions(observed) == ()
    assert "raise spec.rerun instead" in refusal(observed)


def test_mistakes_in_an_edit_do_not_stop_the_run() -> None:
    observed = seen(
        run=run(), jobs=(a_job("work"),), job=None, mistakes=(Mistake("spec.retry", "no"),)
    )
    decision = decide(observed)
    assert decision.actions == ()
    assert decision.status is not None
    assert decision.status.phase == "Running"


@pytest.mark.parametrize(
    ("shards", "pods"), [(0, 1), (1, 1), (3, 3), (10, 10), (11, 10), (4000, 10)]
)
def test_no_more_pods_than_shards(shards: int, pods: int) -> None:
    assert parallelism(job(), shards) == pods


@pytest.mark.parametrize(
    ("observed", "seconds"),
    [
        (seen(database="away"), 10.0),
        (seen(refused="in use"), 10.0),
        (seen(), 1.0),
        (seen(job=None), None),
        (seen(run=run(), jobs=(a_job("work"),)), 3.0),
        (seen(run=run("Complete", shards=0, finished=900.0)), None),
        (seen(run=run("Complete", shards=0, finished=990.0)), 21.0),
        (
            seen(
                run=run("Complete", shards=0, finished=940.0),
                job=job(ttlSecondsAfterFinished=100),
            ),
            41.0,
        ),
    ],
)
def test_when_it_is_looked_at_again(observed: Observed, seconds: float | None) -> None:
    assert decide(observed).again == seconds
