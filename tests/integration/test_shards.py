"""Leases, fencing, checkpoints and stealing on a real PostgreSQL."""

from __future__ import annotations

import asyncpg
import pytest

from penstock.errors import Fenced
from penstock.store import runs, shards
from penstock.store.db import Database
from penstock.store.shards import Lease, ResultRow, StoredItem
from tests.integration.work_support import planned


def result(
    lease: Lease, item: StoredItem, *, succeeded: bool = True, prompt_tokens: int = 3
) -> ResultRow:
    return ResultRow(
        shard=lease.lo,
        position=item.position,
        item_id=item.item_id,
        fingerprint=item.fingerprint,
        succeeded=succeeded,
        attempts=1,
        reason=None if succeeded else "HTTP 400",
        error=None if succeeded else "no",
        output='{"ok":true}' if succeeded else None,
        prompt_tokens=prompt_tokens,
        completion_tokens=2,
    )


async def expire(db: Database, owner: str) -> None:
    """Make the leases of an owner run out (and the server look long started)."""
    await db.execute(
        "UPDATE shard SET lease_until = now() - interval '1 s' WHERE owner = $1", owner
    )


async def test_a_shard_is_claimed_once_and_home_slots_come_first(db: Database) -> None:
    run = await planned(db, 40, per_shard=10, slots=2)
    first = await shards.claim(db, run.id, "a", home=1, count=1, expired_too=True)
    second = await shards.claim(db, run.id, "b", home=0, count=8, expired_too=True)
    third = await shards.claim(
        db, run.id, "b", home=0, count=8, expired_too=True, held=[lease.lo for lease in second]
    )
    assert [lease.lo for lease in first] == [20]
    assert [lease.lo for lease in second] == [0, 10]
    assert [lease.lo for lease in third] == [30]
    assert await shards.claim(db, run.id, "c", home=0, count=1, expired_too=True) == []


async def test_items_are_fetched_in_order_and_results_counted_once(db: Database) -> None:
    run = await planned(db, 10, per_shard=10)
    (lease,) = await shards.claim(db, run.id, "a", home=0, count=1, expired_too=False)
    claimed, hi, items = await shards.fetch(db, run, lease, 0, 4)
    assert (claimed, hi, [item.position for item in items]) == (4, 10, [0, 1, 2, 3])
    rows = [result(lease, item, succeeded=item.position != 2) for item in items]
    for _ in range(2):  # sent again after a lost connection: nothing is counted twice
        mine = await shards.checkpoint(db, run, [(lease.lo, lease.epoch, False)], rows)
        assert mine == {0: (10, False)}
    totals = await runs.totals(db, run.id)
    assert tuple(totals) == (3, 1, 12, 8)
    assert await runs.failures(db, run) == (("HTTP 400", 1),)
    # Taken over, only what has no result is handed out.
    await shards.release(db, run.id, "a")
    (again,) = await shards.claim(db, run.id, "b", home=0, count=1, expired_too=False)
    _, _, left = await shards.fetch(db, run, again, 0, 10)
    assert [item.position for item in left] == [4, 5, 6, 7, 8, 9]


async def test_a_former_owner_is_fenced(db: Database) -> None:
    run = await planned(db, 10, per_shard=10)
    (old,) = await shards.claim(db, run.id, "a", home=0, count=1, expired_too=False)
    _, _, items = await shards.fetch(db, run, old, 0, 10)
    await shards.release_dead(db, run.id, ["a"], strike=True)
    (new,) = await shards.claim(db, run.id, "b", home=0, count=1, expired_too=False)
    assert new.epoch > old.epoch
    assert new.strikes == 1
    assert new.risky == 10
    late = await shards.checkpoint(db, run, [(old.lo, old.epoch, False)], [result(old, items[0])])
    assert late == {}
    assert (await runs.totals(db, run.id))["succeeded"] == 0
    with pytest.raises(Fenced):
        await shards.fetch(db, run, old, 0, 10)
    assert await shards.renew(db, run.id, [(old.lo, old.epoch)]) == set()
    assert await shards.renew(db, run.id, [(new.lo, new.epoch)]) == {0}


