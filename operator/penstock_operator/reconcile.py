"""What is to be done about one BatchJob, from what is seen of it at one moment. Pure.

Nothing is remembered between two decisions and none relies on the one before it: whatever order
things are seen in, and however often, the job comes to the same end. Every action leads to a state
in which it is not asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator

from penstock.spec.job import BatchJob
from penstock.spec.tolerance import REASON as TOO_MANY_FAILED
from penstock.store.runs import INVALID_INPUT, OPEN_PHASES
from penstock_operator import edits, status
from penstock_operator.actions import (
    Action,
    BeginExport,
    CloseRun,
    CreateJob,
    Decision,
    DeleteBatchJob,
    DeleteJob,
    EditRun,
    OpenRun,
    PatchJob,
    SetRunPhase,
)
from penstock_operator.builders.merge import template_code
from penstock_operator.observed import JobSeen, Observed, Role, RunSeen, UnreadRun
from penstock_operator.refusal import raised, refusal

DEADLINE_EXCEEDED = "DeadlineExceeded"
SUPERSEDED = "Superseded"
PLAN_FAILED, WORK_FAILED, EXPORT_FAILED = "PlanFailed", "WorkerFailed", "ExportFailed"

LINGER = 30.0
"""Seconds that the Jobs of a run have to come to their own end once it is over."""
EXPORT_WITHIN = 1800.0
"""Seconds after the end in which the results of a run that failed are written. Less than ended Jobs
are kept: one that could not write them is not made again and again."""
QUEUE = "kueue.x-k8s.io/queue-name"
BAD_CONFIGURATION = "PodFailurePolicy"
"""Why Kubernetes says that a Job failed when one of its pods ended with exit code 2."""


def decide(seen: Observed) -> Decision:
    """What to do now, what to tell, and when to look again."""
    if seen.deleting or seen.managed_elsewhere:
        return Decision()
    actions = tuple(_actions(seen))
    told, notices = status.tell(seen, refusal(seen))
    return Decision(actions, told, notices, _again(seen, actions))


def parallelism(job: BatchJob, shards: int) -> int:
    """Pods to begin with: as many as the job may have, but none without a shard of its own."""
    scaling = job.spec.scaling
    return max(scaling.min_parallelism, min(scaling.max_parallelism, shards))


def _actions(seen: Observed) -> Iterator[Action]:
    if seen.database:
        return
    run, job = seen.run or seen.unread, seen.job
    if run is None or not run.mine:
        yield from _begin(seen)
        return
    yield from _leftovers(seen, run)
    if isinstance(run, UnreadRun):
        yield from _instead(seen, run)
    elif run.ended:
        yield from _after(seen, run)
    elif job is not None and raised(job, run):
        yield _superseded(run)
    else:
        yield from _edit(job, run)
        yield from _go_on(seen, run)


def _instead(seen: Observed, run: UnreadRun) -> Iterator[Action]:
    """Nothing can be done with a run that cannot be read but to begin another in its place."""
    if seen.job is not None and raised(seen.job, run):
        if run.ended:
            yield _open(seen.job, seen.job.spec.existing, run.number)
        else:
            yield _superseded(run)
    elif run.ended:
        yield from _expire(seen, run)


def _begin(seen: Observed) -> Iterator[Action]:
    """There is no run of this BatchJob: the first one, after what stands in its way."""
    run, job = seen.run or seen.unread, seen.job
    if run is None and seen.lost:
        for old in seen.jobs:  # they name runs that may be others' now
            if not old.ended and not old.deleting:
                yield DeleteJob(old.name)
    elif job is None or (run is not None and run.foreign and not raised(job, run)):
        return
    elif run is not None and not run.ended:
        yield _end(run, SUPERSEDED, "its BatchJob was deleted")
    else:
        yield _open(job, job.spec.existing, run.number if run else seen.last_run)


def _open(job: BatchJob, existing: str, last: int) -> OpenRun:
    return OpenRun(last + 1, edits.as_stored(job), existing)


def _superseded(run: RunSeen | UnreadRun) -> SetRunPhase:
    return _end(run, SUPERSEDED, "spec.rerun was raised: a newer run takes its place")


def _end(run: RunSeen | UnreadRun, reason: str, message: str) -> SetRunPhase:
    return SetRunPhase(run.id, "Failed", OPEN_PHASES, reason, message)


def _leftovers(seen: Observed, run: RunSeen | UnreadRun) -> Iterator[Action]:
    """Jobs that nobody needs and that would not end by themselves."""
    over = run.finished is not None and seen.now - run.finished > LINGER
    for job in seen.jobs:
        wanted = job.run == run.number and (job.role == "export" or not over)
        if not wanted and not job.ended and not job.deleting:
            yield DeleteJob(job.name)


def _after(seen: Observed, run: RunSeen) -> Iterator[Action]:
    """The run is over: results of a failed one, the next run, the end of the BatchJob."""
    job = seen.job
    if job is not None:
        if (manifest := edits.afterwards(job, run.manifest)) is not None:
            yield EditRun(run.id, manifest)
        changed = edits.refused(job, run.manifest)
        corrected = run.reason == INVALID_INPUT and changed
        if raised(job, run) or corrected:
            yield _open(job, job.spec.existing, run.number)
            return
        redrive = job.spec.redrive > run.manifest.spec.redrive
        if redrive and not changed and run.progress.failed:
            yield _open(job, "redrive", run.number)
            return
    if _unwritten(run, seen.now):
        work = _job(seen, run, "work")
        if work is not None and not work.ended:
            return  # its pods still write what they were at
        export = _job(seen, run, "export")
        if export is None:
            yield CreateJob("export", run.number, run.id, run.manifest)
        if export is None or not export.ended:
            return
    yield from _expire(seen, run)


def _expire(seen: Observed, run: RunSeen | UnreadRun) -> Iterator[Action]:
    """The end of the BatchJob itself."""
    ttl = seen.job.spec.ttl_seconds_after_finished if seen.job is not None else None
    if ttl is not None and run.finished is not None and seen.now - run.finished >= ttl:
        yield DeleteBatchJob()


def _unwritten(run: RunSeen, now: float) -> bool:
    """Whether a run that was stopped early has results that are still to be written."""
    stopped = run.phase == "Failed" and run.reason in (TOO_MANY_FAILED, DEADLINE_EXCEEDED)
    planned = run.progress.total > 0
    lately = run.finished is not None and now - run.finished < EXPORT_WITHIN
    return stopped and planned and _writes(run) and not run.output and lately


def _writes(run: RunSeen) -> bool:
    return run.manifest.spec.output is not None


def _edit(job: BatchJob | None, run: RunSeen) -> Iterator[Action]:
    if job is None:
        return
    refused = edits.refused(job, run.manifest)
    manifest = (edits.afterwards if refused else edits.taken_up)(job, run.manifest)
    if manifest is not None:
        # Whoever edits a paused job has seen to what it was paused for.
        yield EditRun(run.id, manifest, resume=run.phase == "Paused" and not refused)


def _go_on(seen: Observed, run: RunSeen) -> Iterator[Action]:
    working = run.phase == "Planning" or (run.phase == "Running" and run.shards > 0)
    if working and (deadline := _missed(run)):
        message = f"it took longer than activeDeadlineSeconds, {deadline:,} s"
        yield SetRunPhase(run.id, "Failed", (run.phase,), DEADLINE_EXCEEDED, message)
        return
    suspend = seen.job.spec.suspend if seen.job is not None else run.phase == "Suspended"
    if run.phase == "Planning":
        yield from _plan(seen, run, suspend)
    elif run.phase == "Exporting":
        yield from _export(seen, run)
    elif not run.shards:
        yield BeginExport(run.id)
    else:
        yield from _work(seen, run, suspend)


def _plan(seen: Observed, run: RunSeen, suspend: bool) -> Iterator[Action]:
    job = _job(seen, run, "plan")
    if job is None:
        queued = suspend or _queued(run)
        yield CreateJob("plan", run.number, run.id, run.manifest, suspend=queued)
    elif job.deleting:
        return
    elif job.ended == "Failed":
        yield _end(run, PLAN_FAILED, _why(seen, job))
    elif job.ended == "Complete":
        yield DeleteJob(job.name)  # and still not planned: another one, unless this look was late
    elif _outdated(job, run):
        yield DeleteJob(job.name)
    elif job.suspended != suspend and not (job.suspended and _queued(run)):
        yield PatchJob(job.name, suspend=suspend)


def _missed(run: RunSeen) -> int | None:
    """The deadline that a run has missed; None when it has none, or time left."""
    deadline = run.manifest.spec.active_deadline_seconds
    return deadline if deadline is not None and run.seconds > deadline else None


def _work(seen: Observed, run: RunSeen, suspend: bool) -> Iterator[Action]:
    if suspend and run.phase != "Suspended":
        since = ("Running", "Paused")
        yield SetRunPhase(run.id, "Suspended", since, "Suspended", "spec.suspend is true")
    elif not suspend and run.phase == "Suspended":
        yield SetRunPhase(run.id, "Running", ("Suspended",))
    stopped = suspend or run.phase == "Paused"
    yield from _workers(seen, run, stopped)


def _workers(seen: Observed, run: RunSeen, stopped: bool) -> Iterator[Action]:
    job = _job(seen, run, "work")
    wanted = parallelism(run.manifest, run.shards)
    if job is None:
        if not stopped:
            queued = _queued(run)
            yield CreateJob(
                "work", run.number, run.id, run.manifest, parallelism=wanted, suspend=queued
            )
    elif job.deleting:
        return
    elif job.ended == "Failed" and job.reason == BAD_CONFIGURATION:
        yield _end(run, WORK_FAILED, _why(seen, job))
    elif job.ended or _outdated(job, run) or _given_up(seen, job):
        yield DeleteJob(job.name)  # with work left: a fresh one, with fresh back-off
    elif job.suspended and _queued(run):
        return  # whoever admits it lets it go on
    elif job.suspended != stopped:
        yield PatchJob(job.name, suspend=stopped)
    elif 0 < job.completions < wanted:
        yield DeleteJob(job.name)  # it has no slots for so many pods
    elif not stopped:
        # Towards the end there are fewer shards than pods; those that run are left alone.
        most = run.manifest.spec.scaling.max_parallelism
        if job.parallelism < wanted or job.parallelism > most:
            yield PatchJob(job.name, parallelism=wanted)


def _queued(run: RunSeen) -> bool:
    """Whether Kueue decides when its Jobs run: they begin suspended, and it lets them go on."""
    return QUEUE in run.manifest.metadata.labels


def _outdated(job: JobSeen, run: RunSeen) -> bool:
    """Whether spec.template was edited since: the pods of a Job stay as they were, so what was
    mended for them takes a fresh one."""
    return bool(job.template) and job.template != template_code(run.manifest.spec.template)


def _given_up(seen: Observed, job: JobSeen) -> bool:
    """Whether no pod of a work Job works, and one that was deleted waits for its successor.

    With a back-off limit for each index, Kubernetes keeps such a pod until its successor is made.
    In a namespace that is being deleted none may be made, so the two would wait for each other.
    """
    if job.active:
        return False
    pods = (pod for pod in seen.pods if (pod.role, pod.run) == (job.role, job.run))
    return any(pod.held > LINGER for pod in pods)


def _export(seen: Observed, run: RunSeen) -> Iterator[Action]:
    if not _writes(run):
        yield CloseRun(run.id)
        return
    job = _job(seen, run, "export")
    if job is None:
        yield CreateJob("export", run.number, run.id, run.manifest)
    elif job.deleting:
        return
    elif job.ended == "Failed":
        yield _end(run, EXPORT_FAILED, _why(seen, job))
    elif job.ended == "Complete" or _outdated(job, run):
        yield DeleteJob(job.name)


def _job(seen: Observed, run: RunSeen, role: Role) -> JobSeen | None:
    """The Job of a role; one that is being deleted still has its name, so nothing follows yet."""
    found = [job for job in seen.jobs if job.run == run.number and job.role == role]
    return found[0] if found else None


def _why(seen: Observed, job: JobSeen) -> str:
    told = [
        pod.problem.message
        for pod in seen.pods
        if pod.problem is not None and (pod.role, pod.run) == (job.role, job.run)
    ]
    return told[-1] if told else job.message


def _again(seen: Observed, actions: tuple[Action, ...]) -> float | None:
    run = seen.run or seen.unread
    if seen.database or seen.refused:
        return 10.0
    if actions:
        return 1.0
    if run is None:
        return None if seen.job is None else 10.0
    if run.ended:
        return _until_over(seen, run)
    if isinstance(run, UnreadRun):
        return 15.0
    return 15.0 if run.phase in ("Paused", "Suspended") else 3.0


def _until_over(seen: Observed, run: RunSeen | UnreadRun) -> float | None:
    """Seconds until a run that has ended needs something once more."""
    ttl = seen.job.spec.ttl_seconds_after_finished if seen.job is not None else None
    past = seen.now - run.finished if run.finished is not None else 0.0
    left = [LINGER - past, *([ttl - past] if ttl is not None else [])]
    coming = [seconds for seconds in left if seconds > -1.0]
    return max(min(coming) + 1.0, 1.0) if coming else None
