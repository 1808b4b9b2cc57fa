"""Supply: claims shards and fetches their items, a little ahead of what is being worked on.

Only about half a second of work is fetched ahead: what is fetched cannot be stolen by a worker
that has run dry.
"""

from __future__ import annotations

import asyncio

from penstock import jsons
from penstock.errors import Fenced
from penstock.store import shards
from penstock.store.db import Database
from penstock.store.runs import Run
from penstock.store.shards import Lease, StoredItem
from penstock.work.leases import Held, Leases
from penstock.work.types import WorkItem

MAX_FETCH = 500
MAX_CLAIM = 64
MAX_STRETCH = 1_024


class Supply:
    """Gets work from the database for one worker."""

    def __init__(self, db: Database, run: Run, leases: Leases, owner: str, home: int) -> None:
        self._db, self._run, self._leases = db, run, leases
        self._owner, self._home = owner, home

    async def next_shard(self, wanted: int) -> Held | None:
        """A shard with something left to fetch: one in hand, else claimed, else stolen.

        None: there is nothing to claim or steal now (others may still be working).
        """
        return self._leases.next_open() or await self._claim(wanted)

    async def fetch(self, held: Held, wanted: int) -> list[WorkItem]:
        """About so many open items of a shard from its claim on, at most MAX_FETCH; none when there
        are none on this stretch. Raises Fenced when the shard has a newer owner."""
        lo, epoch = held.lease.lo, held.lease.epoch
        wanted = min(max(wanted, 1), MAX_FETCH)
        until = min(held.claimed + wanted * held.stretch, held.hi)
        claimed, hi, items = await shards.fetch(
            self._db, self._run, held.lease, held.claimed, until
        )
        if not self._leases.holds(lo, epoch):
            raise Fenced(f"shard {lo} was lost while it was read")
        self._leases.fetched(lo, claimed, hi, len(items))
        # Of a redrive only one position in thousands may be open: look further each time.
        if len(items) >= wanted // 2:
            held.stretch = 1
        else:
            held.stretch = min(held.stretch * 2, MAX_STRETCH)
        return [_work_item(item, lo, epoch) for item in items]

    async def _claim(self, wanted: int) -> Held | None:
        quiet = asyncio.get_running_loop().time
        # After an outage every lease looks expired: give the others the time to renew theirs.
        settled = self._db.lost_at is None and (
            quiet() - self._db.back_at > shards.LEASE.total_seconds()
        )
        leased = await self._take(1, expired_too=settled)
        for lease in leased:
            # Small shards: several at once, so that a claim is worth about what is wanted.
            missing = (wanted - (lease.hi - lease.lo)) // max(lease.hi - lease.lo, 1)
            if missing > 0:
                await self._take(min(missing, MAX_CLAIM), expired_too=False)
        if not leased:
            stolen = await shards.steal(self._db, self._run.id, self._owner)
            if stolen is not None:
                self._leases.add(stolen)
        return self._leases.next_open()

    async def _take(self, count: int, *, expired_too: bool) -> list[Lease]:
        leased = await shards.claim(
            self._db,
            self._run.id,
            self._owner,
            home=self._home,
            count=count,
            expired_too=expired_too,
            held=self._leases.numbers,
        )
        for lease in leased:
            self._leases.add(lease)
        return leased

    async def run_finished(self) -> bool:
        """Whether every shard of the run is done."""
        return not await shards.unfinished(self._db, self._run.id)


def _work_item(item: StoredItem, shard: int, epoch: int) -> WorkItem:
    return WorkItem(
        position=item.position,
        item_id=item.item_id,
        fingerprint=item.fingerprint,
        item=jsons.loads(item.payload),
        payload=item.payload,
        shard=shard,
        epoch=epoch,
    )
