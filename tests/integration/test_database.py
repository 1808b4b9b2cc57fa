"""The connection: when silence counts as an outage, and several statements as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from penstock.store.db import Database, Statements

LOCK, WAIT = "SELECT pg_advisory_lock(1)", "SELECT pg_advisory_lock_shared(1)"


@asynccontextmanager
async def listening(dsn: str, slow: float | None) -> AsyncIterator[tuple[Database, asyncio.Event]]:
    """A database, and the event that it said something of an outage."""
    told = asyncio.Event()
    database = Database(dsn, patience=None, slow=slow, on_outage=lambda _: told.set())
    await database.open()
    yield database, told
    await database.close()


async def test_silence_is_an_outage_only_where_answers_are_quick(
    dsn: str, connection: asyncpg.Connection
) -> None:
    await connection.execute(LOCK)
    async with (
        listening(dsn, None) as (patient, of_patient),
        listening(dsn, 0.05) as (planning, of_planning),
        listening(dsn, 0.1) as (watching, of_watching),
    ):

        async def plan() -> None:
            with planning.unhurried():
                await planning.execute(WAIT)

        waiting = [
            asyncio.create_task(patient.execute(WAIT)),
            asyncio.create_task(plan()),
            asyncio.create_task(watching.execute(WAIT)),
        ]
        await asyncio.wait_for(of_watching.wait(), 30)
        assert not of_patient.is_set()
        assert not of_planning.is_set()
        assert watching.lost_at is not None
        await connection.execute("SELECT pg_advisory_unlock(1)")
        await asyncio.gather(*waiting)
        assert watching.lost_at is None
        # What is no longer planned is watched again.
        await asyncio.gather(*(one.execute("SELECT pg_advisory_unlock_all()") for one in (
            patient, planning, watching,
        )))  # fmt: skip
        await connection.execute(LOCK)
        again = asyncio.create_task(planning.execute(WAIT))
        await asyncio.wait_for(of_planning.wait(), 30)
        await connection.execute("SELECT pg_advisory_unlock(1)")
        await again


async def test_together_is_all_or_nothing(db: Database) -> None:
    await db.execute("CREATE TABLE kept (n int)")

    async def fail(transaction: Statements) -> None:
        await transaction.execute("INSERT INTO kept VALUES (1)")
        await transaction.together(lambda same: same.execute("INSERT INTO kept VALUES (2)"))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await db.together(fail)
    assert await db.fetchval("SELECT count(*) FROM kept") == 0
