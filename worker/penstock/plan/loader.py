"""Items into the database: batch by batch, into a partition of their own when there are many.

Memory stays flat, and every step may be repeated after a lost connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from penstock import jsons
from penstock.errors import AlreadyRunning
from penstock.sources.drawn import apart
from penstock.sources.items import Item, Kept
from penstock.spec.fingerprint import fingerprint
from penstock.store import partitions
from penstock.store.db import Database, Statements, copy_rows
from penstock.store.queries import load
from penstock.store.runs import Run

_SQL = load("plan")
T = TypeVar("T")

BATCH = 10_000
"""Items held in memory while they are copied."""

BATCH_BYTES = 8_000_000
_COLUMNS = ("part", "run", "position", "item_id", "fingerprint", "payload", "error", "kept")


async def step(db: Database, run: Run, use: Callable[[Statements], Awaitable[T]]) -> T:
    """One transaction of the plan, with the run's row held: a repeat after a lost connection begins
    when the first attempt is over, and nobody takes the run away meanwhile."""

    async def held(transaction: Statements) -> T:
        await hold(transaction, run)
        return await use(transaction)

    return await db.together(held)


async def hold(transaction: Statements, run: Run) -> None:
    """Lock the run's row until the transaction ends, and give a sign of life. Raises AlreadyRunning
    when the run was taken away."""
    driver = jsons.dumps(run.driver) if run.driver else ""
    if await transaction.fetchrow(_SQL["hold"], run.id, driver) is None:
        raise AlreadyRunning(f"{run.job}: another command took over while it was planned")


class Loader:
    """Copies items batch by batch, into a partition of their own when there are many.

    count: items so far. part: the partition they are in. gaps: positions are missing. hashed_ids:
    some items have no ID of their own. bad: some are bad records. remote: to read them is
    to wait for a server. kept: how many need not be done.
    """

    def __init__(
        self,
        db: Database,
        run: Run,
        digest: bytes,
        on_read: Callable[[int], None],
        *,
        remote: bool = False,
        kept: Kept | None = None,
    ) -> None:
        self.count = 0
        self.part = 0
        self.gaps = False
        self.hashed_ids = False
        self.bad = False
        self.kept = 0
        self._db, self._run, self._digest, self._on_read = db, run, digest, on_read
        self._remote, self._kept = remote, kept
        self._last = -1
        self._more = False  # the last batch was full: this run is a large one

    async def load(self, items: Iterator[Item]) -> None:
        """Store them all."""
        db, run = self._db, self._run
        while batch := await self._next(items):
            if self._more and not self.count:
                await step(db, run, lambda held: held.execute(_SQL["begin_items"], run.id))
                self.part = run.id
                batch = [(self.part, *row[1:]) for row in batch]
            batch = await self._marked(batch)
            await self._store(batch)
            self.count += len(batch)
            self._on_read(self.count)
            del batch  # before the next is read: two of them would be the most that planning holds
        if self.part:
            await step(db, run, lambda held: held.execute(_SQL["end_items"], run.id))

    async def _marked(self, batch: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
        """The rows; those that are kept say so."""
        if self._kept is None:
            return batch
        found = await self._kept([(str(row[3]), str(row[5])) for row in batch if row[6] is None])
        good = [n for n, row in enumerate(batch) if row[6] is None]
        for place in found:
            batch[good[place]] = (*batch[good[place]][:-1], True)
        self.kept += len(found)
        return batch

    async def _next(self, items: Iterator[Item]) -> list[tuple[object, ...]]:
        if self._remote:
            return await apart(lambda: self._read(items))
        # Files are read here and not in a thread: the two would only pass the interpreter lock to
        # and fro (measured: 130 k items/s with a thread, 190 k without).
        return self._read(items)

    def _read(self, items: Iterator[Item]) -> list[tuple[object, ...]]:
        self._more = False
        rows: list[tuple[object, ...]] = []
        size = 0
        last = self._last
        part, run, digest = self.part, self._run.id, self._digest
        for item in items:
            mark = fingerprint(digest, item.content)
            self.bad = self.bad or item.error is not None
            if item.position != last + 1:
                self.gaps = True
            last = item.position
            self.hashed_ids = self.hashed_ids or item.hashed_id
            rows.append((part, run, last, item.item_id, mark, item.payload, item.error, False))
            size += len(item.payload)
            if len(rows) == BATCH or size > BATCH_BYTES:
                self._more = True
                break
        self._last = last
        return rows

    async def _store(self, rows: list[tuple[object, ...]]) -> None:
        attempts = 0

        async def store(held: Statements) -> None:
            nonlocal attempts
            attempts += 1
            if attempts > 1 and await self._stands(held, rows[0][2]):
                return  # only the answer got lost
            if self.part:
                table = partitions.name("item", self.part)
                await held.call(lambda connection: copy_rows(connection, table, rows, _COLUMNS))
            else:  # COPY is refused where rows are hidden from a job's role
                _, _, *columns = zip(*rows, strict=True)
                await held.execute(_SQL["add_items"], self._run.id, *columns)

        await step(self._db, self._run, store)

    async def _stands(self, held: Statements, position: object) -> bool:
        if not self.part:
            return bool(await held.fetchval(_SQL["have_items"], self._run.id, position))
        table = partitions.name("item", self.part)  # not reached through `item` yet
        return bool(
            await held.fetchval(
                f"SELECT EXISTS (SELECT 1 FROM {table} WHERE run = $1 AND position = $2)",
                self._run.id,
                position,
            )
        )
