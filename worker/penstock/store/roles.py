"""Database roles of BatchJobs: each reaches the rows of its own runs, through row-level security.

What a role may do stands in migrations/0002_pre_job_roles.sql; all of a database are in one group,
which holds these rights. Roles belong to the whole server, where several databases may have their
own, so names tell the database as well. Every step may have been done before.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from dataclasses import dataclass
from functools import partial

import asyncpg

from penstock.store.db import Database, Statements
from penstock.store.queries import load

log = logging.getLogger(__name__)

_SQL = load("roles")
_GROUP = "penstock_jobs_"
_ROLE = "penstock_job_"
_ITERATIONS = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """Where roles are made. database: its name; schema: of the tables. allowed: the user of the
    connection may make roles. open: everybody may create objects in that schema."""

    database: str
    schema: str
    allowed: bool
    open: bool

    @property
    def group(self) -> str:
        """The role that all roles of this place are in."""
        return f"{_GROUP}{_code(self.database, self.schema)}"

    def role(self, owner: str) -> str:
        """The role of a run's owner."""
        return f"{_ROLE}{_code(self.database, self.schema, owner)}"


async def place(db: Statements) -> Place:
    """Where this connection would make roles."""
    row = await db.fetchrow(_SQL["place"])
    assert row is not None
    return Place(**row)


async def ensure(db: Database, where: Place, owner: str, password: str) -> None:
    """The role of an owner can log in with this password and reaches all runs of that owner.

    Raises asyncpg.InsufficientPrivilegeError, with nothing done, when the user of the connection
    may not make it.
    """
    role, group = where.role(owner), where.group
    # Not the password itself: statements may be logged.
    login = f"LOGIN PASSWORD '{verifier(password, role)}'"

    async def make(step: Statements) -> None:
        await step.execute(_SQL["lock"])
        if not await step.fetchval(_SQL["known"], group):
            await step.execute(f"CREATE ROLE {group} NOLOGIN")
        if not await step.fetchval(_SQL["is_admitted"], group):
            await step.execute(_SQL["admit"], group)
        verb = "ALTER" if await step.fetchval(_SQL["known"], role) else "CREATE"
        await step.execute(f"{verb} ROLE {role} {login}")
        if not await step.fetchval(_SQL["is_member"], role, group):
            await step.execute(f"GRANT {group} TO {role}")
        database, schema = _quoted(where.database), _quoted(where.schema)
        await step.execute(
            f"ALTER ROLE {role} IN DATABASE {database} SET search_path = {schema}, pg_temp"
        )
        await step.execute(_SQL["give_runs"], owner, role)

    await db.together(make)


async def admit_anew(db: Database, where: Place) -> None:
    """Give the group what this version's jobs need, which may be more than an earlier one's did.
    Raises as `ensure`."""

    async def admit(step: Statements) -> None:
        await step.execute(_SQL["lock"])
        if await step.fetchval(_SQL["known"], where.group):
            await step.execute(_SQL["admit"], where.group)

    await db.together(admit)


async def check(connection: asyncpg.Connection) -> None:
    """Raises asyncpg.PostgresError unless who has this connection finds the tables and may read."""
    await connection.execute(_SQL["check"])


async def drop_unused(db: Database) -> int:
    """Drop the roles of owners that have no run any more; returns how many."""
    where = await place(db)
    if not where.allowed:
        return 0
    dropped = 0
    for role in await _unused(db, where):
        try:
            dropped += await db.together(partial(_drop, where=where, role=role))
        except (asyncpg.InsufficientPrivilegeError, asyncpg.DependentObjectsStillExistError) as why:
            log.warning("role %s of a job that is gone stays: %s", role, why)
    return dropped


async def _drop(step: Statements, where: Place, role: str) -> bool:
    """Unless it came to be used meanwhile."""
    await step.execute(_SQL["lock"])
    if role not in await _unused(step, where):
        return False
    if not await step.fetchval(_SQL["may_act_for"], role):
        await step.execute(f"GRANT {role} TO CURRENT_USER")
    await step.execute(_SQL["end_sessions"], role)
    await step.execute(f"DROP OWNED BY {role}")  # temporary tables of its sessions, say
    await step.execute(f"DROP ROLE {role}")
    return True


async def _unused(db: Statements, where: Place) -> list[str]:
    return [row["role"] for row in await db.fetch(_SQL["unused"], where.group, _ROLE)]


def verifier(password: str, role: str) -> str:
    """What PostgreSQL keeps of a password of ASCII letters and digits (SCRAM-SHA-256, RFC 5803).
    Always the same for the same role and password; those of jobs are too long to be guessed."""
    salt = hashlib.sha256(role.encode()).digest()[:16]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    told = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{told[0]}${told[1]}:{told[2]}"


def _code(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
