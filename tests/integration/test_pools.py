"""The pool in PostgreSQL, statement by statement: who leads, what is written, what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from penstock.store import housekeeping, pools, roles
from penstock.store import migrate as migrate_module
from penstock.store.db import Database, Statements
from penstock.store.migrate import migrate
from penstock.store.pools import Synced
from tests.integration.pool_support import POOL, Pooler
from tests.integration.roles_support import Operator, connected, operating
from tests.integration.test_lost_answers import Deaf
from tests.integration.work_support import manifest, planned


@pytest.fixture
async def run(db: Database) -> int:
    return (await planned(db, 1)).id


async def sync(db: Statements, member: str, run: int, lease: float = 60.0, n: int = 0) -> Synced:
    return await pools.sync(db, POOL, member, run, lambda: {"n": n}, lease)


async def test_the_first_leads_and_the_others_hear_it(db: Database, run: int) -> None:
    a = await sync(db, "a", run, n=1)
    assert (a.leads, a.term, a.state, a.orders) == (True, 1, None, None)
    b = await sync(db, "b", run, n=2)
    assert (b.leads, b.term, b.state, b.orders) == (False, 1, None, None)
    told = {one.member: (one.report, one.age) for one in await pools.reports(db, POOL, "a")}
    assert {member: report for member, (report, _) in told.items()} == {
        "a": {"n": 1},
        "b": {"n": 2},
    }
    assert 0 <= told["b"][1] <= told["a"][1] < 30
    orders = {"a": {"share": 0.7}, "b": {"share": 0.3, "until": 1.5}}
    assert await pools.order(db, POOL, "a", 1, {"rate": 50}, orders)
    b = await sync(db, "b", run)
    assert (b.leads, b.state, b.orders) == (False, {"rate": 50}, orders["b"])
    a = await sync(db, "a", run)
    assert (a.leads, a.term, a.orders) == (True, 1, orders["a"])
    c = await sync(db, "c", run)
    assert (c.leads, c.state, c.orders) == (False, {"rate": 50}, None)
    other = await pools.sync(db, "another", "b", run, dict, 60.0)
    assert (other.leads, other.state) == (True, None)
    assert [one.member for one in await pools.reports(db, "another", "b")] == ["b"]


async def test_time_is_the_databases(db: Database, run: int) -> None:
    before = await db.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
    synced = await sync(db, "a", run)
    after = await db.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
    assert before < synced.now < after
    assert synced.asked < synced.answered


async def test_a_lease_that_ran_out_is_anothers_and_its_term_is_over(
    db: Database, run: int
) -> None:
    assert (await sync(db, "a", run, lease=0.0)).leads
    assert not await pools.order(db, POOL, "a", 1, {"by": "a"}, {})  # run out, though nobody came
    b = await sync(db, "b", run)
    assert (b.leads, b.term) == (True, 2)
    assert not (await sync(db, "a", run)).leads
    for member, term in (("a", 1), ("a", 2), ("b", 1), ("b", 3), ("c", 2)):
        assert not await pools.order(db, POOL, member, term, {"by": "nobody"}, {})
    assert await pools.order(db, POOL, "b", 2, {"by": "b"}, {})
    await pools.leave(db, POOL, "b")
    a = await sync(db, "a", run)
    assert (a.leads, a.term, a.state) == (True, 3, {"by": "b"})
    assert not await pools.order(db, POOL, "a", 1, {"by": "nobody"}, {})


async def test_a_leader_that_comes_late_goes_on_if_nobody_else_came(db: Database, run: int) -> None:
    await sync(db, "a", run, lease=0.0)
    a = await sync(db, "a", run)
    assert (a.leads, a.term) == (True, 1)
    assert await pools.order(db, POOL, "a", 1, {}, {})


async def test_who_leaves_hands_over_at_once(db: Database, run: int) -> None:
    for member in "abc":
        await sync(db, member, run)
    await pools.leave(db, POOL, "b")  # it did not lead
    assert not (await sync(db, "c", run)).leads
    await pools.leave(db, POOL, "a")
    assert not await pools.reports(db, POOL, "a")
    assert (await sync(db, "c", run)).leads
    assert [one.member for one in await pools.reports(db, POOL, "c")] == ["c"]


async def test_of_many_at_once_exactly_one_leads(dsn: str, db: Database, run: int) -> None:
    others = [Database(dsn) for _ in range(12)]
    await asyncio.gather(*(other.open() for other in others))
    try:
        for term in (1, 2, 3):
            found = await asyncio.gather(
                *(sync(other, f"m{n}", run) for n, other in enumerate(others))
            )
            (leader,) = [n for n, synced in enumerate(found) if synced.leads]
            assert found[leader].term == term
            await pools.leave(db, POOL, f"m{leader}")
    finally:
        await asyncio.gather(*(other.close() for other in others))


async def test_nothing_waits_for_a_pool_that_another_leads(
    connection: asyncpg.Connection, db: Database, run: int
) -> None:
    await sync(db, "a", run)
    async with connection.transaction():
        await connection.execute("SELECT FROM pool FOR UPDATE")
        synced = await asyncio.wait_for(sync(db, "b", run), 20)
    assert not synced.leads


async def test_a_run_that_was_deleted_leaves_nothing(db: Database, run: int) -> None:
    synced = await sync(db, "a", run + 1)
    assert (synced.leads, synced.term) == (False, 0)
    assert not await db.fetch("SELECT FROM pool_member UNION ALL SELECT FROM pool")


async def test_a_pause_that_one_was_told_all_hear_at_their_next_sync(
    db: Database, run: int
) -> None:
    assert (await sync(db, "a", run)).resume_at == 0.0
    said = {"retryAt": 5e9}
    b = await pools.sync(db, POOL, "b", run, lambda: said, 60.0)
    assert not b.leads
    assert (await sync(db, "a", run)).resume_at == 5e9
    assert (await pools.sync(db, "another", "c", run, dict, 60.0)).resume_at == 0.0
    said["retryAt"] = 0.0
    await pools.sync(db, POOL, "b", run, lambda: said, 60.0)
    assert (await sync(db, "a", run)).resume_at == 0.0


async def test_infinity_does_no_harm(db: Database, run: int) -> None:
    """JSON has none; orders and reports must not fail for one that slipped in."""
    synced = await pools.sync(db, POOL, "a", run, lambda: {"rate": float("inf")}, 60.0)
    assert await pools.order(db, POOL, "a", synced.term, {"r": float("nan")}, {"a": {"r": 1e400}})
    assert (await sync(db, "a", run)).orders == {"r": None}


async def test_answers_that_were_lost(dsn: str, run: int) -> None:
    """Every statement is carried out twice."""
    deaf = Deaf(dsn, patience=None, on_outage=lambda _: None)
    await deaf.open()
    try:
        a = await sync(deaf, "a", run)
        assert (a.leads, a.term) == (True, 1)
        assert not (await sync(deaf, "b", run)).leads
        assert await pools.order(deaf, POOL, "a", 1, {"count": 1}, {"b": {"n": 1}})
        assert [one.member for one in await pools.reports(deaf, POOL, "a")] == ["a", "b"]
        await pools.leave(deaf, POOL, "a")
        b = await sync(deaf, "b", run)
        assert (b.leads, b.term, b.state, b.orders) == (True, 2, {"count": 1}, {"n": 1})
        assert deaf.lost == 6
    finally:
        await deaf.close()


async def test_a_pooler_may_give_every_statement_another_connection(dsn: str, run: int) -> None:
    pooler = Pooler(dsn)
    a = await sync(pooler, "a", run)
    assert a.leads
    assert not (await sync(pooler, "b", run)).leads
    assert len(await pools.reports(pooler, POOL, "a")) == 2
    assert await pools.order(pooler, POOL, "a", a.term, {}, {"b": {"n": 1}})
    assert (await sync(pooler, "b", run)).orders == {"n": 1}
    await pools.leave(pooler, POOL, "a")
    assert (await sync(pooler, "b", run)).leads


async def test_what_is_stale_goes_and_what_was_learned_stays(db: Database, run: int) -> None:
    for key, days in (("of old", 8), ("of late", 6)):
        await pools.sync(db, key, "a", run, dict, 60.0)
        await pools.order(db, key, "a", 1, {"rate": days}, {})
        await db.execute(
            "UPDATE pool SET updated_at = now() - make_interval(days => $2),"
            " leader_until = now() - make_interval(days => $2) WHERE key = $1",
            key, days,
        )  # fmt: skip
    await sync(db, "alive", run)
    await sync(db, "dead", run)
    await db.execute(
        "UPDATE pool_member SET seen_at = now() - interval '61 seconds' WHERE member <> 'alive'"
    )
    assert [one.member for one in await pools.reports(db, POOL, "alive")] == ["alive"]
    assert await housekeeping.collect(db, 0.0, lambda _: True) == (0, 0)
    keys = [row["key"] for row in await db.fetch("SELECT key FROM pool ORDER BY key")]
    assert keys == ["of late", POOL]
    assert [row["member"] for row in await db.fetch("SELECT * FROM pool_member")] == ["alive"]
    again = await pools.sync(db, "of late", "b", run, dict, 60.0)
    assert (again.leads, again.term, again.state) == (True, 2, {"rate": 6})


async def test_signs_of_life_touch_no_index(db: Database, run: int) -> None:
    """Else both tables would grow by the second."""
    for n in range(200):
        await sync(db, "a", run, n=n)
        await pools.order(db, POOL, "a", 1, {"count": n}, {"a": {"n": n}})
    await db.execute("SELECT pg_stat_force_next_flush()")
    rows = await db.fetch(
        "SELECT relname, n_tup_upd AS all, n_tup_hot_upd AS hot FROM pg_stat_user_tables"
        " WHERE relname IN ('pool', 'pool_member')"
    )
    found = {row["relname"]: (row["all"], row["hot"]) for row in rows}
    assert found["pool_member"][0] == 199
    assert found["pool"][0] == 399
    for every, hot in found.values():
        assert hot >= 0.95 * every
    assert (
        await db.fetchval("SELECT pg_relation_size('pool') + pg_relation_size('pool_member')")
        < 2**16
    )


@asynccontextmanager
async def two_jobs(empty_dsn: str) -> AsyncIterator[tuple[Operator, Database, Database, list[int]]]:
    """The operator, the pods of two jobs under roles of their own, and the jobs' runs."""
    async with operating(empty_dsn) as operator:
        ids = [(await operator.opened(name, manifest())).id for name in ("one", "two")]
        urls = [await operator.address(name) for name in ("one", "two")]
        async with connected(urls[0]) as one, connected(urls[1]) as two:
            yield operator, one, two, ids


