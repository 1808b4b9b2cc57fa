"""Schema versions: each file of migrations/ runs once, in order, under one lock.

Files are named NNNN_pre_… (before new code runs) or NNNN_post_… (after old code is gone).
"""

from __future__ import annotations

from importlib import resources

import asyncpg

from penstock.errors import DatabaseError

_LOCK = 7_301_944_001  # any number, the same for all of Penstock
MINIMUM_SERVER = 150_000


async def migrate(connection: asyncpg.Connection) -> int:
    """Bring the database to this version's schema; returns how many files were run.

    Raises DatabaseError when the server is older than 15 or the schema is of a newer Penstock.
    """
    version = int(await connection.fetchval("SHOW server_version_num"))
    if version < MINIMUM_SERVER:
        raise DatabaseError(f"PostgreSQL 15 or newer is needed, this server is {version // 10000}")
    files = _files()
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS penstock_migration"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        rows = await connection.fetch("SELECT name FROM penstock_migration")
        applied = {row["name"] for row in rows}
        if applied - files.keys():
            raise DatabaseError(
                "this database was set up by a newer Penstock; upgrade Penstock to use it"
            )
        pending = [name for name in files if name not in applied]
        for name in pending:
            await connection.execute(files[name])
            await connection.execute("INSERT INTO penstock_migration (name) VALUES ($1)", name)
    return len(pending)


def _files() -> dict[str, str]:
    folder = resources.files("penstock.store") / "migrations"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return {
        entry.name: entry.read_text(encoding="utf-8")
        for entry in sorted(found, key=lambda e: e.name)
    }
