"""Whether the database may be asked: it answers, and its schema is this version's.

While it is away, one task here tries to reach it, and nobody else does: a BatchJob is told at once
why it waits. When it is back every BatchJob is looked at again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import asyncpg

from penstock.errors import DatabaseError
from penstock.postgres import explain, place
from penstock.store.migrate import migrate

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
_TIMEOUT = 10.0


class Connection:
    """The operator's view of its database. `why` says why it cannot be used; empty: it can.
    on_back: called each time it has become usable."""

    def __init__(self, dsn: str, on_back: Callable[[], None]) -> None:
        self._dsn, self._on_back = dsn, on_back
        self.why = f"the database at {place(dsn)} has not answered yet"
        self._lost = asyncio.Event()
        self._lost.set()
        self.tried = asyncio.Event()
        """Set once it is known whether the database can be reached."""

    def lost(self, error: DatabaseError) -> None:
        """A question was not answered."""
        if not self.why:
            log.warning("the database is away: %s", error)
        self.why = str(error)
        self._lost.set()

    async def keep(self) -> None:
        """Reach the database, bring its schema up to date, and again whenever it is lost."""
        while True:
            await self._lost.wait()
            await self._reach()
            self.why = ""
            self._lost.clear()
            self.tried.set()
            log.info("the database at %s is ready", place(self._dsn))
            self._on_back()

    async def _reach(self) -> None:
        pause, told = FIRST_PAUSE, ""
        while True:
            try:
                await self._prepare()
                return
            except (DatabaseError, asyncpg.PostgresError, OSError, TimeoutError,
                    asyncpg.InterfaceError, ValueError) as error:  # fmt: skip
                known = isinstance(error, DatabaseError)
                self.why = str(error) if known else explain(self._dsn, error)
            self.tried.set()
            if self.why != told:
                log.warning("waiting for the database: %s", self.why)
                told = self.why
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _prepare(self) -> None:
        connection = await asyncpg.connect(
            self._dsn, timeout=_TIMEOUT, server_settings={"application_name": "penstock-operator"}
        )
        try:
            applied = await migrate(connection)
        finally:
            await connection.close(timeout=2)
        if applied:
            log.info("applied %d migration(s) to the database", applied)
