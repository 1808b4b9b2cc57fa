"""What is to be done with a job that may have run before: go on, start anew, refuse. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.spec.fingerprint import processor_digest
from penstock.spec.job import BatchJob
from penstock.store.runs import Run


@dataclass(frozen=True, slots=True)
class StartNew:
    """Plan a new run. existing: skip, skipByID or force. abandon: an unfinished run gives way."""

    existing: str
    abandon: bool = False


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with the newest run, without reading the source again."""


@dataclass(frozen=True, slots=True)
class Replan:
    """The newest run was never planned to the end: forget it, then start new."""

    existing: str


@dataclass(frozen=True, slots=True)
class Redrive:
    """A new run over what failed in the newest one."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nothing is started, and this is why and what can be done."""

    message: str


Step = StartNew | Resume | Replan | Redrive | Refuse


def next_step(
    job: BatchJob,
    latest: Run | None,
    stored: BatchJob | None,
    *,
    force: bool = False,
    redrive: bool = False,
    reason: str = "",
    untouched: bool = False,
) -> Step:
    """What to do. stored: the manifest the newest run works by; None when there is no run.
    untouched: no item of the newest run has come to an end, so an edit mixes nothing."""
    existing = "force" if force else job.spec.existing
    if latest is None or stored is None:
        if redrive:
            return Refuse(f"{job.name} has never run, there is nothing to redrive")
        return StartNew(existing)
    if latest.phase == "Planning":
        if redrive:
            return Refuse(
                f"{job.name} was never planned to the end; run it without --redrive first"
            )
        return Replan(existing)
    if latest.ended and (redrive or job.spec.redrive > stored.spec.redrive):
        edited = changed_work(job, stored)
        # Its answers would be stored as those of the manifest before the edit.
        return Refuse(_no_redrive(edited, asked=redrive)) if edited else Redrive(reason)
    raised = job.spec.rerun > stored.spec.rerun
    if redrive and (raised or latest.existing != "redrive"):
        return Refuse(
            f"{job.name} has an unfinished run; let it finish first (the same command "
            "without --redrive goes on with it)"
        )
    if latest.ended or raised:
        return StartNew(existing, abandon=not latest.ended)
    if force and latest.existing != "force":
        return StartNew("force", abandon=True)
    changed = _changed(job, stored, latest)
    if changed and untouched:
        return StartNew(existing, abandon=True)
    if changed:
        return Refuse(
            f"{changed} was edited while a run of {job.name} is unfinished; undo the edit to go on "
            "with that run, or give it up and start a new one over what is not done yet: "
            f"raise spec.rerun (`--set rerun={stored.spec.rerun + 1}`)"
        )
    return Resume()


def _no_redrive(edited: str, *, asked: bool) -> str:
    how = "without --redrive" if asked else "without raising spec.redrive"
    return f"{edited} was edited since; run it {how}: what failed and what the edit changed runs"


def _changed(job: BatchJob, stored: BatchJob, latest: Run) -> str:
    """What was edited that an unfinished run cannot take up; empty when nothing was."""
    if job.spec.source.limit != stored.spec.source.limit:
        return f"the limit (it is {stored.spec.source.limit or 'none'} in that run)"
    # --force and --redrive, not the manifest, say what such a run does.
    by_manifest = latest.existing == stored.spec.existing
    if by_manifest and job.spec.existing != stored.spec.existing:
        return "spec.existing"
    return changed_work(job, stored)


def changed_work(job: BatchJob, stored: BatchJob) -> str:
    """What was edited of the items, what is done with them, or where their results belong."""
    if job.result_set != stored.result_set:
        return "spec.resultSet"
    source, before = job.spec.source, stored.spec.source
    if source.model_copy(update={"limit": before.limit}) != before:
        return "spec.source"
    if processor_digest(job.spec.processor) != processor_digest(stored.spec.processor):
        return "spec.processor"
    return ""
