"""A job under a role of its own: everything its pods do works, and nothing else is reached."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from penstock.errors import InputError, NotFound
from penstock.plan import loader
from penstock.pods.export import export_main
from penstock.pods.plan import plan_main
from penstock.pods.rows import rows_main
from penstock.spec.job import BatchJob
from penstock.store import ending, housekeeping, pools, roles, runs, shards
from penstock.store.runs import Run
from penstock.work.types import CallResult, FailureKind, WorkItem
from penstock.work.worker import End
from penstock_operator.access import with_user
from tests.integration.roles_support import PASSWORD, Operator, connected, operating
from tests.integration.work_support import Scripted, bad, good, manifest, worker

COUNT = 120


@pytest.fixture
async def operator(empty_dsn: str) -> AsyncIterator[Operator]:
    async with operating(empty_dsn) as made:
        yield made


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory, with items.jsonl in it."""
    monkeypatch.chdir(tmp_path)
    _write(f'{{"id": "i{n}", "n": {n}}}' for n in range(COUNT))


def _write(lines: Iterable[str]) -> None:
    Path("items.jsonl").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run gets partitions of its own."""
    monkeypatch.setattr(loader, "BATCH", 50)


def job(**spec: Any) -> BatchJob:
    return manifest(
        **{
            "source": {"file": {"path": "items.jsonl"}, "idField": "id"},
            "sharding": {"itemsPerShard": COUNT},
            "output": {"file": {"path": "out.jsonl"}},
            **spec,
        }
    )


def environ(url: str, run: Run) -> dict[str, str]:
    return {"PENSTOCK_DATABASE_URL": url, "PENSTOCK_RUN": str(run.id), "PENSTOCK_JOB": run.job}


async def worked(url: str, run: Run, *failing: int) -> list[Scripted]:
    """Two workers work a planned run off; the items whose n is in `failing` fail."""

    async def answer(group: Sequence[WorkItem]) -> CallResult:
        await asyncio.sleep(0.002)  # the work itself; long enough that both have some
        if group[0].item["n"] in failing:
            return bad(group, FailureKind.REJECTED, "HTTP 400")
        return good(group)

    both = [Scripted(answer), Scripted(answer)]
    async with connected(url) as one, connected(url) as two:
        run = await runs.get(one, run.id)
        ends = await asyncio.gather(
            worker(one, run, both[0], owner="a", concurrency=2).work(1.0),
            worker(two, run, both[1], owner="b", concurrency=2).work(1.0),
        )
    assert set(ends) == {End.FINISHED}
    return both


async def read(url: str, name: str) -> list[Any]:
    """What `penstock rows` gives."""
    stream = io.BytesIO()
    await rows_main({"PENSTOCK_DATABASE_URL": url}, f"team/{name}", stream, failed=False)
    *rows, last = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert last == {"rows": len(rows)}
    return rows


async def lived(operator: Operator, name: str, *failing: int, **given: Any) -> Run:
    """A run from nothing to its end, by pods of the job's own."""
    run = await operator.opened(name, job(), **given)
    url = await operator.address(name)
    await plan_main(environ(url, run))
    await worked(url, run, *failing)
    await ending.begin_export(operator.db, run.id)
    await export_main(environ(url, run))
    return await operator.run(run)


async def test_a_small_run_from_plan_to_rows(operator: Operator, tmp_path: Path) -> None:
    run = await lived(operator, "one", 3)
    assert (run.phase, run.reason) == ("Complete", "CompletedWithFailedItems")
    assert (run.item_part, run.result_part) == (0, 0)
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["_position"] for row in written] == list(range(COUNT))
    rows = await read(await operator.address("one"), "one")
    assert [row[0] for row in rows] == list(range(COUNT))
    assert [row[0] for row in rows if row[2] == "failed"] == [3]


