"""What people are told of a BatchJob: its status, and an Event for what has just changed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from penstock.store.progress import Progress
from penstock.store.runs import ENDED_PHASES
from penstock_operator.actions import Notice
from penstock_operator.conditions import CHANGES, UNREMARKABLE, conditions, suspended
from penstock_operator.crd.status import (
    LONGEST_MESSAGE,
    MOST_REASONS,
    BatchJobStatus,
    Condition,
    FailureCount,
    ItemCounts,
    Phase,
    Throttling,
    Throughput,
    Usage,
)
from penstock_operator.observed import Observed, RunSeen

JITTER = 2.0
"""Seconds by which the working time of a run may seem to be off: a look takes its time."""
NOBODY = "no worker pod is at work"


def tell(seen: Observed, refusal: str) -> tuple[BatchJobStatus, tuple[Notice, ...]]:
    """The status as it should be, and what to announce. refusal: why the manifest as it stands is
    not what the job does."""
    before = _before(seen)
    run = seen.run if seen.run is not None and seen.run.mine else None
    if run is not None:
        status = _of_run(run, seen.now)
        status = status.model_copy(update=_active(run, seen.now, before))
    else:  # what was known of the run stays while nothing better is known
        status = before if seen.database or before.current_run else BatchJobStatus()
    told = conditions(seen, run, refusal, before.conditions or [])
    after = status.model_copy(
        update={
            "observed_generation": _observed(seen, run, before),
            "phase": _phase(seen, run, before),
            "conditions": told,
            "message": _message(run, told)[:LONGEST_MESSAGE],
        }
    )
    return after, tuple(_notices(before, after))


def _observed(seen: Observed, run: RunSeen | None, before: BatchJobStatus) -> int | None:
    """An edit that asks for a new run of one that is lost counts as seen when there is that run."""
    return (
        seen.generation if run is not None or not before.current_run else before.observed_generation
    )


def _before(seen: Observed) -> BatchJobStatus:
    try:
        return BatchJobStatus.model_validate(dict(seen.status), strict=False)
    except ValidationError:  # written by another version
        return BatchJobStatus()


def _phase(seen: Observed, run: RunSeen | None, before: BatchJobStatus) -> Phase:
    if run is not None:
        phase: Any = "Suspended" if suspended(seen, run) else run.phase
        return phase  # type: ignore[no-any-return]
    if seen.database or seen.unread is not None or before.phase in ENDED_PHASES:
        return before.phase or "Pending"
    return "Failed" if seen.job is None else "Pending"


def _of_run(run: RunSeen, now: float) -> BatchJobStatus:
    progress = run.progress
    running = run.phase == "Running"
    eta = progress.eta_seconds if running else None
    return BatchJobStatus(
        current_run=run.number,
        start_time=_time(run.started),
        completion_time=_time(run.finished) if run.finished is not None else None,
        estimated_completion_time=_time(now + eta) if eta is not None else None,
        progress=_percent(progress),
        rate=f"{progress.items_per_second:.1f}/s" if running else None,
        throttled=f"{100 * progress.throttled_share:.1f}%" if running else None,
        eta=_duration(eta) if eta is not None else None,
        item_counts=ItemCounts(
            total=progress.total,
            skipped=progress.skipped,
            pending=max(0, progress.pending - progress.in_flight),
            running=min(progress.in_flight, progress.pending),
            succeeded=progress.succeeded,
            failed=progress.failed,
        ),
        failures=[
            FailureCount(reason=reason, count=count)
            for reason, count in progress.failures[:MOST_REASONS]
        ]
        or None,
        throughput=_throughput(progress) if running else None,
        throttling=_throttling(progress, running=running),
        usage=Usage(
            requests=progress.requests,
            throttled=progress.throttled,
            retries=progress.retries,
            prompt_tokens=progress.prompt_tokens,
            completion_tokens=progress.completion_tokens,
            cost=progress.cost,
        ),
    )


def _active(run: RunSeen, now: float, before: BatchJobStatus) -> dict[str, Any]:
    """How long it has been at work. As a moment while that grows: the status of a run in which
    nothing else changes then stays as it is."""
    if not run.working:
        return {"active_seconds": round(run.seconds, 1)}
    since = now - run.seconds
    told = before.active_since if before.current_run == run.number else None
    steady = told is not None and abs(told.timestamp() - since) < JITTER
    return {"active_since": told if steady else _time(since)}


def _throughput(progress: Progress) -> Throughput:
    return Throughput(
        items_per_second=round(progress.items_per_second, 1),
        requests_per_second=round(progress.requests_per_second, 1),
    )


def _throttling(progress: Progress, *, running: bool) -> Throttling | None:
    """Of late while it runs, of the whole run otherwise; None where there was no call yet."""
    if running:
        return Throttling(
            ratio=round(min(1.0, max(0.0, progress.throttled_share)), 4),
            effective_requests_per_minute=round(60 * progress.requests_per_second, 1),
            effective_concurrency=progress.concurrency,
            parallelism=progress.workers,
            reason=(progress.held_back or None) if progress.workers else NOBODY,
            source="postgres",
        )
    if not progress.requests:
        return None
    return Throttling(
        ratio=round(min(1.0, progress.throttled / progress.requests), 4),
        reason=progress.held_back or None,
        source="postgres",
    )


def _percent(progress: Progress) -> str | None:
    """Rounded down: 100 % is when all is done."""
    if not progress.total:
        return None
    return f"{100 * progress.done // progress.total}%"


def _duration(seconds: float) -> str:
    """As `kubectl get` shows ages: 45s, 12m, 3h, 2d."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{round(seconds / size)}{unit}"
    return f"{max(1, round(seconds))}s"


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _message(run: RunSeen | None, conditions: Sequence[Condition]) -> str:
    told = {condition.type: condition for condition in conditions}
    for name in ("Accepted", "Progressing"):
        condition = told.get(name)
        if condition is not None and condition.status == "False" and condition.message:
            return condition.message
    if run is None:
        return "waiting to be planned"
    if run.message:
        return run.message
    progress = run.progress
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    return f"run {run.number}: {progress.done:,} of {progress.total:,} items done{failed}"


def _notices(before: BatchJobStatus, after: BatchJobStatus) -> list[Notice]:
    """One for every condition that changed, and for the beginning of a phase that has none."""
    known = {condition.type: condition for condition in before.conditions or []}
    told = []
    for condition in after.conditions or []:
        was = known.get(condition.type)
        if was is not None and (was.status, was.reason) == (condition.status, condition.reason):
            continue
        if (condition.type, condition.reason) in UNREMARKABLE:
            continue
        if (kind := CHANGES.get((condition.type, condition.status))) is not None:
            told.append(Notice(kind, condition.reason, condition.message))
    if after.phase == "Running" and before.phase in (None, "Pending", "Planning"):
        told.append(Notice("Normal", "Started", after.message or "the workers may start"))
    return told