async def test_two_jobs_under_roles_of_their_own_share_a_pool(empty_dsn: str) -> None:
    async with two_jobs(empty_dsn) as (operator, one, two, (first, second)):
        assert (await sync(one, "a", first)).leads
        assert not (await sync(two, "b", second)).leads
        assert [told.member for told in await pools.reports(one, POOL, "a")] == ["a", "b"]
        assert await pools.order(one, POOL, "a", 1, {"rate": 5}, {"b": {"share": 1}})
        assert (await sync(two, "b", second)).orders == {"share": 1}
        await pools.leave(one, POOL, "a")
        b = await sync(two, "b", second)
        assert (b.leads, b.state) == (True, {"rate": 5})
        await operator.db.execute("UPDATE pool_member SET seen_at = '2000-01-01'")
        await pools.tidy(operator.db)
        assert not await pools.reports(two, POOL, "b")


async def test_a_job_speaks_for_no_other(empty_dsn: str) -> None:
    async with two_jobs(empty_dsn) as (operator, one, two, (first, second)):
        a = await sync(one, "a", first, n=1)
        await pools.order(one, POOL, "a", a.term, {"rate": 5}, {"a": {}, "b": {}, "x": {}})
        before = await operator.db.fetch("SELECT * FROM pool, pool_member")
        for member, run in (("b", first), ("a", second), ("a", first), ("b", 999)):
            said = await sync(two, member, run)  # not its run, or not its member
            assert (said.leads, said.term, said.state, said.orders) == (False, 0, None, None)
        assert not await pools.reports(two, POOL, "a")
        assert not await pools.order(two, POOL, "a", a.term, {"rate": 1}, {})
        await pools.leave(two, POOL, "a")
        await sync(two, "b", second)  # in the pool, but does not lead it
        assert not await pools.reports(two, POOL, "b")
        assert not await pools.order(two, POOL, "b", a.term, {"rate": 1}, {})
        await pools.leave(two, POOL, "b")
        assert await operator.db.fetch("SELECT * FROM pool, pool_member") == before