@pytest.mark.usefixtures("large")
async def test_a_second_worker_steals_of_a_large_run(operator: Operator) -> None:
    run = await operator.opened("one", job())
    url = await operator.address("one")
    await plan_main(environ(url, run))
    one, two = await worked(url, run)
    assert not set(one.calls) & set(two.calls)
    assert min(len(one.calls), len(two.calls)) > COUNT // 4
    run = await operator.run(run)
    assert run.item_part == run.id
    assert run.result_part > 0
    assert [row[5]["n"] for row in await read(url, "one")] == list(range(COUNT))
    async with connected(url) as pod:  # its partitions are reached by their parents alone
        for table in (f"item_{run.id}", f"result_{run.result_part}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pod.fetch(f"SELECT * FROM {table}")
            assert await operator.db.fetchval(f"SELECT count(*) FROM {table}") == COUNT


async def test_what_failed_is_done_again(operator: Operator) -> None:
    await lived(operator, "one", 1, 5)
    run = await operator.opened("one", job(), existing="redrive")
    url = await operator.address("one")
    await plan_main(environ(url, run))
    calls = [call for part in await worked(url, run) for call in part.calls]
    assert sorted(calls) == ["i1", "i5"]
    assert {row[2] for row in await read(url, "one")} == {"skipped", "succeeded"}


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("attached", [False, True])
async def test_a_plan_that_died_is_begun_anew(operator: Operator, attached: bool) -> None:
    run = await operator.opened("one", job())
    url = await operator.address("one")
    async with connected(url) as pod:
        assert await housekeeping.start_over(pod, run.id, '"first"')
        await pod.execute("SELECT penstock_begin_items($1)", run.id)
        row = (run.id, run.id, 0, "old", b"f", "{}", None, False)
        await pod.call(lambda c: c.copy_records_to_table(f"item_{run.id}", records=[row]))
        if attached:
            await pod.execute("SELECT penstock_end_items($1)", run.id)
        with pytest.raises(asyncpg.PostgresError):  # not even there
            await pod.call(
                lambda c: c.copy_records_to_table(
                    f"item_{run.id}",
                    records=[(run.id, run.id + 1, 1, "x", b"f", "{}", None, False)],
                )
            )
    await plan_main(environ(url, run))
    assert (await operator.run(run)).total == COUNT
    assert "old" not in [row[1] for row in await read(url, "one")]


async def test_bad_input_is_told(operator: Operator) -> None:
    _write(['{"id": "a"}', '{"id": "a"}'])
    run = await operator.opened("one", job())
    with pytest.raises(InputError, match="'a'"):
        await plan_main(environ(await operator.address("one"), run))
    assert (await operator.run(run)).reason == "InvalidInput"
    assert not await operator.db.fetchval("SELECT count(*) FROM item")


async def test_a_shard_changes_hands(operator: Operator) -> None:
    run = await operator.opened("one", job())
    url = await operator.address("one")
    await plan_main(environ(url, run))
    async with connected(url) as pod:
        (lease,) = await shards.claim(pod, run.id, "a", home=0, count=9, expired_too=True)
        await shards.try_alone(pod, run.id, lease, 0)
        assert await shards.renew(pod, run.id, [(lease.lo, lease.epoch)]) == {0}
        await shards.release(pod, run.id, "a")
        assert await runs.set_phase(pod, run.id, "Paused", since=("Running",), reason="HTTP 401")
        await housekeeping.delete_run(operator.db, run.id)
        # What a worker finds whose job was deleted: nothing, which ends it.
        assert await runs.worker_seen(pod, run.id, "a", 0, {}) is None


@pytest.mark.usefixtures("large")
async def test_a_member_of_the_owner_is_as_the_owner(operator: Operator) -> None:
    """As the user of a `workerKey` may be."""
    user, name = await operator.db.fetchval("SELECT ARRAY[current_user::text, current_database()]")
    admin = await asyncpg.connect(operator.url.replace(f"{user}:{PASSWORD}@", "penstock@"))
    await admin.execute(f"CREATE ROLE member_{name} LOGIN IN ROLE {user}")
    await admin.close()
    url = with_user(operator.url, f"member_{name}", "x", name)
    run = await operator.opened("one", job())
    await plan_main(environ(url, run))
    await worked(url, run)
    assert len(await read(url, "one")) == COUNT


async def test_jobs_of_a_namespace_share_a_result_set(operator: Operator) -> None:
    await lived(operator, "one", 7, result_set="team/shared")
    run = await operator.opened("two", job(), result_set="team/shared")
    url = await operator.address("two")
    await plan_main(environ(url, run))
    calls = [call for part in await worked(url, run) for call in part.calls]
    assert calls == ["i7"]  # over what the other job has written
    rows = await read(url, "two")
    assert {row[2] for row in rows} == {"skipped", "succeeded"}
    assert rows[0][6] == 0


@pytest.fixture
async def stranger(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncpg.Connection]:
    """The role of job two, planned and worked off, in a database where run 1 is job one's."""
    monkeypatch.setattr(loader, "BATCH", 50)
    theirs = await lived(operator, "one")
    assert (theirs.id, theirs.item_part) == (1, 1)
    mine = await lived(operator, "two")
    assert mine.id == 2
    connection = await asyncpg.connect(await operator.address("two"))
    yield connection
    await connection.close()


async def test_other_jobs_rows_are_not_there(
    operator: Operator, stranger: asyncpg.Connection
) -> None:
    tables = {"run": "id", "item": "run", "shard": "run", "worker": "run", "result": "run"}
    for table, column in tables.items():
        assert await stranger.fetchval(f"SELECT array_agg(DISTINCT {column}) FROM {table}") == [2]
        assert await operator.db.fetchval(f"SELECT count(DISTINCT {column}) FROM {table}") == 2
    assert await stranger.fetchval("SELECT array_agg(name) FROM result_set") == ["team/two"]
    for change in (
        "UPDATE run SET phase = 'Failed' WHERE id = 1",
        "UPDATE item SET error = 'x' WHERE run = 1",
        "DELETE FROM item WHERE part = 1",
        "UPDATE shard SET epoch = 9 WHERE run = 1",
        "DELETE FROM shard WHERE run = 1",
        "DELETE FROM worker WHERE run = 1",
        "UPDATE result SET succeeded = false WHERE run = 1",
    ):
        assert (await stranger.execute(change)).endswith(" 0"), change
    with pytest.raises(NotFound):
        await rows_main(
            {"PENSTOCK_DATABASE_URL": await operator.address("two")},
            "team/one", io.BytesIO(), failed=False,
        )  # fmt: skip
    await stranger.execute(f"SET ROLE {(await roles.place(operator.db)).group}")
    assert await stranger.fetchval("SELECT count(*) FROM run") == 0


REFUSED = [
    "INSERT INTO run (job, number, result_set, manifest, existing) VALUES ('x', 1, 1, '', 'skip')",
    "DELETE FROM run",
    *(
        f"UPDATE run SET {column} = {column}"
        for column in ("role", "owner", "job", "number", "result_set", "manifest", "suspend")
    ),
    "INSERT INTO result_set (name) VALUES ('x')",
    "UPDATE result_set SET part = 0",
    "DELETE FROM result",
    "UPDATE result SET result_set = result_set",
    "UPDATE result SET run = 1",
    "UPDATE shard SET run = 1",
    "UPDATE item SET run = run",
    "UPDATE item SET payload = ''",
    "INSERT INTO item (part, run, position, item_id, fingerprint, payload)"
    " VALUES (0, 1, 999, 'x', '', '')",
    "INSERT INTO shard (run, lo, hi, claimed) VALUES (1, 999, 1000, 999)",
    "INSERT INTO worker (run, id, slot) VALUES (1, 'x', 0)",
    *(
        "INSERT INTO result (part, result_set, item_id, run, position, fingerprint, succeeded, "
        f"attempts) SELECT 0, {its_set}, 'x', {its_run}, 1, '', true, 1"
        for its_set, its_run in (("1", "2"), ("(SELECT id FROM result_set)", "1"))
    ),
    "SELECT * FROM penstock_migration",
    "SELECT * FROM item_shared",
    "SELECT * FROM result_shared",
    "SELECT * FROM item_1",
    "SELECT nextval(pg_get_serial_sequence('result_set', 'id'))",
    "TRUNCATE item",
    "CREATE TABLE mine (n int)",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "ALTER TABLE run DISABLE ROW LEVEL SECURITY",
    "DROP POLICY own ON run",
    "ALTER FUNCTION penstock_check_planning SECURITY INVOKER",
    "SELECT penstock_admit('public')",
    "SELECT penstock_check_planning(1)",
    "SELECT penstock_make_apart('item', 1, 'true')",
    "SELECT penstock_attach('item', 1, 'part')",
    *(
        f"SELECT {function}"
        for run in (1, 2)  # another job's, and one that is not being planned
        for function in (
            f"penstock_begin_items({run})",
            f"penstock_end_items({run})",
            f"penstock_place_results({run}, true)",
            f"penstock_analyze({run}, 'item', 0)",
        )
    ),
    "SET row_security = off; SELECT * FROM run",
]


async def test_what_no_job_needs_is_refused(
    operator: Operator, stranger: asyncpg.Connection
) -> None:
    before = await operator.db.fetch("SELECT * FROM run ORDER BY id")
    user = await operator.db.fetchval("SELECT current_user")
    others = [f"SET ROLE {role}" for role in (user, await operator.role("one"))]
    for statement in [*REFUSED, *others]:
        try:
            await stranger.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            continue
        pytest.fail(f"it was allowed: {statement}")
    assert await operator.db.fetch("SELECT * FROM run ORDER BY id") == before


async def test_many_runs_of_others_cost_a_job_nothing(operator: Operator) -> None:
    run = await operator.opened("one", job())
    url = await operator.address("one")
    await operator.db.execute(
        "INSERT INTO run (job, number, result_set, manifest, existing, role)"
        " SELECT 'other', n, 1, '{}', 'skip', 'penstock_job_' || n FROM generate_series(1, 3000) n"
    )
    async with connected(url) as pod:
        found = await pod.fetch("EXPLAIN SELECT * FROM shard WHERE run = $1", run.id)
    assert "Index Cond: (role = (CURRENT_USER)::text)" in "\n".join(row[0] for row in found)


async def test_nothing_that_a_job_makes_is_run_as_the_owner(operator: Operator) -> None:
    """In a schema where everybody may create, as databases have it that PostgreSQL 14 made."""
    await operator.db.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    run = await operator.opened("one", job())
    trap = (
        "CREATE FUNCTION {} LANGUAGE plpgsql AS $$ BEGIN INSERT INTO caught VALUES (current_user);"
    )
    async with connected(await operator.address("one")) as pod:
        await pod.execute("CREATE TABLE caught (by name); GRANT INSERT ON caught TO PUBLIC")
        for function in (
            "joined(text, bigint) RETURNS text",
            "joined(text, int) RETURNS text",
            "format(text, text) RETURNS text",
            "format(text, bigint) RETURNS text",
            "format(text, text, name) RETURNS text",
            "format(text, text, text) RETURNS text",
            "pg_has_role(name, oid, text) RETURNS boolean",
        ):
            await pod.execute(f"{trap.format(function)} RETURN NULL; END $$")
        for number in ("bigint", "int"):
            await pod.execute(
                f"CREATE OPERATOR || (FUNCTION = joined, LEFTARG = text, RIGHTARG = {number})"
            )
        for call in ("begin_items($1)", "end_items($1)", "place_results($1, true)",
                     "analyze($1, 'item', 0)"):  # fmt: skip
            await pod.execute(f"SELECT penstock_{call}", run.id)
        synced = await pools.sync(pod, "pool", "a", run.id, dict, 1.0)
        assert synced.leads
        assert await pools.order(pod, "pool", "a", synced.term, {}, {})
        assert await pools.reports(pod, "pool", "a")
        await pools.leave(pod, "pool", "a")
        assert not await pod.fetch("SELECT by FROM caught")
