"""Checkpoints: finished items are written in batches, and never more than one batch is unwritten.

A flush starts at half of `maxItems` (or after `maxInterval`), so that the other half can fill
while it is on its way; at `maxItems` unwritten results no new call starts. What a crash repeats is
therefore at most what was in flight plus `maxItems`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import asyncpg

from penstock.store import shards
from penstock.store.db import Database
from penstock.store.runs import Run
from penstock.store.shards import ResultRow
from penstock.work.leases import Leases

log = logging.getLogger(__name__)


class Checkpointer:
    """Collects results and writes them under their shards' leases. before_last: called before a
    shard's last results are written, after which the run may count as done."""

    def __init__(
        self,
        db: Database,
        run: Run,
        leases: Leases,
        *,
        max_items: int,
        max_interval: float,
        on_flushed: Callable[[int, int, float], None],
        on_fenced: Callable[[int], None],
        before_last: Callable[[], Awaitable[None]],
    ) -> None:
        self._db, self._run, self._leases = db, run, leases
        self._max_items, self._max_interval = max_items, max_interval
        self._on_flushed, self._on_fenced = on_flushed, on_fenced
        self._before_last = before_last
        self._pending: list[ResultRow] = []
        self._writing = 0
        self._wake = asyncio.Event()
        self._full = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._flush_lock = asyncio.Lock()

    @property
    def has_room(self) -> bool:
        """Whether another call may start: its result would still fit."""
        return len(self._pending) + self._writing < self._max_items

    async def wait_for_room(self) -> None:
        """Wait until `has_room`."""
        while not self.has_room:
            self._room.clear()
            await self._room.wait()

    def add(self, row: ResultRow, epoch: int) -> None:
        """A finished item; its shard learns that one less is outstanding. Dropped when the lease it
        was fetched under is lost: the item is the new owner's, even if that is this worker."""
        if not self._leases.finished_one(row.shard, epoch):
            return
        self._pending.append(row)
        self._wake.set()
        if len(self._pending) >= max(1, self._max_items // 2):
            self._full.set()

    def drop_shard(self, shard: int) -> None:
        """Forget unwritten results of a shard that has a newer owner."""
        self._pending = [row for row in self._pending if row.shard != shard]
        self._room.set()

    def nudge(self) -> None:
        """A shard may have become empty without a result: look at it."""
        self._wake.set()

    def hurry(self) -> None:
        """No more results are on their way: write what there is now, not after the interval."""
        if self._pending:
            self._full.set()

    async def run_forever(self) -> None:
        """Flush by count and by time, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                async with asyncio.timeout(self._max_interval):
                    await self._full.wait()
            except TimeoutError:
                pass
            await asyncio.shield(self.flush())  # a stop must not lose what is being written

    async def flush(self) -> None:
        """Write everything that is pending; returns when it stands in the database."""
        async with self._flush_lock:
            self._full.clear()
            batch, self._pending = self._pending, []
            self._writing = len(batch)
            touched = {row.shard for row in batch}
            concerned = self._leases.concerned(touched)
            try:
                if concerned:
                    await self._write(concerned, batch)
            except BaseException:
                self._pending = batch + self._pending
                raise
            finally:
                self._writing = 0
                self._room.set()
                if self._pending:
                    self._wake.set()
                    if len(self._pending) >= max(1, self._max_items // 2):
                        self._full.set()

    async def _write(self, concerned: list[tuple[int, int, bool]], batch: list[ResultRow]) -> None:
        if any(finished for _, _, finished in concerned):
            await self._before_last()
        started = time.monotonic()
        mine = await self._store(concerned, batch)
        for lo, _, _ in concerned:
            if lo not in mine:
                log.warning("shard %d has a newer owner; its work here stops", lo)
                self._on_fenced(lo)
                continue
            hi, done = mine[lo]
            self._leases.checkpointed(lo, hi, done)
        written = [row for row in batch if row.shard in mine]
        failed = sum(not row.succeeded for row in written)
        self._on_flushed(len(written), failed, time.monotonic() - started)

    async def _store(
        self, concerned: list[tuple[int, int, bool]], batch: list[ResultRow]
    ) -> dict[int, tuple[int, bool]]:
        """Write a batch. A result that PostgreSQL cannot hold fails its item and no other."""
        try:
            return await shards.checkpoint(self._db, self._run, concerned, batch)
        except asyncpg.DataError as error:
            if not batch:
                raise
            if len(batch) == 1:
                (row,) = batch
                why = type(error).__name__  # its text may quote the data
                log.warning("the result of position %d cannot be stored: %s", row.position, why)
                return await shards.checkpoint(self._db, self._run, concerned, [_unstorable(row)])
        half = len(batch) // 2
        unfinished = [(lo, epoch, False) for lo, epoch, _ in concerned]
        await self._store(unfinished, batch[:half])
        return await self._store(concerned, batch[half:])


def _unstorable(row: ResultRow) -> ResultRow:
    return replace(
        row,
        succeeded=False,
        reason="result cannot be stored",
        error="PostgreSQL refused it",
        output=None,
        prompt_tokens=0,
        completion_tokens=0,
    )
