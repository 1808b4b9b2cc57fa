"""Workers in a pool: somebody always leads, never two, and the database may go and come back."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from penstock.store import embedded
from penstock.store.account import account
from penstock.store.db import Database
from penstock.store.migrate import migrate
from penstock.work.pooling import GAP, LATE
from tests.integration.embedded_support import over, until
from tests.integration.pool_support import POOL, Workers, workers
from tests.integration.work_support import planned

FIVE = "abcde"


@pytest.fixture
async def run(db: Database) -> int:
    return (await planned(db, 1)).id


def shared_by(fleet: Workers, *names: str) -> bool:
    """Whether these, and nobody else, have the same share each, and one of them leads."""
    even = {name: 1 / len(names) for name in names}
    return fleet.shares() == even and len(fleet.leading) == 1


async def test_one_leads_and_everybody_has_a_share(dsn: str, run: int) -> None:
    async with workers(dsn, run) as fleet:
        await fleet.start("a")
        assert fleet.shares() == {"a": 1.0}  # from its first sync on
        await fleet.start(*FIVE[1:])
        await fleet.until(lambda: shared_by(fleet, *FIVE))
        assert fleet.leading == ["a"]
        assert set(fleet.ticks["a"][-1]) == set(FIVE)
        assert not any(fleet.ticks[name] for name in FIVE[1:])


async def test_all_have_the_databases_time(dsn: str, db: Database, run: int) -> None:
    async with workers(dsn, run) as fleet:
        await fleet.start(*FIVE)
        await fleet.until(lambda: all(len(one.applied) > 5 for one in fleet.members.values()))
        for pooling in fleet.pooling.values():
            before = pooling.now()
            there = await db.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
            after = pooling.now()
            assert before - 0.05 < there < after + 0.05
        for member in fleet.members.values():
            told = [at for at, _ in member.applied]
            assert told == sorted(told)


async def test_a_leader_that_died_is_replaced(dsn: str, run: int) -> None:
    async with workers(dsn, run) as fleet:
        await fleet.start(*FIVE, every=0.5)
        await fleet.until(lambda: shared_by(fleet, *FIVE))
        (leader,) = fleet.leading
        counted = len(fleet.ticks[leader])
        await fleet.kill(leader)
        seconds = await fleet.until(lambda: len(fleet.leading) == 1, 10)
        print(f"another led after {seconds:.2f} s")
        assert seconds < 4.0
        left = [name for name in FIVE if name != leader]
        seconds += await fleet.until(lambda: shared_by(fleet, *left), 10)
        print(f"the share of the dead was in use after {seconds:.2f} s")
        assert seconds < 5.0
        # It went on from what its predecessor had written.
        db = fleet.databases[left[0]]
        state = json.loads(await db.fetchval("SELECT state FROM pool WHERE key = $1", POOL))
        assert state["count"] > counted


async def test_who_leaves_hands_over_at_once(dsn: str, run: int) -> None:
    async with workers(dsn, run, lease=600.0) as fleet:
        await fleet.start("a", "b", "c", every=1.0)
        await fleet.until(lambda: shared_by(fleet, "a", "b", "c"))
        await fleet.leave("a")
        seconds = await fleet.until(lambda: shared_by(fleet, "b", "c"))
        print(f"handed over, and its share in use, after {seconds:.2f} s")
        assert seconds < 3.0  # two syncs, one to lead and one to hear of it


async def test_an_urgent_member_does_not_wait_and_floods_nobody(dsn: str, run: int) -> None:
    async with workers(dsn, run) as fleet:
        await fleet.start("a", every=600.0)
        member, pooling = fleet.members["a"], fleet.pooling["a"]
        began, many = time.monotonic(), 10
        while len(member.applied) <= many:
            pooling.hurry()
            await asyncio.sleep(0.001)
            assert time.monotonic() - began < 20
        assert time.monotonic() - began >= many * GAP * 0.95


class Hesitant(Database):
    """Every second order goes out when its lease has run out, and another may lead."""

    orders = 0

    async def fetchval(self, sql: str, *args: Any) -> Any:
        self.orders += 1
        if self.orders % 2:
            await asyncio.sleep(0.1)
        return await super().fetchval(sql, *args)


async def test_who_leads_no_more_writes_no_more(dsn: str, db: Database, run: int) -> None:
    await db.execute(
        "CREATE TABLE written (n serial, term bigint, leader text, state jsonb);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO public.written (term, leader, state)"
        " VALUES (new.term, new.leader, new.state::jsonb);"
        " RETURN new; END $$;"
        "CREATE TRIGGER note AFTER UPDATE OF state ON pool FOR EACH ROW EXECUTE FUNCTION note()"
    )
    async with workers(dsn, run, lease=0.05, connect=Hesitant) as fleet:
        await fleet.start(*FIVE, every=GAP)
        await fleet.until(lambda: min(len(ticks) for ticks in fleet.ticks.values()) >= 15, 60)
    rows = await db.fetch(
        "SELECT term, leader, (state->>'count')::int AS count FROM written ORDER BY n"
    )
    ticks = sum(len(ticks) for ticks in fleet.ticks.values())
    terms = [row["term"] for row in rows]
    print(f"{ticks} ticks, {len(rows)} of them written, in {len(set(terms))} terms")
    assert terms == sorted(terms)
    leaders = {(row["term"], row["leader"]) for row in rows}
    assert len(leaders) == len(set(terms)) > 10
    counts = [row["count"] for row in rows]
    assert counts == sorted(set(counts))  # nobody wrote over what it had not seen
    assert 0.25 < len(rows) / ticks < 0.75


async def test_an_answer_that_took_long_is_lost(
    dsn: str, connection: asyncpg.Connection, run: int
) -> None:
    async with workers(dsn, run) as fleet:
        await fleet.start("a")
        member = fleet.members["a"]
        async with connection.transaction():
            await connection.execute("SELECT FROM pool_member FOR UPDATE")
            reported = member.reported
            await fleet.until(lambda: member.reported > reported)
            asked = time.monotonic()
            await fleet.until(lambda: time.monotonic() - asked > LATE + 0.3)
        await fleet.until(lambda: member.answered[-1] > reported + 1)
        assert reported + 1 not in member.answered


async def test_a_pool_that_cannot_be_used_is_told_once(
    dsn: str, db: Database, run: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with workers(dsn, run) as fleet:
        await fleet.start("a", every=GAP)
        member = fleet.members["a"]
        await db.execute("ALTER FUNCTION penstock_pool_order RENAME TO gone")
        await fleet.until(lambda: "cannot be used" in caplog.text)
        reported, applied = member.reported, len(member.applied)
        await fleet.until(lambda: member.reported > reported + 5)
        assert len(member.applied) == applied
        await db.execute("ALTER FUNCTION gone RENAME TO penstock_pool_order")
        await fleet.until(lambda: len(member.applied) > applied)
        assert caplog.text.count("cannot be used") == 1


@pytest.fixture
async def stoppable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Path, Database]]:
    """A server that this test may stop, with the schema: its directory, and a connection."""
    monkeypatch.setenv("PENSTOCK_SERVER_GRACE", "0.2")
    home = tmp_path / "db"
    server = await embedded.start(home, cwd=tmp_path)
    db = Database(server.dsn, patience=None, on_outage=lambda _: None)
    try:
        await db.open()
        await db.call(migrate)
        yield home, db
    finally:
        await db.close()
        server.close()
    await until(lambda: over(home))


async def pg_ctl(home: Path, *arguments: str) -> None:
    """PostgreSQL's own pg_ctl, while the loops of this process go on."""
    command = [
        *account().prefix,
        str(embedded.find_binaries(None) / "pg_ctl"),
        *("-D", str(home / "data"), "-l", os.devnull, *arguments),
    ]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["fast", "immediate"])
