"""One connection to PostgreSQL that comes back after an outage.

A worker holds exactly one. Statements that go through `Database` may be sent again when the
connection was lost in the middle, so each of them is safe to repeat (see sql/*.sql).
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import asyncpg

from penstock.errors import DatabaseError
from penstock.postgres import explain, place

log = logging.getLogger(__name__)
T = TypeVar("T")

COMMAND_TIMEOUT = 60.0
"""Seconds after which a statement of a worker counts as lost."""
SLOW = 5.0
"""Seconds without an answer after which the database counts as away, though the connection stands:
its machine may have stopped, or be cut off. For those whose statements are all quick."""

_LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a farewell came that nobody waited for
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,
)
_LOOK = 0.5
POD_PATIENCE = 600.0
"""Seconds that a pod waits at its start for a database that is away: to end and be started again
would use up its Job's back-off."""
_CONFLICT = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


async def copy_rows(
    connection: asyncpg.Connection,
    table: str,
    rows: Sequence[Sequence[object]],
    columns: Sequence[str],
) -> None:
    """COPY rows into a table. A connection that is lost in the middle is told: asyncpg itself waits
    for ever then, if the server had just been slower than the rows."""
    work = connection.copy_records_to_table(table, records=rows, columns=columns)
    copying = asyncio.ensure_future(work)
    try:
        while not copying.done():
            await asyncio.wait([copying], timeout=_LOOK)
            if connection.is_closed() and not copying.done():
                raise ConnectionResetError("the connection was lost during COPY")
        copying.result()
    finally:
        if not copying.done():
            copying.cancel()
            await asyncio.wait([copying])


class Statements(ABC):
    """What can be asked of a database, by itself or within a transaction."""

    @abstractmethod
    async def call(self, use: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Use the connection."""

    @abstractmethod
    async def together(self, use: Callable[[Statements], Awaitable[T]]) -> T:
        """Several statements in one transaction: all of them or none."""

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        """Rows of one statement."""
        return await self.call(lambda connection: connection.fetch(sql, *args))

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        """The first row, or None."""
        return await self.call(lambda connection: connection.fetchrow(sql, *args))

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first value of the first row, or None."""
        return await self.call(lambda connection: connection.fetchval(sql, *args))

    async def execute(self, sql: str, *args: Any) -> str:
        """Run a statement; returns its command tag."""
        return await self.call(lambda connection: connection.execute(sql, *args))


class _Transaction(Statements):
    """Statements within a transaction that is open already; what is lost is lost with all of it."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def call(self, use: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        return await use(self._connection)

    async def together(self, use: Callable[[Statements], Awaitable[T]]) -> T:
        return await use(self)


class Database(Statements):
    """A connection, reopened when it is lost.

    patience: seconds to keep trying after a loss; None for ever (workers wait for the database).
    slow: seconds without an answer after which the database counts as away; None for never.
    on_outage: told once when the connection is lost, or nothing has come back for a while, and once
    when the database is back.
    """

    def __init__(
        self,
        dsn: str,
        *,
        name: str = "penstock",
        patience: float | None = 0.0,
        command_timeout: float | None = None,
        slow: float | None = None,
        on_outage: Callable[[str], None] | None = None,
    ) -> None:
        self.dsn = dsn
        self.lost_at: float | None = None
        self.back_at = float("-inf")
        self._name = name
        self._patience = patience
        self._command_timeout = command_timeout
        self._slow_after = slow
        self._on_outage = on_outage or log.warning
        self._connection: asyncpg.Connection | None = None
        self._lock = asyncio.Lock()

    async def open(self, patience: float = 0.0) -> None:
        """Connect for the first time. patience: seconds to keep trying while the server is away.
        Raises DatabaseError with a plain reason."""
        began, delay = time.monotonic(), 0.5
        while True:
            try:
                self._connection = await self._connect()
                return
            except (*_LOST, TimeoutError) as error:
                if time.monotonic() - began >= patience:
                    raise DatabaseError(explain(self.dsn, error)) from error
                log.warning("waiting for the database: %s", explain(self.dsn, error))
            except Exception as error:
                raise DatabaseError(explain(self.dsn, error)) from error
            await asyncio.sleep(delay)
            delay = min(delay * 2, 10.0)

    def give_up(self) -> None:
        """Wait no longer: what is lost now, or later, raises DatabaseError."""
        self._patience = 0.0

    async def close(self) -> None:
        """Close the connection; never raises."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=2)
            except Exception:
                connection.terminate()

    @contextmanager
    def unhurried(self) -> Iterator[None]:
        """For work whose statements may take minutes: silence is no sign of an outage then."""
        slow, self._slow_after = self._slow_after, None
        try:
            yield
        finally:
            self._slow_after = slow

    async def together(self, use: Callable[[Statements], Awaitable[T]]) -> T:
        """Several statements in one transaction: all of them or none, and all again after a loss.

        When only the answer to the COMMIT got lost, the second time finds the work of the first.
        """

        async def whole(connection: asyncpg.Connection) -> T:
            async with connection.transaction():
                return await use(_Transaction(connection))

        return await self.call(whole)

    async def call(self, use: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Use the connection alone, again after a loss. `use` must be safe to repeat.

        Raises DatabaseError when the database stays away longer than the patience.
        """
        async with self._lock:
            delay = 0.05
            while True:
                try:
                    if self._connection is None or self._connection.is_closed():
                        self._connection = await self._connect()
                    with self._watched():
                        result = await use(self._connection)
                except _CONFLICT:
                    await asyncio.sleep(delay)
                except (*_LOST, TimeoutError) as error:
                    await self._lost(error)
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, 1.0)
                else:
                    if self.lost_at is not None:
                        self.lost_at, self.back_at = None, time.monotonic()
                        self._on_outage("the database is back")
                    return result

    @contextmanager
    def _watched(self) -> Iterator[None]:
        if self._slow_after is None:
            yield
            return
        timer = asyncio.get_running_loop().call_later(self._slow_after, self._slow)
        try:
            yield
        finally:
            timer.cancel()

    def _slow(self) -> None:
        self._away(time.monotonic(), f"the database at {place(self.dsn)} does not answer")

    def _away(self, now: float, why: str) -> None:
        if self.lost_at is None:
            self.lost_at = now
            if self._patience is None or self._patience > 0:
                self._on_outage(f"waiting for the database: {why}")

    async def _lost(self, error: BaseException) -> None:
        now = time.monotonic()
        self._away(now, explain(self.dsn, error))
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
        waited = now - (self.lost_at or now)
        if self._patience is not None and waited >= self._patience:
            raise DatabaseError(explain(self.dsn, error)) from error

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            self.dsn,
            timeout=10,
            command_timeout=self._command_timeout,
            server_settings={"application_name": self._name},
        )