async def test_a_pool_opens_to_who_knows_its_key_and_keys_cannot_be_listed(empty_dsn: str) -> None:
    async with two_jobs(empty_dsn) as (_, one, two, (first, _)):
        await sync(one, "a", first)
        for statement in (
            *(f"SELECT {what} FROM {table}" for table, what in
              (("pool", "*"), ("pool", "key"), ("pool_member", "*"), ("pool_member", "count(*)"))),
            f"INSERT INTO pool (key) VALUES ('{POOL}')",
            f"INSERT INTO pool_member VALUES ('{POOL}', 'x', {first}, '', now())",
            "UPDATE pool SET state = NULL",
            "UPDATE pool_member SET report = ''",
            "DELETE FROM pool",
            "DELETE FROM pool_member",
            f"SELECT penstock_is_mine({first})",
            "SELECT penstock_admit_to_pools('public')",
        ):  # fmt: skip
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await two.execute(statement)


async def test_whoever_is_granted_the_tables_by_hand_finds_them_empty(empty_dsn: str) -> None:
    async with two_jobs(empty_dsn) as (operator, one, two, (first, _)):
        await sync(one, "a", first)
        await operator.db.execute("GRANT ALL ON pool, pool_member TO PUBLIC")
        assert not await two.fetch("SELECT FROM pool UNION ALL SELECT FROM pool_member")


async def test_a_lease_is_short_whatever_is_asked_for(db: Database, run: int) -> None:
    await sync(db, "a", run, lease=1e9)
    left = await db.fetchval("SELECT extract(epoch FROM leader_until - now())::float8 FROM pool")
    assert 0 < left <= 60


async def test_rights_on_the_tables_from_before_are_gone_after_the_migration(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database with jobs at work that was set up when any job could read and write any pool."""
    files = migrate_module._files()
    older = {name: sql for name, sql in files.items() if name < "0004"}
    monkeypatch.setattr(migrate_module, "_files", lambda: older)
    monkeypatch.setitem(roles._SQL, "is_admitted", "SELECT $1::text IS NULL")
    async with two_jobs(empty_dsn) as (operator, one, two, (first, second)):
        await operator.db.execute(
            "INSERT INTO pool (key, state) VALUES ($1, '{\"rate\": 5}')", POOL
        )
        assert await two.fetch("SELECT key FROM pool")
        monkeypatch.undo()
        assert await operator.db.call(migrate) == len(files) - len(older)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await two.fetch("SELECT key FROM pool")
        a = await sync(one, "a", first)
        assert (a.leads, a.state) == (True, {"rate": 5})
        assert not (await sync(two, "b", second)).leads
