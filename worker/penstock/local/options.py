"""What the command line asks of the engine, and what the engine tells the person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from penstock.plan.summary import PlanSummary
from penstock.spec.job import BatchJob
from penstock.store.progress import Progress


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `penstock run` (and, the last two, of every command that needs the database)."""

    limit: int | None = None
    force: bool = False
    concurrency: int | None = None
    workers: int | None = None
    redrive: bool = False
    reason: str | None = None
    output: Path | None = None
    database: str | None = None
    data_dir: Path | None = None


class View(Protocol):
    """Where the engine says things while a job runs."""

    def notice(self, text: str) -> None:
        """Something the person should know."""
        ...

    def banner(self, job: BatchJob, plan: PlanSummary, concurrency: str, log: Path) -> None:
        """The plan is made, work begins."""
        ...

    def planning(self, items: int) -> None:
        """Items read so far."""
        ...

    def progress(self, progress: Progress) -> None:
        """The run as it stands, a few times a second."""
        ...

    def finished(self, progress: Progress) -> None:
        """The end of this command, whatever it is."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How `run` ended. exit_code: see the command line's table. progress: None when it was
    interrupted before there was any."""

    exit_code: int
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One item tried out: the request as it went out, and its answer or error."""

    item_id: str
    request: dict[str, Any]
    answer: Any | None
    error: str | None
    seconds: float
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