async def test_a_result_clears_the_strikes(db: Database) -> None:
    run = await planned(db, 4, per_shard=4)
    (lease,) = await shards.claim(db, run.id, "a", home=0, count=1, expired_too=False)
    await shards.release_dead(db, run.id, ["a"], strike=True)
    (lease,) = await shards.claim(db, run.id, "b", home=0, count=1, expired_too=False)
    _, _, items = await shards.fetch(db, run, lease, 0, 4)
    await shards.checkpoint(db, run, [(0, lease.epoch, False)], [result(lease, items[0])])
    await shards.release_dead(db, run.id, ["b"], strike=True)
    (lease,) = await shards.claim(db, run.id, "c", home=0, count=1, expired_too=False)
    assert lease.strikes == 1


async def test_an_expired_lease_is_taken_only_where_allowed(db: Database) -> None:
    run = await planned(db, 4, per_shard=4)
    await shards.claim(db, run.id, "a", home=0, count=1, expired_too=False)
    await expire(db, "a")
    assert await shards.claim(db, run.id, "b", home=0, count=1, expired_too=False) == []
    up = await db.fetchval("SELECT extract(epoch FROM now() - pg_postmaster_start_time())")
    taken = await shards.claim(db, run.id, "b", home=0, count=1, expired_too=True)
    # Just after a start of the server nobody takes anything: every lease looks expired then.
    assert len(taken) == (1 if up > shards.LEASE.total_seconds() else 0)


async def test_shards_whose_claim_was_never_answered_are_given_again(db: Database) -> None:
    run = await planned(db, 20, per_shard=10)
    (lost,) = await shards.claim(db, run.id, "a", home=0, count=1, expired_too=False)
    # The connection broke before the answer: "a" asks again and knows of nothing it holds.
    (again,) = await shards.claim(db, run.id, "a", home=0, count=1, expired_too=False)
    assert (again.lo, again.epoch) == (lost.lo, lost.epoch + 1)
    assert again.strikes == 0  # nobody died
    (other,) = await shards.claim(db, run.id, "a", home=0, count=1, expired_too=False, held=[0])
    assert other.lo == 10
    # Its own lease that ran out is not taken from itself: it only has to be renewed.
    await expire(db, "a")
    assert (
        await shards.claim(db, run.id, "a", home=0, count=1, expired_too=True, held=[0, 10]) == []
    )


async def test_stealing_halves_what_is_unclaimed(db: Database) -> None:
    run = await planned(db, 20, per_shard=20)
    (mine,) = await shards.claim(db, run.id, "a", home=0, count=1, expired_too=False)
    await shards.fetch(db, run, mine, 0, 4)
    assert await shards.steal(db, run.id, "a") is None  # not from oneself
    stolen = await shards.steal(db, run.id, "b")
    assert stolen is not None
    assert (stolen.lo, stolen.hi) == (12, 20)
    claimed, hi, items = await shards.fetch(db, run, mine, 4, 20)
    assert (claimed, hi) == (12, 12)
    assert [item.position for item in items] == list(range(4, 12))
    _, _, others = await shards.fetch(db, run, stolen, 12, 20)
    assert [item.position for item in others] == list(range(12, 20))
    # Both halves end as a whole.
    done = await shards.checkpoint(
        db, run, [(0, mine.epoch, True)], [result(mine, item) for item in items]
    )
    assert done == {0: (12, True)}
    assert await shards.unfinished(db, run.id)
    done = await shards.checkpoint(
        db, run, [(12, stolen.epoch, True)], [result(stolen, item) for item in others]
    )
    assert done == {12: (20, True)}
    assert not await shards.unfinished(db, run.id)


async def test_token_counts_may_be_large(db: Database) -> None:
    run = await planned(db, 4, per_shard=4)
    (lease,) = await shards.claim(db, run.id, "a", home=0, count=1, expired_too=False)
    _, _, items = await shards.fetch(db, run, lease, 0, 4)
    rows = [result(lease, item, prompt_tokens=3 * 10**9) for item in items]
    await shards.checkpoint(db, run, [(lease.lo, lease.epoch, False)], rows)
    assert (await runs.totals(db, run.id))["prompt_tokens"] == 12 * 10**9


async def test_a_claim_is_one_question(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await planned(db, 20, per_shard=10)
    asked = []
    fetch = db.fetch

    async def counting(sql: str, *args: object) -> list[asyncpg.Record]:
        asked.append(sql)
        return await fetch(sql, *args)

    monkeypatch.setattr(db, "fetch", counting)
    elsewhere = await shards.claim(db, run.id, "a", home=7, count=1, expired_too=False)
    assert [lease.lo for lease in elsewhere] == [0]
    assert len(asked) == 1
