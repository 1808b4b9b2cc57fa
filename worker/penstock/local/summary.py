"""The block that a run ends with, and what `status` shows of one under way. Pure."""

from __future__ import annotations

import textwrap

from penstock.local.banner import LABEL, labelled
from penstock.local.figures import (
    Glyphs,
    cost,
    count,
    duration,
    eta,
    items,
    part,
    rate,
    share,
    shortened,
)
from penstock.store.progress import Progress, TimeSplit

SHOWN_FAILURES = 10


def summary_lines(
    progress: Progress, glyphs: Glyphs, width: int, command: str | None = None, where: str = ""
) -> list[str]:
    """Everything a run came to, or how it stands.

    command: what makes it go on; given when nobody works on it any more, so that a run that is not
    over was interrupted. None: it may well be under way. where: options that commands about the job
    need, ` --cluster` say.
    """
    rule = glyphs.rule * min(width, 60)
    stopped = command is not None
    lines = [rule, headline(progress, glyphs, stopped=stopped), rule]
    lines += _counts(progress, glyphs, width)
    lines.append(labelled("elapsed", _elapsed(progress, stopped=stopped)))
    lines.append(labelled("requests", _requests(progress)))
    if progress.prompt_tokens or progress.completion_tokens:
        tokens = f"{count(progress.prompt_tokens)} in, {count(progress.completion_tokens)} out"
        lines.append(labelled("tokens", tokens))
    if progress.cost is not None:
        lines.append(labelled("cost", cost(progress.cost)))
    split = time_shares(progress.time)
    if split:
        lines.append(labelled("time", split))
    if progress.held_back:
        lines += _wrapped("held back", progress.held_back, width)
    if progress.output:
        lines.append(labelled("output", progress.output))
    elif progress.phase == "Complete":
        lines.append(labelled("results", f"penstock results {progress.name}{where} -o FILE"))
    lines += what_next(progress, command, where)
    return lines


def headline(progress: Progress, glyphs: Glyphs, *, stopped: bool) -> str:
    """`product-metafields · complete, 3 items failed`. stopped: nobody works on it any more."""
    return f"{progress.name} {glyphs.dot} {_outcome(progress, stopped)}"


def _outcome(progress: Progress, stopped: bool) -> str:
    match progress.phase:
        case "Complete" if progress.failed:
            return f"complete, {items(progress.failed)} failed"
        case "Complete":
            return "complete"
        case "Failed":
            return "failed"
        case "Paused" | "Suspended":
            return f"{progress.phase.lower()} at {_done(progress)}"
        case _ if stopped:
            return f"interrupted at {_done(progress)}"
        case _:
            return f"{progress.phase.lower()}, {_done(progress)} done"


def what_next(progress: Progress, command: str | None, where: str = "") -> list[str]:
    """What happened to a run that is not over, and what makes it go on."""
    lines = []
    if progress.phase in ("Paused", "Failed") and (progress.reason or progress.message):
        reason, message = progress.reason or "", progress.message or ""
        why = message if reason in message else ": ".join(filter(None, (reason, message)))
        lines.append(f"{'Paused' if progress.phase == 'Paused' else 'Failed'}: {why}")
    if progress.phase == "Suspended":
        lines.append("Suspended. What was done is kept. To go on:")
        lines.append(f"  penstock resume {progress.name}{where}")
    elif progress.phase == "Paused":
        lines.append("What was done is kept. Once that is put right, this goes on:")
        lines.append(f"  {command or 'penstock run JOB.yaml'}")
    elif command is not None and progress.phase not in ("Complete", "Failed"):
        lines.append("What was checkpointed is kept. This goes on:")
        lines.append(f"  {command}")
    return lines


