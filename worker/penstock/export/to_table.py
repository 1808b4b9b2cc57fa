"""Results in a table of a user's PostgreSQL database: one row an item, found by its key.

Only items that succeeded are written, in this run or an earlier one; those that were skipped
because the table has them (`skipWhere`) are left alone. A row that is there is updated, another is
added: writing again changes nothing more, so an export that died half way simply runs again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from penstock import jsons
from penstock.errors import ExportError, InputError
from penstock.export.cells import Cells, record, unplaced
from penstock.export.fit import check_place
from penstock.export.kept import TableLook
from penstock.export.table import FIELD, Table, check_skip_where, look
from penstock.postgres import explain, place
from penstock.sources.items import Kept
from penstock.sources.user_database import close, connect, hidden, said
from penstock.spec.job import BatchJob
from penstock.spec.output import PostgresOutput
from penstock.spec.secrets import database_url
from penstock.store import results
from penstock.store.db import Database
from penstock.store.results import StoredRow
from penstock.store.runs import Run

BATCH_ROWS, BATCH_BYTES = 2_000, 4_000_000
LOCK_TIMEOUT = "2min"
"""How long rows or the table may be locked by others."""
_SHOWN = 5
_LONGEST = 300
_DONE = ("succeeded", "skipped")
_OF_A_ROW = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.CardinalityViolationError,  # two rows are one to a collation of the column's own
)
"""What the values of single rows are refused for; anything else concerns all of them."""

Row = tuple[str, Cells]
"""An item's ID and the columns it fills."""


@dataclass(frozen=True, slots=True)
class ToTable:
    """A table to write to."""

    job: BatchJob
    output: PostgresOutput
    environ: Mapping[str, str]

    @property
    def name(self) -> str:
        """The table and its database."""
        try:
            return f"table {self.output.table} in {place(self._address())}"
        except InputError:
            return f"table {self.output.table}"

    async def check(self) -> None:
        """Look at the table; changes nothing. Raises InputError with what to do."""
        async with self._open() as (connection, table):
            await check_skip_where(connection, self.output, table, self._address())
            check_place(self.job.spec.processor, table)

    async def write(self, db: Database, run: Run, warn: Callable[[str], object]) -> int:
        """Write what succeeded; returns how many rows. Rows of which a value does not fit are left
        out, and told at the end. Raises ExportError."""
        try:
            async with self._open() as (connection, table):
                writing = _Writing(connection, table, self._address())
                async for chunk in results.rows(db, run):
                    await writing.add(chunk)
                await writing.flush()
        except InputError as error:
            raise ExportError(f"cannot write to the table: {error}") from error
        for message in writing.remarks():
            warn(message)
        writing.refuse()
        return writing.written

    @asynccontextmanager
    async def looking(self, *, skip: bool, is_target: bool) -> AsyncIterator[Kept]:
        """Tells which items of a new run the table has already, as `skipWhere` puts it. skip: that
        counts. is_target: results go there, so an item that the table cannot hold is refused.
        Raises InputError."""
        async with self._open() as (connection, table):
            look = TableLook(
                connection,
                table,
                self.job.spec.processor,
                self._address(),
                skip_where=self.output.skip_where if skip else None,
                is_target=is_target,
            )
            yield look.kept

    def _address(self) -> str:
        return database_url(self.output.secret_ref, "output", self.environ)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[tuple[asyncpg.Connection, Table]]:
        address = self._address()
        connection = await connect(address, f"{FIELD}.secretRef", name="penstock-output")
        try:
            yield connection, await look(connection, self.output, address)
        finally:
            await close(connection)


