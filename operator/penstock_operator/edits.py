"""What becomes of an edit of the manifest while a run is under way. Pure."""

from __future__ import annotations

from penstock.plan.decide import changed_work
from penstock.spec.job import BatchJob
from penstock.spec.processor import CodeFrom


def as_stored(job: BatchJob) -> BatchJob:
    """The manifest as a run keeps it: without what the operator reads from the resource itself, so
    that suspending a job is no edit of its run."""
    update = {"suspend": False, "ttl_seconds_after_finished": None}
    return job.model_copy(update={"spec": job.spec.model_copy(update=update)})


def refused(job: BatchJob, stored: BatchJob) -> str:
    """Which field was edited that a run under way cannot take up; empty when none was."""
    if job.spec.source.limit != stored.spec.source.limit:
        return "spec.source.limit"
    if job.spec.existing != stored.spec.existing:
        return "spec.existing"
    if changed := changed_work(job, stored):
        return changed
    # No part of what is done by its name, but pods that run have the code they started with.
    return "spec.processor.python.codeFrom" if _code(job) != _code(stored) else ""


def afterwards(job: BatchJob, stored: BatchJob) -> BatchJob | None:
    """The manifest of a run that has ended, or takes up no other edit, with what still matters:
    what becomes of its results when the BatchJob is deleted. None when that was not edited."""
    policy = job.spec.deletion_policy
    if policy == stored.spec.deletion_policy:
        return None
    spec = stored.spec.model_copy(update={"deletion_policy": policy})
    return stored.model_copy(update={"spec": spec})


def taken_up(job: BatchJob, stored: BatchJob) -> BatchJob | None:
    """The manifest that the run goes on by; None when nothing was edited that matters to it.

    Call it only when `refused` names nothing. redrive and rerun stay as they are: a rise of them
    asks for the next run, which is opened because they are higher than in this one.
    """
    counters = {"redrive": stored.spec.redrive, "rerun": stored.spec.rerun}
    new = as_stored(job)
    new = new.model_copy(update={"spec": new.spec.model_copy(update=counters)})
    return None if new.spec == stored.spec else new


def _code(job: BatchJob) -> CodeFrom | None:
    python = job.spec.processor.python
    return python.code_from if python is not None else None
