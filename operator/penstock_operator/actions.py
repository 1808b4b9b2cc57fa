"""What a decision may ask for. Each is safe to carry out again, and may be carried out late."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from penstock.spec.job import BatchJob
from penstock_operator.crd.status import BatchJobStatus
from penstock_operator.observed import Role


@dataclass(frozen=True, slots=True)
class OpenRun:
    """Open run `number` by this manifest. existing: skip, skipByID, force or redrive."""

    number: int
    manifest: BatchJob
    existing: str


@dataclass(frozen=True, slots=True)
class EditRun:
    """The run goes on by this manifest. resume: it was paused and may go on."""

    run: int
    manifest: BatchJob
    resume: bool = False


@dataclass(frozen=True, slots=True)
class SetRunPhase:
    """Move a run on to `phase` unless it has left the phases `since`."""

    run: int
    phase: str
    since: tuple[str, ...]
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class BeginExport:
    """Every item is done: settle the counts, let results be written."""

    run: int


@dataclass(frozen=True, slots=True)
class CloseRun:
    """Nothing is to be written: end the run."""

    run: int


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Make the Job of a role for a run, and the Secret that its pods take the database from.
    run: number of the run; run_id: its number in the database. parallelism: pods to begin with."""

    role: Role
    run: int
    run_id: int
    manifest: BatchJob
    parallelism: int = 1
    suspend: bool = False


@dataclass(frozen=True, slots=True)
class PatchJob:
    """Change parallelism or suspension of a Job; None leaves it."""

    name: str
    parallelism: int | None = None
    suspend: bool | None = None


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Remove a Job and its pods."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteBatchJob:
    """Its time to live is over."""


Action = (
    OpenRun
    | EditRun
    | SetRunPhase
    | BeginExport
    | CloseRun
    | CreateJob
    | PatchJob
    | DeleteJob
    | DeleteBatchJob
)


def reason(action: Action) -> str:
    """Why something is done, as one of a few words that can be counted."""
    if isinstance(action, SetRunPhase):
        return action.reason or "Resumed"
    return type(action).__name__


@dataclass(frozen=True, slots=True)
class Notice:
    """An Event about the BatchJob."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done about one BatchJob.

    actions: in this order; when one fails the rest wait for the next look. status: what the API
    server is to hold, None to leave it. again: seconds until it is looked at again in any case;
    None when only a change can matter.
    """

    actions: tuple[Action, ...] = ()
    status: BatchJobStatus | None = None
    notices: tuple[Notice, ...] = field(default_factory=tuple)
    again: float | None = None
