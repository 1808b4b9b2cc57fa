"""Items that may have killed their worker: found out one at a time.

When two owners of a shard died without one result, what they had claimed is tried alone, each item
noted in the database before it starts. The item whose owner dies then is the one, and fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from penstock.errors import Fenced
from penstock.store import shards
from penstock.store.db import Database
from penstock.work.attempts import Attempts
from penstock.work.checkpoint import Checkpointer
from penstock.work.leases import Held, Leases
from penstock.work.supply import Supply

log = logging.getLogger(__name__)

REASON = "killed its worker"
MESSAGE = "the worker ended while it had only this item"


@dataclass(frozen=True, slots=True)
class Suspects:
    """Works off what dead owners had claimed, for one worker."""

    db: Database
    run: int
    leases: Leases
    supply: Supply
    attempts: Attempts
    checkpointer: Checkpointer
    fenced: Callable[[int], None]

    async def clear(self, held: Held) -> None:
        """Do the risky part of a shard one item at a time; afterwards it is as any other."""
        lease = held.lease
        log.warning("shard %d lost %d workers; trying its items alone", lease.lo, lease.strikes)
        await self.attempts.idle()
        try:
            while held.claimed < min(lease.risky, held.hi) and lease.lo in self.leases:
                for item in await self.supply.fetch(held, 1):
                    if item.position == lease.trial:
                        self.attempts.fail_unsent(item, REASON, MESSAGE)
                    else:
                        await shards.try_alone(self.db, self.run, lease, item.position)
                        await self.attempts.alone(item)
                    await self.checkpointer.flush()
        except Fenced:
            self.fenced(lease.lo)
        held.careful = False
