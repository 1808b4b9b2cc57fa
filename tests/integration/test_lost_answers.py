"""Every statement's answer lost once: it was carried out, and nobody knows. All of it is repeated.

This is what "safe to repeat" means, which store/db.py asks of everything that goes through it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import asyncpg
import pytest

from penstock.plan import loader, planner
from penstock.sources.items import Item
from penstock.store import runs, shards
from penstock.store.db import Database
from penstock.store.runs import Run
from penstock.work.types import CallResult, WorkItem
from penstock.work.worker import End
from tests.integration.work_support import Scripted, good, stored, worker

T = TypeVar("T")


class Deaf(Database):
    """Loses its connection each time after a statement was carried out, before the answer came."""

    lost = 0

    async def call(self, use: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """As ever; the first answer is lost."""
        heard = False

        async def once_in_vain(connection: asyncpg.Connection) -> T:
            nonlocal heard
            answer = await use(connection)
            if not heard:
                heard = True
                self.lost += 1
                connection.terminate()
                raise asyncpg.ConnectionDoesNotExistError("the connection was closed")
            return answer

        return await super().call(once_in_vain)


@pytest.fixture
async def deaf(dsn: str) -> AsyncIterator[Deaf]:
    database = Deaf(dsn, patience=None, on_outage=lambda _: None)
    await database.open()
    yield database
    await database.close()


async def opened(db: Database) -> Run:
    """The first run of a job, in phase Planning."""
    return await planner.open_run(
        db, job="job", result_set="set", manifest="{}", manifest_path="", existing="skip",
        redrive_reason="", driver='{"host":"here","pid":1,"started":0.0}', number=1,
    )  # fmt: skip


@pytest.mark.parametrize("count", [60, loader.BATCH * 2 + 5])
async def test_plan(deaf: Deaf, count: int) -> None:
    """In the shared tables and in tables of its own."""
    run = await opened(deaf)
    items = (Item(n, f"i{n}", b"c%d" % n, f'{{"n":{n}}}', f"row {n}") for n in range(count))
    request = planner.PlanRequest(b"digest", None, 2, fail_duplicates=False)
    summary = await planner.plan(deaf, run, request, items, lambda _: None)
    assert (summary.total, summary.new, summary.run) == (count, count, 1)
    assert await deaf.fetchval("SELECT count(*) FROM run") == 1
    found = await deaf.fetchrow(
        "SELECT count(*), count(DISTINCT position), max(position) FROM item"
    )
    assert found is not None
    assert tuple(found) == (count, count, count - 1)
    cut = await deaf.fetchrow("SELECT min(lo), max(hi), sum(hi - lo) FROM shard")
    assert cut is not None
    assert tuple(cut) == (0, count, count)
    assert deaf.lost > 8


async def test_work(deaf: Deaf) -> None:
    run = await opened(deaf)
    items = (Item(n, f"i{n}", b"c%d" % n, f'{{"n":{n}}}', f"row {n}") for n in range(200))
    request = planner.PlanRequest(b"digest", 40, 1, fail_duplicates=False)
    await planner.plan(deaf, run, request, items, lambda _: None)
    run = await runs.get(deaf, run.id)

    async def answer(group: Sequence[WorkItem]) -> CallResult:
        return good(group)

    processor = Scripted(answer)
    assert await worker(deaf, run, processor).work(1.0) is End.FINISHED
    assert set(processor.calls.values()) == {1}
    rows = await stored(deaf, run)
    assert [row.output for row in rows] == [str(n) for n in range(200)]
    totals = await runs.totals(deaf, run.id)
    assert (totals["succeeded"], totals["failed"]) == (200, 0)
    assert not await shards.unfinished(deaf, run.id)
    assert deaf.lost > 20
