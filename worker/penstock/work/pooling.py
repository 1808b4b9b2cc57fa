"""Keeps a worker in its pool: reports what it saw, applies what is wanted, leads when it must.

The decisions are those of `Member` and `Leader` (rate/pool.py); this loop carries them to and from
PostgreSQL. It never disturbs the work: while the database is away nothing is raised and nothing is
applied, so that the member goes on with what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

import asyncpg

from penstock.errors import DatabaseError
from penstock.rate.pool import Leader, Member, Told
from penstock.store import pools
from penstock.store.db import Database
from penstock.store.pools import Synced
from penstock.work.fleet_clock import FleetClock

log = logging.getLogger(__name__)

LEASE = 2.5
"""Seconds a leader may be silent before another member leads."""
LATE = 2.0
"""Seconds after which an answer counts as lost: what it says may no longer be so."""
GRACE = 2.0
"""Seconds without a decision after as long a silence as LATE. It was the database that was away,
then, and the others need a moment to be heard again: they are not dead."""
GAP = 0.1
"""Seconds between two syncs at least, however urgent."""
LEAVING = 2.0
"""Seconds that the last statement may take; without it the lease runs out by itself."""

_TROUBLE = (DatabaseError, asyncpg.PostgresError)


class Pooling:
    """One worker's place in a pool.

    `join` before the first call, `run_forever` beside the work, `leave` after it. member_id: the
    worker's, unique. lead: makes the leader from the state that is known, or None. `leads`: whether
    this member did when it last heard.
    """

    def __init__(
        self,
        db: Database,
        key: str,
        *,
        member_id: str,
        run: int,
        member: Member,
        lead: Callable[[Told | None], Leader],
        lease: float = LEASE,
    ) -> None:
        self._db, self._key, self._id, self._run = db, key, member_id, run
        self._member, self._lead, self._lease = member, lead, lease
        self._loop = asyncio.get_running_loop()
        self._clock = FleetClock(time.time() - self._loop.time())
        self._urgent = asyncio.Event()
        self._leader: Leader | None = None
        self._term = 0
        self._heard_at: float | None = None
        self._wait_until = float("-inf")
        self._troubled = False
        self.leads = False

    def now(self) -> float:
        """The fleet's time, in seconds since the epoch; never goes back."""
        return self._clock.at(self._loop.time())

    def hurry(self) -> None:
        """The member wants to sync now."""
        self._urgent.set()

    async def join(self) -> None:
        """Sync for the first time: from here on the time is the fleet's, and the member knows what
        is known. Waits for the database as long as the connection does."""
        await self.sync()

    async def run_forever(self) -> None:
        """Sync whenever the member wants to, until cancelled."""
        while True:
            await asyncio.sleep(GAP)
            pause = self._member.next_sync(self.now()) - GAP
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(pause, 0.0)):
                    await self._urgent.wait()
            await self.sync()

    async def sync(self) -> None:
        """Report, lead if it is this member's turn, apply the orders. A bug in the member or the
        leader is raised, what the database says is not."""
        self._urgent.clear()
        try:
            synced = await self._heard()
            if synced is None:
                return
            orders: Told | None = synced.orders
            if not synced.leads:
                self._leader = None
            elif synced.answered >= self._wait_until:
                orders = await self._shared_out(synced)
        except _TROUBLE as error:
            if not self._troubled:
                self._troubled = True
                log.warning("the pool of the rate limit cannot be used: %s", error)
            return
        self._troubled = False
        self._member.apply(self.now(), orders)

    async def leave(self) -> None:
        """Give back what this member has, and the lease: another may lead at once. Never raises."""
        self._leader, self.leads = None, False
        with contextlib.suppress(TimeoutError, *_TROUBLE):
            async with asyncio.timeout(LEAVING):
                await pools.leave(self._db, self._key, self._id)

    async def _heard(self) -> Synced | None:
        """None: the answer took so long that it counts as lost."""
        synced = await pools.sync(
            self._db,
            self._key,
            self._id,
            self._run,
            lambda: self._member.report(self.now()),
            self._lease,
        )
        if synced.answered - synced.asked > LATE:
            return None
        self._clock.heard(synced.asked, synced.answered, synced.now)
        if self._heard_at is not None and synced.asked - self._heard_at > LATE:
            self._wait_until = synced.answered + GRACE
        self._heard_at = synced.answered
        self.leads = synced.leads
        self._member.pause(self.now(), synced.resume_at)
        return synced

    async def _shared_out(self, synced: Synced) -> Told | None:
        """Lead: the orders for this member, old ones when it turns out that it leads no more."""
        if self._leader is None or self._term != synced.term:
            self._leader, self._term = self._lead(synced.state), synced.term
        told = await pools.reports(self._db, self._key, self._id)
        made = self._leader.tick(self.now(), {one.member: (one.report, one.age) for one in told})
        if await pools.order(self._db, self._key, self._id, synced.term, made.state, made.orders):
            return made.orders.get(self._id)
        return synced.orders
