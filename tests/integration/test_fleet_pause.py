"""A Retry-After that one of five workers is told stops all of them, in real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from penstock.rate.bounds import Bounds, CallReport, Outcome
from penstock.rate.leader import Leader
from penstock.rate.member import Member
from penstock.store.db import Database
from penstock.work.gate import Gate
from penstock.work.pooling import Pooling
from tests.integration.work_support import planned

WORKERS = 5
RATE = 180.0
"""Calls a second: so many that each of five workers has a share."""
PAUSE = 4.0
LATENCY = 0.03
SLACK = 0.1
"""Seconds by which clocks may differ at the end of a pause."""


class Fleet:
    """Workers that call as fast as they may a far side that answers all but the calls it was told
    to refuse. sent: when each call was made, by the loop's clock, and by which worker."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, int]] = []
        self.pooling: list[Pooling] = []
        self.refuse: int | None = None
        self.refused = asyncio.Event()
        self.refused_at = 0.0
        self._clock = asyncio.get_running_loop().time

    async def call(self, worker: int, gate: Gate) -> None:
        """One call from the gate to its end."""
        permit = await gate.acquire(0)
        self.sent.append((self._clock(), worker))
        await asyncio.sleep(LATENCY)
        outcome, told = Outcome.OK, None
        if self.refuse == worker:
            outcome, told = Outcome.THROTTLED, PAUSE
            self.refuse, self.refused_at = None, self._clock()
            self.refused.set()
        gate.release(permit, CallReport(outcome, permit.sent_at, retry_after=told))

    def between(self, begin: float, end: float) -> list[tuple[float, int]]:
        """The calls made so many seconds after the refusal, with their workers."""
        since = [(at - self.refused_at, worker) for at, worker in self.sent]
        return [(at, worker) for at, worker in since if begin <= at < end]

    async def until(self, seconds: float) -> None:
        """So long after the refusal."""
        await asyncio.sleep(self.refused_at + seconds - self._clock())


@asynccontextmanager
async def fleet(dsn: str, run: int) -> AsyncIterator[Fleet]:
    """At work, with a stated limit, each worker with a connection of its own."""
    made, bounds = Fleet(), Bounds(1, 32, requests_per_second=RATE)
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = []

        async def send(worker: int, gate: Gate) -> None:
            while True:
                await made.call(worker, gate)

        for worker in range(WORKERS):
            db = Database(dsn, patience=None, on_outage=lambda _: None)
            await db.open()
            stack.push_async_callback(db.close)
            name, member = f"w{worker}", Member(bounds, str(run))
            pooling = Pooling(
                db, "pool", member_id=name, run=run, member=member,
                lead=lambda state, name=name: Leader(bounds, name, state),  # type: ignore[misc]
            )  # fmt: skip
            gate = Gate(member, pooling.now, pooling.hurry)
            await pooling.join()
            made.pooling.append(pooling)
            tasks.append(group.create_task(pooling.run_forever()))
            tasks += [group.create_task(send(worker, gate)) for _ in range(8)]
        yield made
        for task in tasks:
            task.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("told", ["the leader", "another"])
async def test_a_retry_after_stops_all_within_a_second(dsn: str, db: Database, told: str) -> None:
    run = (await planned(db, 1)).id
    async with fleet(dsn, run) as five:
        five.refused_at = asyncio.get_running_loop().time()
        await five.until(8.0)  # calm: all send, and sync seldom
        assert {worker for _, worker in five.between(7.0, 8.0)} == set(range(WORKERS))
        leads = [pooling.leads for pooling in five.pooling]
        worker = leads.index(told == "the leader")
        five.refuse = worker
        async with asyncio.timeout(5):
            await five.refused.wait()
        await five.until(PAUSE + 2.0)
        late = five.between(1.0, PAUSE - LATENCY - SLACK)
        last = max((at for at, _ in five.between(0.0, PAUSE / 2)), default=0.0)
        print(f"{told} was told: the last call {last:.2f} s later, {len(late)} in the pause")
        assert not late
        assert not [one for one in five.between(0.0, 1.0) if one[1] == worker and one[0] > 0.05]
        assert len(five.between(PAUSE + 0.5, PAUSE + 1.5)) > RATE / 3  # all go on
