"""The operator and a database that comes, goes and comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from penstock.errors import DatabaseError
from penstock_operator.connection import Connection


@asynccontextmanager
async def kept(dsn: str, on_back: Callable[[], None]) -> AsyncIterator[Connection]:
    """A connection that is looked after within the block."""
    connection = Connection(dsn, on_back)
    task = asyncio.create_task(connection.keep())
    try:
        async with asyncio.timeout(60):
            yield connection
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_it_waits_for_the_database_and_sets_it_up(
    empty_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = empty_dsn.partition("?")[0].rpartition("/")[2]
    late = f"{name}_late"
    admin = await asyncpg.connect(empty_dsn)
    back = asyncio.Event()
    try:
        async with kept(empty_dsn.replace(name, late), back.set) as connection:
            assert connection.why
            await connection.tried.wait()
            assert "does not exist" in connection.why
            assert not back.is_set()

            await admin.execute(f"CREATE DATABASE {late}")
            await back.wait()
            assert connection.why == ""
            there = await asyncpg.connect(empty_dsn.replace(name, late))
            assert await there.fetchval("SELECT count(*) FROM run") == 0
            await there.close()

            back.clear()
            connection.lost(DatabaseError("it stumbled"))
            assert connection.why == "it stumbled"
            await back.wait()
            assert connection.why == ""
    finally:
        await admin.execute(f"DROP DATABASE IF EXISTS {late} WITH (FORCE)")
        await admin.close()
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert sum("does not exist" in line for line in told) == 1


async def test_a_database_of_a_newer_penstock_is_left_alone(dsn: str) -> None:
    admin = await asyncpg.connect(dsn)
    await admin.execute("INSERT INTO penstock_migration (name) VALUES ('9999_from_the_future')")
    await admin.close()
    async with kept(dsn, lambda: pytest.fail("it was used")) as connection:
        await connection.tried.wait()
        assert "newer Penstock" in connection.why