class _Writing:
    """Results on their way into a table, batch by batch."""

    def __init__(self, connection: asyncpg.Connection, table: Table, address: str) -> None:
        self.written = 0
        self._connection, self._table, self._address = connection, table, address
        self._rows: list[Row] = []
        self._size = 0
        self._unplaced: Counter[str] = Counter()
        self._again = 0
        self._seen: set[int] = set()
        self._refused = 0
        self._reasons: list[str] = []

    async def add(self, chunk: Sequence[StoredRow]) -> None:
        """Take what succeeded, and write when there is enough of it."""
        for stored in chunk:
            if stored.kept or stored.output is None or stored.status not in _DONE:
                continue
            output = jsons.loads(stored.output)
            self._unplaced.update(unplaced(output, self._table.columns))
            filled = record(
                self._table.columns,
                self._table.key.name,
                position=stored.position,
                item_id=stored.item_id,
                attempts=stored.attempts,
                item=jsons.loads(stored.payload),
                output=output,
            )
            self._rows.append((stored.item_id, filled))
            self._size += len(stored.payload) + len(stored.output)
            if len(self._rows) == BATCH_ROWS or self._size > BATCH_BYTES:
                await self.flush()

    async def flush(self) -> None:
        """Write what was taken: rows that fill the same columns in one statement."""
        last = {row[1].item[self._table.key.name]: row for row in self._rows}
        seen = self._seen_before(last)
        self._again += len(self._rows) - len(last) + seen
        self.written -= seen  # as the same row is written now
        self._rows, self._size = [], 0
        alike: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Row]] = {}
        for row in last.values():
            alike.setdefault((tuple(row[1].answer), tuple(row[1].item)), []).append(row)
        for names, rows in alike.items():
            await self._put(self._table.upsert(*names), rows)

    def _seen_before(self, last: Mapping[str | None, Row]) -> int:
        """How many of these keys were in an earlier batch. Hashes of keys are kept for that; where
        the key is the item's ID, there is no other of that name."""
        keys = {hash(key) for key, (item_id, _) in last.items() if key != item_id}
        again = len(keys & self._seen)
        self._seen |= keys
        return again

    def remarks(self) -> Iterator[str]:
        """What was not written, though nothing is wrong with it."""
        if self._unplaced:
            names = ", ".join(name for name, _ in self._unplaced.most_common(_SHOWN))
            yield f"{self._table.name} has no column for {names} of the results: left out"
        if self._again:
            yield f"{self._again:,} results have the key of a later one, which was written"

    def refuse(self) -> None:
        """Raise ExportError when the table would not take some rows."""
        if self._refused:
            shown = "; ".join(self._reasons)
            more = f"; and {self._refused - _SHOWN:,} more" if self._refused > _SHOWN else ""
            raise ExportError(
                f"{self._refused:,} results do not fit {self._table.name}, the other"
                f" {self.written:,} are written: {shown}{more}"
            )

    async def _put(self, sql: str, rows: Sequence[Row]) -> None:
        values = ((*cells.answer.values(), *cells.item.values()) for _, cells in rows)
        columns = zip(*values, strict=True)
        try:
            async with self._connection.transaction():
                # Set for this transaction: behind a pooler, the session is for others, too.
                await self._connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                written = await self._connection.fetchval(sql, *map(list, columns))
            self.written += written
            self._again += len(rows) - written
        except _OF_A_ROW as error:
            if len(rows) == 1:
                self._refuse(rows[0][0], error)
                return
            middle = len(rows) // 2
            await self._put(sql, rows[:middle])
            await self._put(sql, rows[middle:])
        except asyncpg.PostgresError as error:
            why = hidden(said(error), self._address)
            raise ExportError(f"cannot write to {self._table.name}: {why}") from error
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            why = hidden(explain(self._address, error), self._address)
            raise ExportError(f"cannot write to {self._table.name}: {why}") from error

    def _refuse(self, item_id: str, error: Exception) -> None:
        self._refused += 1
        if self._refused <= _SHOWN:
            why = said(error) if isinstance(error, asyncpg.PostgresError) else str(error)
            self._reasons.append(f"{item_id!r}: {why[:_LONGEST]}")
