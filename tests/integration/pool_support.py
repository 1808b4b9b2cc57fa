"""Workers' loops in a pool on a real PostgreSQL, with members and leaders that only note."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import asyncpg

from penstock.rate.pool import Told
from penstock.store.db import Database, Statements
from penstock.work.pooling import LEASE, Pooling

POOL = "openai-prod"
T = TypeVar("T")


@dataclass
class NotingMember:
    """Wants to sync every `every` seconds. applied: what it was told, and when by the fleet's time;
    answered: to which of its reports that was. told: pauses that were not over."""

    every: float = 0.25
    applied: list[tuple[float, Told | None]] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    told: list[float] = field(default_factory=list)
    reported: int = 0

    def next_sync(self, now: float) -> float:  # noqa: ARG002
        return self.every

    def report(self, now: float) -> Told:
        self.reported += 1
        return {"n": self.reported, "at": now}

    def apply(self, now: float, orders: Told | None) -> None:
        self.applied.append((now, orders))
        self.answered.append(self.reported)

    def pause(self, now: float, until: float) -> None:
        if until > now:
            self.told.append(until)

    @property
    def share(self) -> object:
        """What it was told last; None: nothing."""
        orders = self.applied[-1][1] if self.applied else None
        return orders and orders["share"]


@dataclass(frozen=True)
class Counted:
    """What a counting leader decides."""

    state: Told
    orders: Mapping[str, Told]


class CountingLeader:
    """Counts the ticks of the pool over all its leaders, and divides it among who is alive."""

    def __init__(self, ticks: list[Mapping[str, tuple[Told, float]]], state: Told | None) -> None:
        self._ticks = ticks
        self._count = int(state["count"]) if state else 0

    def tick(self, now: float, reports: Mapping[str, tuple[Told, float]]) -> Counted:
        self._ticks.append(dict(reports))
        self._count += 1
        alive = [member for member, (_, age) in reports.items() if age < 3]
        orders = {member: {"share": 1 / len(alive), "at": now} for member in alive}
        return Counted({"count": self._count}, orders)


class Workers:
    """Workers of one pool, each with a connection of its own, told apart by letters."""

    def __init__(self, dsn: str, run: int, lease: float, connect: type[Database]) -> None:
        self._dsn, self._run, self._lease, self._connect = dsn, run, lease, connect
        self.members: dict[str, NotingMember] = {}
        self.pooling: dict[str, Pooling] = {}
        self.ticks: dict[str, list[Mapping[str, tuple[Told, float]]]] = {}
        self.databases: dict[str, Database] = {}
        self._loops: dict[str, asyncio.Task[None]] = {}

    async def start(self, *names: str, every: float = 0.25) -> None:
        """Join and go on, one after the other."""
        for name in names:
            db = self._connect(self._dsn, patience=None, on_outage=lambda _: None)
            await db.open()
            member, ticks = NotingMember(every), []  # type: ignore[var-annotated]
            pooling = Pooling(
                db, POOL, member_id=name, run=self._run, member=member, lease=self._lease,
                lead=lambda state, ticks=ticks: CountingLeader(ticks, state),  # type: ignore[misc]
            )  # fmt: skip
            self.databases[name], self.members[name] = db, member
            self.pooling[name], self.ticks[name] = pooling, ticks
            await pooling.join()
            self._loops[name] = asyncio.create_task(pooling.run_forever())

    @property
    def leading(self) -> list[str]:
        """Who leads, by what each heard last."""
        return [name for name, pooling in self.pooling.items() if pooling.leads]

    def shares(self) -> dict[str, object]:
        """What each was told last."""
        return {name: member.share for name, member in self.members.items()}

    async def kill(self, name: str) -> None:
        """Its loop ends without another word, as a killed process does."""
        loop = self._loops.pop(name)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await self.databases.pop(name).close()
        del self.pooling[name], self.members[name]

    async def leave(self, name: str) -> None:
        """It stops on purpose."""
        loop = self._loops.pop(name)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await self.pooling[name].leave()
        await self.databases.pop(name).close()
        del self.pooling[name], self.members[name]

    def check(self) -> None:
        """No loop has ended."""
        for loop in self._loops.values():
            if loop.done():
                loop.result()
        assert not [loop for loop in self._loops.values() if loop.done()]

    async def until(self, condition: Callable[[], object], seconds: float = 20.0) -> float:
        """Wait until it holds, the loops going on; returns how many seconds that took."""
        began = time.monotonic()
        while not condition():
            self.check()
            assert time.monotonic() - began < seconds, f"not within {seconds} s: {self.shares()}"
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    async def close(self) -> None:
        """All of them end."""
        for name in list(self._loops):
            await self.kill(name)


@asynccontextmanager
async def workers(
    dsn: str, run: int, lease: float = LEASE, connect: type[Database] = Database
) -> AsyncIterator[Workers]:
    """None yet; all that are started have ended afterwards."""
    async with AsyncExitStack() as stack:
        made = Workers(dsn, run, lease, connect)
        stack.push_async_callback(made.close)
        yield made
        made.check()


class Pooler(Statements):
    """What PgBouncer's transaction mode may do at worst: every statement on another connection."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def call(self, use: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Use a connection that nobody has used before."""
        connection = await asyncpg.connect(self._dsn, statement_cache_size=0)
        try:
            return await use(connection)
        finally:
            await connection.close()

    async def together(self, use: Callable[[Statements], Awaitable[T]]) -> T:
        """Not needed by pools."""
        raise NotImplementedError
