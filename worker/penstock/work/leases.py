"""The shards in this worker's hands and how far it is with each. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.store.shards import Lease


@dataclass(slots=True)
class Held:
    """A leased shard. claimed: the next position to fetch. outstanding: fetched and not ended.

    stretch: positions to look at per item wanted; grows where hardly any is still to be done.
    """

    lease: Lease
    claimed: int
    hi: int
    outstanding: int = 0
    careful: bool = False
    stretch: int = 1

    @property
    def exhausted(self) -> bool:
        """Nothing left to fetch."""
        return self.claimed >= self.hi


class Leases:
    """All shards this worker holds, by the position they start at."""

    def __init__(self) -> None:
        self._held: dict[int, Held] = {}

    def __contains__(self, lo: int) -> bool:
        return lo in self._held

    def holds(self, lo: int, epoch: int) -> bool:
        """Whether this very lease is still ours; a shard may have been lost and claimed again."""
        held = self._held.get(lo)
        return held is not None and held.lease.epoch == epoch

    @property
    def numbers(self) -> list[int]:
        """Every shard we hold."""
        return list(self._held)

    @property
    def outstanding(self) -> int:
        """Items that were fetched and have not ended."""
        return sum(held.outstanding for held in self._held.values())

    def add(self, lease: Lease) -> Held:
        """A shard was claimed."""
        suspicious = lease.strikes >= 2 or lease.trial is not None
        held = Held(lease, lease.lo, lease.hi, careful=suspicious)
        self._held[lease.lo] = held
        return held

    def drop(self, lo: int) -> None:
        """A shard is no longer ours (or done)."""
        self._held.pop(lo, None)

    def pairs(self) -> list[tuple[int, int]]:
        """(lo, epoch) of every shard, for renewal."""
        return [(lo, held.lease.epoch) for lo, held in self._held.items()]

    def next_open(self) -> Held | None:
        """A shard with something left to fetch, the oldest first."""
        for held in self._held.values():
            if not held.exhausted:
                return held
        return None

    def fetched(self, lo: int, claimed: int, hi: int, items: int) -> None:
        """Items were fetched up to `claimed`."""
        held = self._held.get(lo)
        if held is not None:
            held.claimed, held.hi = claimed, hi
            held.outstanding += items

    def finished_one(self, lo: int, epoch: int) -> bool:
        """One item came to its end; False when the lease it was fetched under is lost."""
        if not self.holds(lo, epoch):
            return False
        self._held[lo].outstanding -= 1
        return True

    def concerned(self, touched: set[int]) -> list[tuple[int, int, bool]]:
        """(lo, epoch, finished) of the shards with results to write or with nothing left to do."""
        return [
            (lo, held.lease.epoch, held.exhausted and held.outstanding == 0)
            for lo, held in self._held.items()
            if lo in touched or (held.exhausted and held.outstanding == 0)
        ]

    def checkpointed(self, lo: int, hi: int, done: bool) -> None:
        """A checkpoint told the shard's end as it is now (a thief may have moved it)."""
        held = self._held.get(lo)
        if held is None:
            return
        if done:
            del self._held[lo]
        else:
            held.hi = hi
