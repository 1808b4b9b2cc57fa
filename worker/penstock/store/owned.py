"""Runs by the BatchJob of a cluster that they belong to."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.store.db import Statements
from penstock.store.queries import load

_SQL = load("owned")


@dataclass(frozen=True, slots=True)
class OwnedRun:
    """A run of a BatchJob. owner: as in `Run`. result_set: its name. shared: runs of another
    BatchJob use that result set, perhaps of one that was made again under the same name."""

    id: int
    job: str
    number: int
    owner: str
    phase: str
    result_set: str
    shared: bool

    @property
    def namespace(self) -> str:
        """Of the BatchJob."""
        return self.job.partition("/")[0]

    @property
    def name(self) -> str:
        """Of the BatchJob."""
        return self.job.partition("/")[2]


async def owned(db: Statements, prefix: str) -> list[OwnedRun]:
    """All runs whose owner begins so, by job and number."""
    return [OwnedRun(**row) for row in await db.fetch(_SQL["runs"], prefix)]


async def manifest(db: Statements, run: int) -> str | None:
    """The manifest of a run as JSON text; None when there is no such run."""
    text = await db.fetchval(_SQL["manifest"], run)
    return str(text) if text is not None else None
