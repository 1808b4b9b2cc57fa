"""Partitions: small runs share one, a large one gets its own, made aside and attached.

ATTACH with a matching CHECK takes no scan and only a brief lock, and dropping the partition of an
old run is one statement instead of millions of row deletions.
"""

from __future__ import annotations

import asyncpg


def name(parent: str, part: int) -> str:
    """The table that holds a part; part 0 is the shared one."""
    return f"{parent}_{part}" if part else f"{parent}_shared"


async def make_apart(connection: asyncpg.Connection, parent: str, part: int) -> str:
    """A table shaped like `parent`, without its indexes, not yet a partition; returns its name."""
    table = name(parent, part)
    await connection.execute(f"DROP TABLE IF EXISTS {table}")
    await connection.execute(f"CREATE TABLE {table} (LIKE {parent} INCLUDING DEFAULTS)")
    await connection.execute(
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_part CHECK (part = {part})"
    )
    return table


async def attach(connection: asyncpg.Connection, parent: str, part: int, key: str) -> None:
    """Index the table by its key (faster after loading) and make it a partition. All or nothing,
    and nothing when it is one already: safe to repeat after a lost connection."""
    table = name(parent, part)
    if await _attached(connection, table):
        return
    async with connection.transaction():
        await connection.execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({key})")
        await connection.execute(
            f"ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES IN ({part})"
        )
        await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_part")


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
