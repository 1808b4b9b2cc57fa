"""What `penstock run` does with a job that ran before: one table."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.plan.decide import Redrive, Refuse, Replan, Resume, StartNew, Step, next_step
from penstock.spec.job import BatchJob
from penstock.store.runs import Run


def job(**spec: Any) -> BatchJob:
    content = {
        "source": {"file": {"path": "a.csv"}},
        "processor": {"openai": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}},
    }
    return BatchJob.model_validate(
        {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": "products"},
            "spec": {**content, **spec},
        }
    )


def run(phase: str, existing: str = "skip") -> Run:
    return Run(
        id=1, job="products", number=1, result_set=1, result_set_name="products", result_part=0,
        items_run=1, item_part=0, phase=phase, reason="", message="", manifest="", manifest_path="",
        existing=existing, redrive_reason="", total=1, skipped=0, bad=0, counted={}, suspend=False,
        driver=None, driver_fresh=False, active_seconds=0.0, output="",
        owner="", revision=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("latest", "options", "step"),
    [
        (None, {}, StartNew("skip")),
        (None, {"force": True}, StartNew("force")),
        (run("Planning"), {}, Replan("skip")),
        (run("Planning"), {"force": True}, Replan("force")),
        (run("Running"), {}, Resume()),
        (run("Paused"), {}, Resume()),
        (run("Suspended"), {}, Resume()),
        (run("Exporting"), {}, Resume()),
        (run("Running"), {"force": True}, StartNew("force", abandon=True)),
        (run("Running", "force"), {"force": True}, Resume()),
        (run("Running", "force"), {}, Resume()),
        (run("Complete"), {}, StartNew("skip")),
        (run("Failed"), {}, StartNew("skip")),
        (run("Complete"), {"redrive": True}, Redrive("")),
        (run("Complete"), {"redrive": True, "reason": "HTTP 500"}, Redrive("HTTP 500")),
        (run("Running", "redrive"), {"redrive": True}, Resume()),
    ],
)
def test_next_step(latest: Run | None, options: dict[str, Any], step: Step) -> None:
    assert next_step(job(), latest, job() if latest else None, **options) == step


@pytest.mark.parametrize(
    ("latest", "phrase"),
    [
        (None, "has never run"),
        (run("Planning"), "never planned to the end"),
        (run("Running"), "unfinished run"),
    ],
)
def test_a_redrive_of_nothing_is_refused(latest: Run | None, phrase: str) -> None:
    step = next_step(job(), latest, job() if latest else None, redrive=True)
    assert isinstance(step, Refuse)
    assert phrase in step.message


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        ({"source": {"file": {"path": "b.csv"}}}, "spec.source"),
        ({"source": {"file": {"path": "a.csv"}, "limit": 5}}, "the limit"),
        (
            {
                "processor": {
                    "openai": {"model": "n", "messages": [{"role": "user", "content": "Hi"}]}
                }
            },
            "spec.processor",
        ),
        ({"resultSet": "others"}, "spec.resultSet"),
        ({"existing": "skipByID"}, "spec.existing"),
    ],
)
def test_edits_that_would_mix_two_jobs_are_refused_with_the_way_named(
    edit: dict[str, Any], named: str
) -> None:
    step = next_step(job(**edit), run("Running"), job())
    assert isinstance(step, Refuse)
    assert step.message.startswith(named)
    assert "--set rerun=1" in step.message
    existing = edit.get("existing", "skip")
    again = next_step(job(**edit, rerun=1), run("Running"), job())
    assert again == StartNew(existing, abandon=True)
    assert next_step(job(**edit), run("Complete"), job()) == StartNew(existing)


@pytest.mark.parametrize("by_option", ["force", "redrive"])
def test_an_edit_of_existing_is_nothing_to_a_run_that_an_option_rules(by_option: str) -> None:
    assert next_step(job(existing="force"), run("Running", by_option), job()) == Resume()


@pytest.mark.parametrize(
    "edit",
    [
        {"source": {"file": {"path": "b.csv"}}},
        {"processor": {"ollama": {"model": "m", "input": "x"}}},
        {"resultSet": "others"},
    ],
)
@pytest.mark.parametrize("phase", ["Complete", "Failed"])
def test_a_redrive_after_an_edit_is_refused(edit: dict[str, Any], phase: str) -> None:
    """Its answers would stand there as those of the manifest before."""
    step = next_step(job(**edit), run(phase), job(), redrive=True)
    assert isinstance(step, Refuse)
    assert step.message.startswith(f"spec.{next(iter(edit))} was edited since; ")
    assert "without --redrive" in step.message
    raised = next_step(job(**edit, redrive=1), run(phase), job())
    assert isinstance(raised, Refuse)
    assert "without raising spec.redrive" in raised.message


@pytest.mark.parametrize(
    "edit",
    [
        {"source": {"file": {"path": "a.csv"}, "limit": 5}},
        {"output": {"file": {"path": "x.csv"}}},
        {"existing": "force"},
        {"retry": {"maxAttempts": 9}},
    ],
)
def test_other_edits_are_nothing_to_a_redrive(edit: dict[str, Any]) -> None:
    assert next_step(job(**edit), run("Complete"), job(), redrive=True) == Redrive("")


def test_a_redrive_does_not_replace_an_unfinished_run() -> None:
    for latest in (run("Running"), run("Running", "redrive")):
        step = next_step(job(rerun=1), latest, job(), redrive=True)
        assert isinstance(step, Refuse)


@pytest.mark.parametrize(
    "edit",
    [
        {"scaling": {"concurrency": {"max": 3}}},
        {"rateLimit": {"requestsPerMinute": 60}},
        {"retry": {"maxAttempts": 9}},
        {"output": {"file": {"path": "x.csv"}}},
        {
            "processor": {
                "openai": {
                    "model": "m",
                    "messages": [{"role": "user", "content": "Hi"}],
                    "baseURL": "http://127.0.0.1:9/v1",
                }
            }
        },
    ],
)
def test_other_edits_are_taken_up_by_the_run_that_goes_on(edit: dict[str, Any]) -> None:
    assert next_step(job(**edit), run("Running"), job()) == Resume()


def test_an_edit_is_taken_while_no_item_has_come_to_its_end() -> None:
    """A wrong model paused the job; putting it right is no mixture of two jobs."""
    edited = job(processor={"openai": {"model": "n", "operation": "responses"}})
    step = next_step(edited, run("Paused"), job(), untouched=True)
    assert step == StartNew("skip", abandon=True)


def test_a_raised_redrive_counter_redrives_a_finished_run() -> None:
    assert next_step(job(redrive=1), run("Complete"), job()) == Redrive("")
