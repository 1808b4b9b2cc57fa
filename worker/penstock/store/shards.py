"""Shards: leases with epochs, fenced checkpoints, stealing. The SQL is in sql/shards.sql."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from penstock.errors import Fenced
from penstock.store.db import Database, Statements
from penstock.store.queries import load
from penstock.store.runs import Run

_SQL = load("shards")

LEASE = timedelta(seconds=15)
"""How long a worker may be silent before others take its shards."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A shard in this worker's hands: positions [lo, hi), named by lo, fenced by epoch.

    strikes: owners that died over it without a result since. risky: positions below this were
    claimed by one that died. trial: the position that was being tried alone when it died.
    """

    lo: int
    hi: int
    epoch: int
    strikes: int
    risky: int
    trial: int | None


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item as planned: payload is its JSON text."""

    position: int
    item_id: str
    fingerprint: bytes
    payload: str


@dataclass(frozen=True, slots=True)
class ResultRow:
    """The end of one item: output (JSON text) of a success, reason and error of a failure."""

    shard: int
    position: int
    item_id: str
    fingerprint: bytes
    succeeded: bool
    attempts: int
    reason: str | None
    error: str | None
    output: str | None
    prompt_tokens: int
    completion_tokens: int


def _lease(row: asyncpg.Record) -> Lease:
    return Lease(*(row[name] for name in ("lo", "hi", "epoch", "strikes", "risky", "trial")))


async def claim(
    db: Database,
    run: int,
    owner: str,
    *,
    home: int,
    count: int,
    expired_too: bool,
    held: Sequence[int] = (),
) -> list[Lease]:
    """Lease up to `count` free shards, those of the home slot first, then any.

    expired_too: also those whose owner let its lease run out. held: shards this owner knows to
    hold; others in its name count as free (the answer that gave them was lost).
    """
    rows = await db.fetch(_SQL["claim_shards"], run, owner, home, count, LEASE, expired_too, held)
    return [_lease(row) for row in rows]


async def steal(db: Database, run: int, owner: str) -> Lease | None:
    """Take the unclaimed half of another worker's largest shard; None when there is nothing."""
    try:
        row = await db.fetchrow(_SQL["steal"], run, owner, LEASE)
    except asyncpg.UniqueViolationError:
        return None  # two thieves met; the next look finds what is left
    return _lease(row) if row else None


async def fetch(
    db: Database, run: Run, lease: Lease, since: int, until: int
) -> tuple[int, int, list[StoredItem]]:
    """Claim positions [since, until) of a shard and read those that still have to be done.

    Returns the new claim, the shard's end (it may have shrunk) and the items, in order.
    Raises Fenced when the shard has a newer owner.
    """
    rows = await db.fetch(
        _SQL["fetch_items"],
        run.id,
        lease.lo,
        lease.epoch,
        until,
        run.item_part,
        run.items_run,
        run.result_set,
        run.result_part,
        run.existing,
        run.redrive_reason,
        since,
    )
    if not rows:
        raise Fenced(f"shard {lease.lo} has a newer owner")
    items = [
        StoredItem(row["position"], row["item_id"], row["fingerprint"], row["payload"])
        for row in rows
        if row["position"] is not None
    ]
    return rows[0]["claimed"], rows[0]["hi"], items


async def checkpoint(
    db: Database,
    run: Run,
    leases: Iterable[tuple[int, int, bool]],
    results: Sequence[ResultRow],
) -> dict[int, tuple[int, bool]]:
    """Write results under their shards' leases, in one statement; safe to repeat.

    leases: (lo, epoch, finished) of every shard concerned; finished asks for it to be closed.
    Returns lo -> (hi, done) of the shards that are still ours; a missing one is fenced.
    """
    shards = list(leases)
    names = ResultRow.__dataclass_fields__
    # Sorted by item ID: two jobs that write the same result set lock rows in the same order.
    ordered = sorted(results, key=lambda row: row.item_id)
    columns = [[getattr(row, name) for row in ordered] for name in names]
    rows = await db.fetch(
        _SQL["checkpoint"],
        run.id,
        run.result_set,
        run.result_part,
        LEASE,
        [shard[0] for shard in shards],
        [shard[1] for shard in shards],
        [shard[2] for shard in shards],
        *columns,
    )
    return {row["lo"]: (row["hi"], row["done"]) for row in rows}


async def try_alone(db: Database, run: int, lease: Lease, position: int) -> None:
    """Note the position that is about to be tried alone. Raises Fenced."""
    if not await db.fetchrow(_SQL["try_alone"], run, lease.lo, lease.epoch, position):
        raise Fenced(f"shard {lease.lo} has a newer owner")


async def renew(db: Database, run: int, leases: Sequence[tuple[int, int]]) -> set[int]:
    """Keep leases (lo, epoch); returns those that are still ours."""
    rows = await db.fetch(
        _SQL["renew"], run, [lo for lo, _ in leases], [epoch for _, epoch in leases], LEASE
    )
    return {row["lo"] for row in rows}


async def release(db: Database, run: int, owner: str) -> None:
    """Give back everything this owner holds: it stops on purpose."""
    await db.execute(_SQL["release"], run, owner)


async def release_dead(db: Statements, run: int, owners: list[str] | None, *, strike: bool) -> None:
    """Give back at once what dead workers held (None: all of them). strike: it may be the items."""
    await db.execute(_SQL["release_dead"], run, owners, strike)


async def unfinished(db: Database, run: int) -> bool:
    """Whether any shard is still open."""
    return bool(await db.fetchval(_SQL["unfinished"], run))
