"""The block that a run opens with: what will be done, what is skipped and why. Pure."""

from __future__ import annotations

from pathlib import Path

from penstock.local.figures import Glyphs, count, items
from penstock.plan.summary import PlanSummary
from penstock.spec.job import BatchJob
from penstock.spec.processor import Processor

LABEL = 15
"""Columns of the label before each line of a block."""


def labelled(label: str, text: str) -> str:
    """One line of a block: two blanks, the label, the text."""
    return f"  {label:<{LABEL - 2}}{text}".rstrip()


def banner_lines(
    job: BatchJob, plan: PlanSummary, concurrency: str, log: Path, glyphs: Glyphs, width: int
) -> list[str]:
    """What a person wants to know before the first call. concurrency: a phrase."""
    title = f"{job.name} {glyphs.dot} {items(plan.total)}"
    if plan.resumed:
        title += f" {glyphs.dot} goes on with run {plan.run}"
    elif plan.run > 1:
        title += f" {glyphs.dot} run {plan.run}"
    lines = [
        glyphs.rule * min(width, 60),
        title,
        glyphs.rule * min(width, 60),
        labelled("to do", _to_do(plan)),
        labelled("skipped", _skipped(job, plan)),
    ]
    if plan.bad:
        lines.append(labelled("not tried", f"{count(plan.bad)}, kept in their place as failed"))
    lines += [
        labelled("processor", processor_phrase(job.spec.processor)),
        labelled("concurrency", concurrency),
        labelled("log", str(log)),
    ]
    return lines


def processor_phrase(processor: Processor) -> str:
    """`openai chat gpt-5-nano at https://api.openai.com/v1`: what is called, and where."""
    if processor.openai is not None:
        kind = processor.openai
        return f"openai {kind.operation} {kind.model} at {_address(kind.base_url)}"
    if processor.ollama is not None:
        local = processor.ollama
        operation = local.operation or ("chat" if local.messages else "embeddings")
        return f"ollama {operation} {local.model} at {_address(local.base_url)}"
    if processor.http is not None:
        return f"http {processor.http.method} {_address(processor.http.url)}"
    if processor.python is not None:
        return f"python {processor.python.entrypoint} ({processor.python.mode})"
    return " then ".join(stage.name for stage in processor.stages or ())


def _address(url: str) -> str:
    """Without user, password and query: keys travel there."""
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}".split("?", 1)[0]


def _to_do(plan: PlanSummary) -> str:
    if plan.resumed:
        left = plan.new + plan.changed + plan.failed_before
        before = plan.total - left - plan.unchanged - plan.bad
        return f"{count(left)} left, {count(before)} done before the interruption"
    reasons = [
        f"{count(number)} {name}"
        for number, name in (
            (plan.new, "new"),
            (plan.changed, "changed"),
            (plan.failed_before, "failed before"),
        )
        if number
    ]
    total = plan.new + plan.changed + plan.failed_before
    return f"{count(total)}: {', '.join(reasons)}" if reasons else "nothing"


def _skipped(job: BatchJob, plan: PlanSummary) -> str:
    if job.spec.existing == "force":
        return "0: every item runs, whatever was done before"
    why = "done before (by ID)" if job.spec.existing == "skipByID" else "done before, unchanged"
    output = job.spec.output
    if output is not None and output.postgres is not None and output.postgres.skip_where:
        why += ", or in the table already"
    return f"{count(plan.unchanged)}: {why}" if plan.unchanged else "0"


def concurrency_phrase(job: BatchJob, workers: int, cores: int) -> str:
    """How much is done at once, on a machine with so many cores."""
    bounds, python = job.spec.scaling.concurrency, job.spec.processor.python
    if python is not None and python.mode == "process":
        return f"{workers * min(max(1, cores // workers), bounds.max)} processes"
    calls = str(bounds.max) if bounds.min == bounds.max else f"{bounds.min}-{bounds.max}"
    each = f" in each of {workers} workers" if workers > 1 else ""
    return f"{calls} calls in flight{each}"
