"""A database as operators have theirs: of a user who is no superuser, with roles for jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from penstock.plan import planner
from penstock.spec.job import BatchJob
from penstock.store import roles, runs
from penstock.store.db import Database
from penstock.store.migrate import migrate
from penstock.store.runs import Run
from penstock_operator.access import Access, with_user
from penstock_operator.names import Owner
from penstock_operator.settings import Settings

CLUSTER = "cluster-1"
PASSWORD = "Jericho-17"


@dataclass(frozen=True)
class Operator:
    """An operator's side of a database. url: as it reaches it; db: its connection."""

    url: str
    db: Database

    def access(self) -> Access:
        """As an operator has it that was just started."""
        return Access(self.db, CLUSTER, settings(self.url))

    async def opened(self, name: str, job: BatchJob, **given: Any) -> Run:
        """A run of the BatchJob team/NAME, whose UID is uid-NAME, in phase Planning."""
        return await planner.open_run(
            self.db,
            **{
                "job": f"team/{name}",
                "result_set": f"team/{name}",
                "manifest": job.model_dump_json(by_alias=True, exclude_none=True),
                "manifest_path": "",
                "existing": "skip",
                "redrive_reason": "",
                "driver": "",
                "owner": f"{CLUSTER}/uid-{name}",
                **given,
            },
        )

    async def address(self, name: str) -> str:
        """The address that the pods of the BatchJob get."""
        return (await self.access().of(owner(name))).url

    async def role(self, name: str) -> str:
        """The role of the BatchJob."""
        return (await roles.place(self.db)).role(f"{CLUSTER}/uid-{name}")

    async def run(self, run: Run) -> Run:
        """The run as it is now."""
        return await runs.get(self.db, run.id)


def owner(name: str) -> Owner:
    return Owner(name, "team", f"uid-{name}")


def settings(url: str, **changes: Any) -> Settings:
    """Of an operator; no other address was named for the pods."""
    told = {
        "database_url": url, "worker_database_url": url, "namespace": "penstock", "namespaces": (),
        "image": "worker:1", "pull_policy": "Never", "pull_secrets": (), "job_roles": True,
    }  # fmt: skip
    return Settings(**{**told, **changes})


@asynccontextmanager
async def operating(superuser: str, rights: str = "CREATEROLE") -> AsyncIterator[Operator]:
    """An operator that owns the database at this address, with its schema set up. rights: of its
    user."""
    admin = await asyncpg.connect(superuser)
    name = await admin.fetchval("SELECT current_database()")
    user = f"operator_{name}"
    await admin.execute(f"CREATE ROLE {user} LOGIN {rights} PASSWORD '{PASSWORD}'")
    await admin.execute(f'ALTER DATABASE "{name}" OWNER TO {user}')
    await admin.close()
    url = with_user(superuser, user, PASSWORD, name)
    db = Database(url)
    await db.open()
    await db.call(migrate)
    try:
        yield Operator(url, db)
    finally:
        await db.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Database]:
    """Penstock's own connection, as a pod's."""
    db = Database(url)
    await db.open()
    try:
        yield db
    finally:
        await db.close()
