"""The blocks a run opens and ends with, at 80 columns, as a person sees them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from penstock.local.banner import banner_lines, processor_phrase
from penstock.local.figures import ASCII, UNICODE
from penstock.local.lines import Pace, progress_line
from penstock.local.summary import answer, final_line, summary_lines
from penstock.local.table import table_lines
from penstock.plan.summary import PlanSummary
from penstock.spec.job import BatchJob
from penstock.spec.output import Output
from penstock.spec.processor import Processor
from penstock.store.progress import Progress, TimeSplit

JOB = BatchJob.model_validate(
    {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "product-metafields"},
        "spec": {
            "source": {"file": {"path": "products.csv"}},
            "processor": {
                "openai": {"model": "gpt-5-nano", "messages": [{"role": "user", "content": "hi"}]}
            },
        },
    }
)
PLAN = PlanSummary(
    total=201, new=190, changed=5, failed_before=3, unchanged=3, bad=0, resumed=False, run=2
)
RUNNING = Progress(
    name="product-metafields",
    run=1,
    phase="Running",
    total=201,
    succeeded=48,
    failed=2,
    seconds=14.1,
    requests=60,
    throttled=6,
    in_flight=12,
    concurrency=16,
    workers=1,
    items_per_second=3.4,
    throttled_share=0.1,
    eta_seconds=45,
)
DONE = replace(
    RUNNING,
    phase="Complete",
    succeeded=195,
    skipped=3,
    failed=3,
    seconds=59.4,
    requests=1230,
    throttled=12,
    retries=29,
    prompt_tokens=120_330,
    completion_tokens=30_200,
    cost=0.10324,
    time=TimeSplit(provider=83.7, gate=10.0, cpu=5.0, checkpoint=1.3),
    failures=(("HTTP 400 invalid_request_error", 2), ("no field " + "x" * 80, 1)),
    held_back="the provider's rate limit",
    output="/data/products.xlsx",
)


def banner(plan: PlanSummary = PLAN, job: BatchJob = JOB) -> str:
    log = Path(".penstock/logs/product-metafields.log")
    return "\n".join(banner_lines(job, plan, "1-64 calls in flight", log, UNICODE, 80))


def summary(progress: Progress, command: str | None = None) -> str:
    return "\n".join(summary_lines(progress, UNICODE, 80, command))


def test_the_banner_says_what_will_be_done_and_why() -> None:
    rule = "─" * 60
    assert (
        banner()
        == f"""\
{rule}
product-metafields · 201 items · run 2
{rule}
  to do        198: 190 new, 5 changed, 3 failed before
  skipped      3: done before, unchanged
  processor    openai chat gpt-5-nano at https://api.openai.com/v1
  concurrency  1-64 calls in flight
  log          .penstock/logs/product-metafields.log"""
    )


def test_the_banner_of_a_resumed_run_says_what_is_left() -> None:
    text = banner(replace(PLAN, new=80, changed=0, failed_before=0, resumed=True, run=7))
    assert "goes on with run 7" in text
    assert "80 left, 118 done before the interruption" in text


def test_the_banner_counts_records_that_cannot_be_read() -> None:
    assert "2, kept in their place as failed" in banner(replace(PLAN, bad=2))


def test_with_nothing_to_do_the_banner_says_so() -> None:
    text = banner(replace(PLAN, new=0, changed=0, failed_before=0, unchanged=201))
    assert "nothing" in text
    assert "201: done before, unchanged" in text


def test_the_banner_names_the_table_that_has_some_already() -> None:
    table = {"postgres": {"table": "t", "skipWhere": "embedding IS NOT NULL"}}
    spec = JOB.spec.model_copy(update={"output": Output.model_validate(table)})
    text = banner(job=JOB.model_copy(update={"spec": spec}))
    assert "3: done before, unchanged, or in the table already" in text


@pytest.mark.parametrize(
    ("existing", "words"), [("force", "every item runs"), ("skipByID", "done before (by ID)")]
)
def test_the_banner_says_how_items_are_skipped(existing: str, words: str) -> None:
    spec = JOB.spec.model_copy(update={"existing": existing})
    assert words in banner(job=JOB.model_copy(update={"spec": spec}))


@pytest.mark.parametrize(
    ("processor", "phrase"),
    [
        (
            {"http": {"url": "https://user:pw@host/tag?key=secret"}},
            "http POST https://host/tag",
        ),
        ({"ollama": {"model": "nomic", "input": "x"}}, "ollama embeddings nomic at"),
        ({"python": {"entrypoint": "jobs.clean:run"}}, "python jobs.clean:run (async)"),
    ],
)
def test_a_processor_is_named_without_its_secrets(processor: object, phrase: str) -> None:
    text = processor_phrase(Processor.model_validate(processor))
    assert text.startswith(phrase)
    assert "pw" not in text
    assert "secret" not in text


def test_the_summary_tells_everything() -> None:
    rule = "─" * 60
    assert (
        summary(DONE)
        == f"""\
{rule}
product-metafields · complete, 3 items failed
{rule}
  total          201
  succeeded    ✓ 195
  skipped      ⊘   3
  failed       ✗   3
                   2  HTTP 400 invalid_request_error
                   1  no field {"x" * 48}…
  elapsed      59s, 3.28 items/s
  requests     1,230, of them 429: 12 (1.0%); retries: 29
  tokens       120,330 in, 30,200 out
  cost         0.1032
  time         provider 83.7%, gate 10.0%, CPU 5.0%, checkpoints 1.3%
  held back    the provider's rate limit
  output       /data/products.xlsx"""
    )
    assert max(map(len, summary(DONE).splitlines())) <= 80


def test_what_held_it_back_is_told_in_full() -> None:
    knee = "knee at 6: more calls at once make the far side slower (8: by 3.1 %)"
    lines = summary(replace(DONE, held_back=knee)).splitlines()
    first = next(n for n, line in enumerate(lines) if "held back" in line)
    assert lines[first : first + 2] == [
        "  held back    knee at 6: more calls at once make the far side slower (8: by 3.1",
        "               %)",
    ]
    assert max(map(len, lines)) <= 80


def test_failures_beyond_those_shown_are_counted() -> None:
    text = summary(replace(DONE, failed=5_000))
    assert "4,997  for other reasons" in text


def test_the_summary_fits_ascii_terminals() -> None:
    text = "\n".join(summary_lines(DONE, ASCII, 80))
    assert text.isascii()
    assert "fail   3" in text


def test_an_interrupted_run_is_told_how_it_goes_on() -> None:
    text = summary(RUNNING, "penstock run job.yaml")
    assert "product-metafields · interrupted at 50 of 201" in text
    assert "  pending        151" in text
    assert "ETA" not in text
    assert text.endswith("What was checkpointed is kept. This goes on:\n  penstock run job.yaml")


def test_a_paused_run_says_why_and_how_it_goes_on() -> None:
    paused = replace(RUNNING, phase="Paused", reason="QuotaSpent", message="no credit left")
    text = summary(paused, "penstock run job.yaml")
    assert "paused at 50 of 201" in text
    assert "Paused: QuotaSpent: no credit left" in text
    assert text.endswith("  penstock run job.yaml")


def test_a_suspended_run_names_resume() -> None:
    assert summary(replace(RUNNING, phase="Suspended")).endswith(
        "penstock resume product-metafields"
    )


def test_status_of_a_run_under_way_calls_nothing_interrupted() -> None:
    text = summary(RUNNING)
    assert "product-metafields · running, 50 of 201 done" in text
    assert "ETA 45s" in text


def test_results_without_an_output_are_pointed_to() -> None:
    assert "penstock results product-metafields -o FILE" in summary(replace(DONE, output=None))


def test_the_final_line_of_quiet() -> None:
    assert final_line(DONE, UNICODE) == (
        "product-metafields · complete, 3 items failed: 195 succeeded, 3 skipped, 3 failed "
        "in 59s (3.28 items/s), /data/products.xlsx"
    )
    failed = replace(DONE, phase="Failed", reason="TooManyFailures", message="3 of 201")
    assert "TooManyFailures: 3 of 201" in final_line(failed, UNICODE)


def test_the_json_answer_has_exactly_the_promised_keys() -> None:
    assert answer(DONE) == {
        "name": "product-metafields",
        "phase": "Complete",
        "total": 201,
        "succeeded": 195,
        "skipped": 3,
        "failed": 3,
        "seconds": 59.4,
        "itemsPerSecond": 3.283,
        "requests": 1230,
        "throttled": 12,
        "retries": 29,
        "promptTokens": 120_330,
        "completionTokens": 30_200,
        "cost": 0.10324,
        "output": "/data/products.xlsx",
    }
    assert answer(replace(DONE, seconds=0.0))["itemsPerSecond"] == 0.0


def test_a_progress_line_says_it_all() -> None:
    assert progress_line(RUNNING, UNICODE) == (
        "[product-metafields] 50/201 (24.9%) ✓48 ⊘0 ✗2 | 3.40 items/s | 429 10.0% "
        "| in flight 12/16 | ETA 45s"
    )
    assert progress_line(replace(RUNNING, phase="Exporting"), UNICODE).endswith("| exporting")


def test_lines_come_after_two_seconds_and_then_every_five() -> None:
    pace = Pace(now=100.0)
    due = [now for now in range(100, 120) if pace.due(float(now))]
    assert due == [102, 107, 112, 117]


def test_all_jobs_stand_in_columns() -> None:
    assert table_lines([replace(RUNNING, name="a"), replace(DONE, name="long")]) == [
        "NAME  PHASE           PROGRESS  SUCCEEDED  SKIPPED  FAILED    RATE    429  ETA",
        "a     Running     50/201 24.9%         48        0       2  3.40/s  10.0%  45s",
        "long  Complete  201/201 100.0%        195        3       3       -   1.0%    -",
    ]
