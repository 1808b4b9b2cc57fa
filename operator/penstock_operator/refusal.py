"""Why a BatchJob as it stands is not what its run does, and what to do about that. Pure."""

from __future__ import annotations

from penstock.spec.job import BatchJob
from penstock_operator import edits
from penstock_operator.observed import Observed, RunSeen, UnreadRun


def refusal(seen: Observed) -> str:
    """Why the manifest as it stands now is not what the job does; empty when it is."""
    job, run = seen.job, seen.run or seen.unread
    if seen.lost:
        return (
            f"the database knows nothing of run {seen.last_run} of this job: it was emptied or"
            " replaced. Nothing is run again unasked; raise spec.rerun to run what has no result"
            " there"
        )
    if job is None or run is None:
        return seen.refused
    if run.foreign and not raised(job, run):
        return (
            "another cluster uses the same database and has a job of this name there: name this one"
            " differently, or give each cluster a database of its own; to take its results over,"
            f" raise spec.rerun to {run.rerun + 1}"
        )
    if not run.mine:
        return seen.refused
    if isinstance(run, UnreadRun):
        return seen.refused if _replaceable(job, run) else run.why
    field = edits.refused(job, run.manifest)
    if run.ended:
        asked = job.spec.redrive > run.manifest.spec.redrive and not raised(job, run)
        if asked and not field and not run.progress.failed:
            return f"nothing failed in run {run.number}: there is nothing to redrive"
        if asked and field:
            return (
                f"{field} was edited since: the failed items would get answers to another question;"
                f" raise spec.rerun instead of spec.redrive, to {run.rerun + 1}: what"
                " failed and what the edit changed runs"
            )
        return seen.refused
    if field and not raised(job, run):
        return (
            f"{field} was edited while run {run.number} is under way, which goes on without the"
            " edit; undo it, or give that run up for a new one over what is not done yet: raise"
            f" spec.rerun to {run.rerun + 1}"
        )
    return seen.refused


def _replaceable(job: BatchJob, run: UnreadRun) -> bool:
    """Whether a run that cannot be read stands in nobody's way: another one is to take its place,
    or it has ended and is not to be redriven."""
    return raised(job, run) or (run.ended and job.spec.redrive <= run.redrive)


def raised(job: BatchJob, run: RunSeen | UnreadRun) -> bool:
    """Whether `spec.rerun` asks for a newer run than this one."""
    return job.spec.rerun > run.rerun
