"""Partitions: small runs share one, a large one gets its own, made aside and attached.

Dropping the partition of an old run is one statement instead of millions of row deletions. They are
made by functions in the database (migrations/0002_pre_job_roles.sql), as who plans a run need not
own the tables.
"""

from __future__ import annotations

import asyncpg


def name(parent: str, part: int) -> str:
    """The table that holds a part of its own; part 0 is the shared one."""
    return f"{parent}_{part}"


async def drop(connection: asyncpg.Connection, parent: str, part: int) -> None:
    """Detach and drop a partition of its own; nothing happens when it is not there. Not within a
    transaction. Whoever was interrupted in a DETACH left it half done, and nothing else of that
    parent can be detached before it is finished: that comes first."""
    table = name(parent, part)
    for half in await connection.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = to_regclass($1) AND inhdetachpending",
        parent,
    ):
        await connection.execute(f"ALTER TABLE {parent} DETACH PARTITION {half['name']} FINALIZE")
    if await _attached(connection, table):
        await connection.execute(f"ALTER TABLE {parent} DETACH PARTITION {table} CONCURRENTLY")
    await connection.execute(f"DROP TABLE IF EXISTS {table}")


async def _attached(connection: asyncpg.Connection, table: str) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass($1))", table
        )
    )
