"""The conditions of a BatchJob: what is true of it, since when and why. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from penstock.store.runs import INVALID_INPUT
from penstock_operator.crd.status import LONGEST_MESSAGE, Condition, ConditionType
from penstock_operator.observed import Observed, Problem, RunSeen

PATIENCE = 60.0
"""Seconds that the pods of a Job may take to be made. A Job may back off for longer when its pods
end, so pods that ended count as made."""
LONGEST_REASON = 64
RUN_UNREADABLE = "RunUnreadable"
MUCH = 0.02
"""Share of throttled calls from which a job counts as throttled."""

_Told = tuple[ConditionType, bool, str, str]
"""Type, whether it is so, reason, message."""

CHANGES: Mapping[tuple[str, str], Literal["Normal", "Warning"]] = {
    ("Accepted", "False"): "Warning",
    ("Progressing", "False"): "Warning",
    ("Planned", "True"): "Normal",
    ("Suspended", "True"): "Normal",
    ("Suspended", "False"): "Normal",
    ("BudgetExceeded", "True"): "Warning",
    ("Complete", "True"): "Normal",
    ("Failed", "True"): "Warning",
}
"""Which changes of a condition are worth an Event, and of which type."""

UNREMARKABLE = frozenset({("Progressing", "Finished"), ("Progressing", "Suspended")})
"""Changes that another condition tells already."""


def conditions(
    seen: Observed, run: RunSeen | None, refusal: str, before: Sequence[Condition]
) -> list[Condition]:
    """All that apply. One that no longer applies is gone; Suspended, Throttled and BudgetExceeded
    stay, as False, once they were told. before: those that were told last."""
    known: dict[str, Condition] = {condition.type: condition for condition in before}
    told = []
    for kind, so, reason, message in _told(seen, run, refusal, known):
        status: Literal["True", "False"] = "True" if so else "False"
        was = known.get(kind)
        now = datetime.fromtimestamp(seen.now, UTC)
        since = was.last_transition_time if was is not None and was.status == status else now
        told.append(
            Condition(
                type=kind,
                status=status,
                reason=in_one_word(reason),
                message=message[:LONGEST_MESSAGE],
                last_transition_time=since,
                observed_generation=seen.generation,
            )
        )
    return told


def _told(
    seen: Observed, run: RunSeen | None, refusal: str, known: Mapping[str, Condition]
) -> Iterator[_Told]:
    yield _accepted(seen, refusal)
    yield _progressing(seen, run)
    if run is None:
        known_before = seen.database or "currentRun" in seen.status
        if seen.job is None and not known_before:
            yield "Failed", True, "InvalidManifest", _mistakes(seen)
        if known_before:  # what was known stays until the database says otherwise
            for name in ("Planned", "Suspended", "Complete", "Failed"):
                if (was := known.get(name)) is not None:
                    yield was.type, was.status == "True", was.reason, was.message
        return
    yield _planned(run)
    stopped = suspended(seen, run)
    if stopped or "Suspended" in known:
        text = run.message or "spec.suspend is true" if stopped else "it goes on"
        yield "Suspended", stopped, "Suspended" if stopped else "Resumed", text
    share = run.progress.throttled_share
    throttled = run.phase == "Running" and share > MUCH
    if throttled or "Throttled" in known:
        text = f"{100 * share:.0f}% of the calls are throttled" if throttled else ""
        yield "Throttled", throttled, "TooManyRequests" if throttled else "NotThrottled", text
    over = run.phase == "Paused" and run.reason == "BudgetExceeded"
    if over or "BudgetExceeded" in known:
        yield "BudgetExceeded", over, "BudgetExceeded" if over else "WithinBudget", run.message
    if run.ended:
        kind: ConditionType = "Complete" if run.phase == "Complete" else "Failed"
        yield kind, True, run.reason or kind, _ending(run)


def suspended(seen: Observed, run: RunSeen) -> bool:
    """Whether the job is stopped because somebody asked for it, also while it is planned."""
    asked = seen.job is not None and seen.job.spec.suspend
    return run.phase == "Suspended" or (run.phase == "Planning" and asked)


def in_one_word(reason: str) -> str:
    """A reason as conditions take it: `HTTP 401 invalid_api_key` becomes HTTP401InvalidApiKey."""
    words = re.findall(r"[A-Za-z0-9]+", reason)
    word = "".join(one[0].upper() + one[1:] for one in words)[:LONGEST_REASON]
    return word if word and not word[0].isdigit() else f"Reason{word}"


def _accepted(seen: Observed, refusal: str) -> _Told:
    if seen.job is None:
        return "Accepted", False, "InvalidManifest", _mistakes(seen)
    if seen.refused:
        return "Accepted", False, "ResultSetInUse", seen.refused
    if refusal:
        return "Accepted", False, _why_refused(seen), refusal
    return "Accepted", True, "Accepted", ""


def _why_refused(seen: Observed) -> str:
    run = seen.run or seen.unread
    if run is None:
        return "RunsLost"
    if run.foreign:
        return "NameInUse"
    return "EditRefused" if run is seen.run else RUN_UNREADABLE


def _mistakes(seen: Observed) -> str:
    return "\n".join(str(mistake) for mistake in seen.mistakes)


def _progressing(seen: Observed, run: RunSeen | None) -> _Told:
    if seen.database:
        text = f"{seen.database}; workers wait and go on by themselves once it is back"
        return "Progressing", False, "DatabaseAway", text
    if seen.stuck is not None:
        return "Progressing", False, seen.stuck.reason, seen.stuck.message
    if seen.unread is not None and seen.unread.mine:
        if seen.unread.ended:
            return "Progressing", False, "Finished", ""
        return "Progressing", False, RUN_UNREADABLE, seen.unread.why
    if run is not None:
        if run.ended:
            return "Progressing", False, "Finished", ""
        if suspended(seen, run):
            return "Progressing", False, "Suspended", run.message or "spec.suspend is true"
        if run.phase == "Paused":
            return "Progressing", False, run.reason or run.phase, run.message
        problem = _problem(seen, run)
        if problem is not None:
            return "Progressing", False, problem.reason, problem.message
    elif seen.job is None:
        return "Progressing", False, "InvalidManifest", ""
    return "Progressing", True, run.phase if run is not None else "Pending", ""


def _problem(seen: Observed, run: RunSeen) -> Problem | None:
    """What keeps pods of this run from starting, unless others of their role do work."""
    pods = [pod for pod in seen.pods if pod.run == run.number]
    working = {pod.role for pod in pods if pod.ready}
    stuck = [pod.problem for pod in pods if pod.problem and pod.role not in working]
    return stuck[0] if stuck else _no_pods(seen, run)


def _no_pods(seen: Observed, run: RunSeen) -> Problem | None:
    """A Job whose pods are never made: why, only Events of the Job say."""
    for job in seen.jobs:
        made = job.active or any((pod.role, pod.run) == (job.role, job.run) for pod in seen.pods)
        asks = not (job.suspended or job.ended or job.deleting) and job.parallelism > 0
        if job.run == run.number and asks and not made and seen.now - job.created > PATIENCE:
            return Problem(
                "PodsNotCreated",
                f"Kubernetes makes no pods for the Job {job.name} (a quota, Pod Security or a"
                f" missing service account?); it says why in: kubectl describe job {job.name}"
                f" -n {seen.namespace}",
            )
    return None


def _planned(run: RunSeen) -> _Told:
    if run.phase == "Planning":
        return "Planned", False, "Planning", "the items are being read"
    if run.phase == "Failed" and not run.progress.total:
        return "Planned", False, run.reason or "Failed", run.message
    return "Planned", True, "Planned", f"{run.progress.total:,} items"


def _ending(run: RunSeen) -> str:
    if run.reason == INVALID_INPUT:
        again = run.manifest.spec.rerun + 1
        return f"{run.message}\nOnce that is mended, raise spec.rerun to {again}"
    return run.message or _summary(run)


def _summary(run: RunSeen) -> str:
    counts = run.progress
    return f"{counts.succeeded:,} succeeded, {counts.skipped:,} skipped, {counts.failed:,} failed"
