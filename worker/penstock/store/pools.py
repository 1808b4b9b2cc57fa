"""Pools: what workers that share a provider's budget tell each other.

Each member reports about once a second and reads what is wanted of it. One of them leads: it holds
a lease, reads all reports and writes the orders. Everything is safe to repeat, and each statement
stands for itself, so that PgBouncer may give it any connection. The SQL is that of functions which
let nobody into a pool but with a run of his own (migrations/0004_pre_pools_kept_apart.sql).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg

from penstock import jsons
from penstock.store.db import Statements
from penstock.store.queries import load

_SQL = load("pools")

LEARNED_KEPT = timedelta(days=7)
"""How long what was learned of a pool is kept while nobody uses it."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What a member reads. now: the database's clock, seconds since the epoch, somewhere between
    `asked` and `answered`, which are of the event loop's clock.

    leads: this member holds the lease. term: of whoever leads, 0 before the first. state: what was
    learned, None when nothing was. orders: what is wanted of this member, None when nothing is.
    resume_at: before this nothing passes, as any of the members was told; 0 when none was.
    """

    now: float
    leads: bool
    term: int
    state: dict[str, Any] | None
    orders: dict[str, Any] | None
    resume_at: float
    asked: float
    answered: float


@dataclass(frozen=True, slots=True)
class Reported:
    """A member's last report. age: seconds since it came, by the database's clock."""

    member: str
    report: dict[str, Any]
    age: float


async def sync(
    db: Statements,
    key: str,
    member: str,
    run: int,
    report: Callable[[], Mapping[str, Any]],
    lease: float,
) -> Synced:
    """Report, take or keep the lease if it is free, run out or this member's, and read.

    What a report says in `retryAt`, seconds since the epoch, all members hear at their next sync.

    report: asked for when the statement goes out, which may have had to wait for the connection.
    lease: seconds that this member leads from now if it does, at most a minute. For a run that was
    deleted or is another user's nothing is written and nothing read.
    """
    clock = asyncio.get_running_loop().time
    until = timedelta(seconds=lease)

    async def ask(connection: asyncpg.Connection) -> Synced:
        said = jsons.dumps(dict(report()))
        asked = clock()
        row = await connection.fetchrow(_SQL["sync"], key, member, run, said, until)
        return Synced(
            now=row["now"],
            leads=row["leads"],
            term=row["term"],
            state=_read(row["state"]),
            orders=_read(row["orders"]),
            resume_at=row["resume_at"],
            asked=asked,
            answered=clock(),
        )

    return await db.call(ask)


async def reports(db: Statements, key: str, member: str) -> list[Reported]:
    """What the members of a pool said last, of those heard from within the last minute; nothing
    unless this member leads."""
    rows = await db.fetch(_SQL["reports"], key, member)
    told = [(row["member"], _read(row["report"]), row["age"]) for row in rows]
    return [Reported(member, report, age) for member, report, age in told if report is not None]


async def order(
    db: Statements,
    key: str,
    member: str,
    term: int,
    state: Mapping[str, Any],
    orders: Mapping[str, Mapping[str, Any]],
) -> bool:
    """Write what was learned and what each member is to do; orders by member ID. False, and nothing
    is written, unless this member leads in this term."""
    written = await db.fetchval(
        _SQL["order"], key, member, term, jsons.dumps(dict(state)), jsons.dumps(dict(orders))
    )
    return bool(written)


async def leave(db: Statements, key: str, member: str) -> None:
    """The member stops on purpose: it is forgotten, and gives its lease back if it leads."""
    await db.execute(_SQL["leave"], key, member)


async def tidy(db: Statements) -> None:
    """Forget members that died, and pools that nobody has used for long."""
    await db.execute(_SQL["drop_members"])
    await db.execute(_SQL["drop_pools"], LEARNED_KEPT)


def _read(text: str | None) -> dict[str, Any] | None:
    """None also for what no member writes: the rows of a pool are open to all who share it."""
    try:
        told = None if text is None else jsons.loads(text)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None