async def test_the_database_stops_and_comes_back(
    stoppable: tuple[Path, Database], how: str
) -> None:
    """`immediate` is a crash: what was learned is still there, what was reported is not."""
    home, db = stoppable
    run = (await planned(db, 1)).id
    async with workers(db.dsn, run) as fleet:
        await fleet.start(*FIVE)
        await fleet.until(lambda: shared_by(fleet, *FIVE))
        await pg_ctl(home, "stop", "-m", how)
        gone = time.monotonic()
        await fleet.until(lambda: all(one.lost_at for one in fleet.databases.values()))
        applied = {name: len(member.applied) for name, member in fleet.members.items()}
        ticks = {name: len(ticks) for name, ticks in fleet.ticks.items()}
        await fleet.until(lambda: time.monotonic() - gone > 5.0)
        assert {name: len(one.applied) for name, one in fleet.members.items()} == applied
        assert shared_by(fleet, *FIVE)  # everybody goes on with what it has
        await pg_ctl(home, "start")
        back = time.monotonic()
        await fleet.until(
            lambda: all(len(one.applied) > applied[name] for name, one in fleet.members.items())
        )
        print(f"{how}: all heard of after {time.monotonic() - back:.2f} s")
        await fleet.until(lambda: any(len(fleet.ticks[name]) > ticks[name] + 2 for name in FIVE))
        print(f"{how}: led again after {time.monotonic() - back:.2f} s")
        # Nobody was taken for dead because it had not been heard of yet.
        for name in FIVE:
            for reports in fleet.ticks[name][ticks[name] :]:
                assert {one for one, (_, age) in reports.items() if age < 3} == set(FIVE)
        await fleet.until(lambda: shared_by(fleet, *FIVE))
        state = json.loads(await db.fetchval("SELECT state FROM pool WHERE key = $1", POOL))
        assert state["count"] > max(ticks.values())
