"""The database of a command: the one that was named, else the embedded one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from penstock.errors import DatabaseError, InputError
from penstock.local.options import Options
from penstock.postgres import explain
from penstock.store.datadir import find_data_dir, why_not
from penstock.store.db import SLOW, Database
from penstock.store.embedded import start
from penstock.store.migrate import migrate

PATIENCE = None
"""A driver waits for its database as long as it takes; Ctrl-C ends the wait."""

_SCHEMES = ("postgresql", "postgres")


@dataclass(frozen=True, slots=True)
class Home:
    """An open, migrated database. data_dir: the folder it is in; None for one that was named."""

    db: Database
    dsn: str
    data_dir: Path | None


@asynccontextmanager
async def open_database(options: Options, notice: Callable[[str], None]) -> AsyncIterator[Home]:
    """Open what the options name. A named database never falls back to the embedded one.

    Raises InputError when the named one cannot be used, EmbeddedServerError, DatabaseError.
    """
    server = None
    if options.database is None:
        server = await start(options.data_dir, cwd=Path.cwd())
        if server.notice:
            notice(server.notice)
        dsn, data_dir = server.dsn, server.data_dir
    else:
        dsn, data_dir = _address(options.database), None
    db = Database(dsn, name="penstock", patience=PATIENCE, slow=SLOW, on_outage=notice)
    try:
        await _prepare(db, named=server is None)
        yield Home(db, dsn, data_dir)
    finally:
        await db.close()
        if server is not None:
            server.close()


def log_folder(home: Home, options: Options) -> Path:
    """Where logs go: beside the embedded database, or where that would be."""
    place = home.data_dir
    if place is None:
        place = find_data_dir(
            options.data_dir, cwd=Path.cwd(), environ=os.environ, obstacle=why_not
        ).path
    return place / "logs"


def _address(named: str) -> str:
    try:
        parts = urlsplit(named)
        if parts.scheme in _SCHEMES and parts.port != 0:
            return named
    except ValueError:  # such as a port that is no number
        pass
    raise InputError.at("--database", "wanted an address such as postgresql://user@host:5432/name")


async def _prepare(db: Database, *, named: bool) -> None:
    """Connect, with the schema in place. A database that was named and is of no use is the option's
    mistake: nothing was started."""
    try:
        await db.open()
        await db.call(migrate)
    except (DatabaseError, asyncpg.InsufficientPrivilegeError) as error:
        told = str(error) if isinstance(error, DatabaseError) else explain(db.dsn, error)
        raise InputError.at("--database", told) if named else DatabaseError(told) from error