def final_line(progress: Progress, glyphs: Glyphs) -> str:
    """All of it in one line, for `--quiet`."""
    line = (
        f"{headline(progress, glyphs, stopped=True)}: {count(progress.succeeded)} succeeded, "
        f"{count(progress.skipped)} skipped, {count(progress.failed)} failed "
        f"in {duration(progress.seconds)} ({rate(overall_rate(progress))} items/s)"
    )
    if progress.phase in ("Paused", "Failed"):
        line = ": ".join(filter(None, (line, progress.reason, progress.message)))
    return f"{line}, {progress.output}" if progress.output else line


def overall_rate(progress: Progress) -> float:
    """Succeeded items a second over the whole run; 0.0 before any time has passed."""
    return progress.succeeded / progress.seconds if progress.seconds > 0 else 0.0


def time_shares(time: TimeSplit) -> str:
    """`provider 83.7%, gate 10.0%, CPU 5.0%, checkpoints 1.3%`; empty when nothing was measured."""
    parts = (
        ("provider", time.provider),
        ("gate", time.gate),
        ("CPU", time.cpu),
        ("checkpoints", time.checkpoint),
    )
    total = sum(seconds for _, seconds in parts)
    if total <= 0:
        return ""
    return ", ".join(f"{name} {share(seconds / total)}" for name, seconds in parts)


def answer(progress: Progress) -> dict[str, object]:
    """The one object of `--json`."""
    return {
        "name": progress.name,
        "phase": progress.phase,
        "total": progress.total,
        "succeeded": progress.succeeded,
        "skipped": progress.skipped,
        "failed": progress.failed,
        "seconds": round(progress.seconds, 3),
        "itemsPerSecond": round(overall_rate(progress), 3),
        "requests": progress.requests,
        "throttled": progress.throttled,
        "retries": progress.retries,
        "promptTokens": progress.prompt_tokens,
        "completionTokens": progress.completion_tokens,
        "cost": progress.cost,
        "output": progress.output,
    }


def _wrapped(label: str, text: str, width: int) -> list[str]:
    """As many lines as it takes."""
    first, *rest = textwrap.wrap(text, max(20, width - LABEL))
    return [labelled(label, first), *(labelled("", line) for line in rest)]


def _done(progress: Progress) -> str:
    return f"{count(progress.done)} of {count(progress.total)}"


def _counts(progress: Progress, glyphs: Glyphs, width: int) -> list[str]:
    rows = [
        ("total", "", progress.total),
        ("succeeded", glyphs.succeeded, progress.succeeded),
        ("skipped", glyphs.skipped, progress.skipped),
        ("failed", glyphs.failed, progress.failed),
    ]
    if progress.pending:
        rows.append(("pending", "", progress.pending))
    signs = max(len(sign) for _, sign, _ in rows)
    digits = max(len(count(number)) for _, _, number in rows)
    lines = []
    for label, sign, number in rows:
        lines.append(labelled(label, f"{sign:<{signs}} {count(number):>{digits}}"))
        if label == "failed":
            lines += _failures(progress, glyphs, width, indent=LABEL + signs + 1, digits=digits)
    return lines


def _failures(
    progress: Progress, glyphs: Glyphs, width: int, *, indent: int, digits: int
) -> list[str]:
    shown = progress.failures[:SHOWN_FAILURES]
    lines = [
        f"{'':{indent}}{count(number):>{digits}}  "
        + shortened(reason, max(20, width - indent - digits - 2), glyphs)
        for reason, number in shown
    ]
    rest = progress.failed - sum(number for _, number in shown)
    if shown and rest > 0:
        lines.append(f"{'':{indent}}{count(rest):>{digits}}  for other reasons")
    return lines


def _elapsed(progress: Progress, *, stopped: bool) -> str:
    text = f"{duration(progress.seconds)}, {rate(overall_rate(progress))} items/s"
    if progress.phase == "Running" and progress.pending and not stopped:
        text += f", ETA {eta(progress.eta_seconds)}"
    return text


def _requests(progress: Progress) -> str:
    return (
        f"{count(progress.requests)}, of them 429: {count(progress.throttled)} "
        f"({part(progress.throttled, progress.requests)}); retries: {count(progress.retries)}"
    )
