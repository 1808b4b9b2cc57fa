"""Roles of jobs come and go: made and dropped at any moment, again and again, or not to be had."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest

from penstock.store import housekeeping, roles
from penstock.store.db import Database
from penstock.store.migrate import migrate
from penstock.store.runs import Run
from penstock_operator.access import Access, with_user
from penstock_operator.names import secret_name
from tests.integration.roles_support import (
    CLUSTER,
    PASSWORD,
    Operator,
    connected,
    operating,
    owner,
    settings,
)
from tests.integration.work_support import manifest

ROLES = "SELECT array_agg(rolname::text ORDER BY 1) FROM pg_roles WHERE rolname = ANY ($1::text[])"
SECONDS = 30


@pytest.fixture
async def operator(empty_dsn: str) -> AsyncIterator[Operator]:
    async with operating(empty_dsn) as made:
        yield made


async def opened(operator: Operator, name: str) -> Run:
    return await operator.opened(name, manifest())


async def there(operator: Operator, *names: str) -> list[str]:
    """Which of the BatchJobs have a role."""
    known = {await operator.role(name): name for name in names}
    found = await operator.db.fetchval(ROLES, list(known))
    return sorted(known[role] for role in found or ())


async def test_the_same_again_whoever_asks_and_how_often(operator: Operator) -> None:
    run = await opened(operator, "one")
    first = await operator.access().of(owner("one"))
    again = operator.access()  # as after a restart
    assert [await again.of(owner("one")) for _ in range(2)] == [first, first]
    assert (await operator.access().of(owner("two"))).url != first.url
    assert PASSWORD not in first.url
    assert await operator.db.fetchval("SELECT role FROM run WHERE id = $1", run.id) in first.url
    async with connected(first.url) as pod:
        assert await pod.fetchval("SELECT id FROM run") == run.id
        assert await pod.fetchval("SELECT current_schema()") == "public"


async def test_two_operators_at_once(operator: Operator) -> None:
    await opened(operator, "one")
    async with connected(operator.url) as other:
        both = [operator.access(), Access(other, CLUSTER, settings(operator.url))]
        found = await asyncio.gather(*(access.of(owner("one")) for access in both))
    assert found[0] == found[1]


async def test_a_later_run_and_one_from_before_are_reached_too(operator: Operator) -> None:
    before = await opened(operator, "one")
    await operator.db.execute("UPDATE run SET phase = 'Complete'")
    after = await opened(operator, "one")
    async with connected(await operator.address("one")) as pod:
        assert await pod.fetchval("SELECT array_agg(id ORDER BY id) FROM run") == [
            before.id,
            after.id,
        ]


async def test_a_database_that_was_emptied_meanwhile(operator: Operator) -> None:
    access = operator.access()
    await access.of(owner("one"))
    await operator.db.execute("DROP OWNED BY CURRENT_USER; CREATE SCHEMA IF NOT EXISTS public")
    await operator.db.call(migrate)
    run = await opened(operator, "one")
    async with connected((await access.of(owner("one"))).url) as pod:
        assert await pod.fetchval("SELECT id FROM run") == run.id


async def test_tables_in_a_schema_of_their_own(empty_dsn: str) -> None:
    async with operating(empty_dsn) as operator:
        await operator.db.execute('CREATE SCHEMA "Batch jobs"')
        url = f"{operator.url}&search_path=%22Batch%20jobs%22"
        async with connected(url) as db:
            await db.call(migrate)
            mine = Operator(url, db)
            run = await opened(mine, "one")
            async with connected(await mine.address("one")) as pod:
                assert await pod.fetchval("SELECT id FROM run") == run.id


@contextmanager
def asking(file: Path, group: str, method: str) -> Iterator[None]:
    """How roles of a group log in; whoever connects to this server else is believed."""
    kept = file.read_text()
    file.write_text(f"local all +{group} {method}\n{kept}")
    try:
        yield
    finally:
        file.write_text(kept)


@asynccontextmanager
async def logging_in(postgres: str, operator: Operator, method: str) -> AsyncIterator[str]:
    """The same, from when the server has read it: a wrong password opens nothing. Gives the address
    for the pods of job one."""
    url = await operator.address("one")
    password = url.partition("@")[0].rpartition(":")[2]
    admin = await asyncpg.connect(postgres)
    file = Path(await admin.fetchval("SHOW hba_file"))
    try:
        with asking(file, (await roles.place(operator.db)).group, method):
            await admin.execute("SELECT pg_reload_conf()")
            deadline = time.monotonic() + SECONDS
            while await opens(url.replace(password, password[::-1])):
                assert time.monotonic() < deadline, "the server has not read its file"
            yield url
    finally:
        await admin.execute("SELECT pg_reload_conf()")
        await admin.close()


async def opens(url: str) -> bool:
    """Whether somebody gets in by this address."""
    try:
        connection = await asyncpg.connect(url)
    except asyncpg.InvalidAuthorizationSpecificationError:
        return False
    await connection.close()
    return True


async def test_only_its_password_opens_the_door(postgres: str, operator: Operator) -> None:
    await opened(operator, "one")
    async with logging_in(postgres, operator, "scram-sha-256") as url:
        assert await opens(url)
        place = await roles.place(operator.db)
        await roles.ensure(operator.db, place, f"{CLUSTER}/uid-one", "another")
        assert not await opens(url)
        assert await operator.address("one") == url
        assert await opens(url)


async def test_roles_that_are_turned_away_are_not_given_to_pods(
    postgres: str, operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    """As by a pooler with a list of its users."""
    await opened(operator, "one")
    async with logging_in(postgres, operator, "reject"):
        access = operator.access()
        for _ in range(2):
            assert (await access.of(owner("one"))).url == operator.url
    [line] = [record.message for record in caplog.records if "own database user" in record.message]
    assert "turned away" in line


@pytest.mark.parametrize("kept", ["CONNECT", "USAGE"])
async def test_rights_that_the_operator_may_not_pass_on(
    empty_dsn: str, caplog: pytest.LogCaptureFixture, kept: str
) -> None:
    """As in a database whose owner lets in by name. PostgreSQL only warns of such a GRANT."""
    admin = await asyncpg.connect(empty_dsn)
    name = await admin.fetchval("SELECT current_database()")
    user = f"operator_{name}"
    await admin.execute(f"CREATE ROLE {user} LOGIN CREATEROLE")
    if kept == "CONNECT":
        place = f'DATABASE "{name}"'
        await admin.execute(f"GRANT CREATE ON SCHEMA public TO {user}")
    else:
        place = "SCHEMA jobs"
        await admin.execute(f"CREATE SCHEMA jobs; GRANT CREATE ON SCHEMA jobs TO {user}")
        await admin.execute(f"ALTER ROLE {user} SET search_path = jobs")
    await admin.execute(f"REVOKE {kept} ON {place} FROM PUBLIC; GRANT {kept} ON {place} TO {user}")
    await admin.close()
    async with connected(with_user(empty_dsn, user, PASSWORD, name)) as db:
        await db.call(migrate)
        operator = Operator(db.dsn, db)
        run = await opened(operator, "one")
        url = await operator.address("one")
        async with connected(url) as pod:
            assert await pod.fetchval("SELECT id FROM run") == run.id
    assert "WITH GRANT OPTION" in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_schema_that_is_open_to_everybody_is_told(
    empty_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with operating(empty_dsn) as operator:
        await opened(operator, "one")
        await operator.address("one")
        assert "REVOKE CREATE" not in caplog.text
        await operator.db.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        access = operator.access()
        for _ in range(2):
            await access.of(owner("one"))
    assert caplog.text.count("REVOKE CREATE ON SCHEMA public FROM PUBLIC") == 1


async def test_a_role_goes_with_the_last_run(operator: Operator) -> None:
    kept, gone = await opened(operator, "kept"), await opened(operator, "gone")
    for name in ("kept", "gone", "never"):  # the last has no run: it died before its Job was made
        await operator.address(name)
    pod = await asyncpg.connect(await operator.address("gone"))
    await pod.execute("CREATE TEMP TABLE left_over (n int)")
    await pod.execute("SELECT penstock_begin_items($1)", gone.id)
    await pod.close()
    still = await asyncpg.connect(await operator.address("gone"))
    await still.execute("CREATE TEMP TABLE in_use (n int)")

    await housekeeping.delete_run(operator.db, gone.id)
    assert await roles.drop_unused(operator.db) == 2
    assert await there(operator, "kept", "gone", "never") == ["kept"]
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await still.execute("SELECT 1")
    still.terminate()
    assert await roles.drop_unused(operator.db) == 0
    async with connected(await operator.address("kept")) as pod_of_kept:
        assert await pod_of_kept.fetchval("SELECT id FROM run") == kept.id


async def test_two_databases_of_one_server_keep_apart(operator: Operator, dsn: str) -> None:
    """The second one's operator is a superuser, who could reach everything."""
    await opened(operator, "one")
    url = await operator.address("one")
    async with connected(_with_password(dsn)) as db:
        other = Operator(_with_password(dsn), db)
        run = await opened(other, "one")
        assert await other.role("one") != await operator.role("one")
        async with connected(await other.address("one")) as pod:
            assert await pod.fetchval("SELECT id FROM run") == run.id
        await housekeeping.delete_run(db, run.id)
        assert await roles.drop_unused(db) == 1
        # What the role of the first finds in the second.
        name = await db.fetchval("SELECT current_database()")
        mine = await operator.db.fetchval("SELECT current_database()")
        intruder = await asyncpg.connect(url.replace(f"/{mine}?", f"/{name}?"))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await intruder.fetch("SELECT * FROM run")
        await intruder.close()
    assert await there(operator, "one") == ["one"]


def _with_password(dsn: str) -> str:
    return dsn.replace("@", ":of-the-superuser@", 1)


async def test_without_the_right_pods_get_the_operators_address(
    empty_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with operating(empty_dsn, "NOCREATEROLE") as operator:
        run = await opened(operator, "one")
        access = operator.access()
        for _ in range(2):
            found = await access.of(owner("one"))
            assert found.url == operator.url
            assert found.secret == secret_name(owner("one"), operator.url)
        async with connected(found.url) as pod:
            assert await pod.fetchval("SELECT id FROM run") == run.id
        assert await roles.drop_unused(operator.db) == 0
    [line] = [record.message for record in caplog.records if "own database user" in record.message]
    assert "CREATEROLE" in line
    assert PASSWORD not in caplog.text


async def test_a_role_that_somebody_else_made_is_left_alone(
    operator: Operator, postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has CREATEROLE may not change a superuser, nor (since PostgreSQL 16) roles of others."""
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"CREATE ROLE {await operator.role('one')} SUPERUSER")
    await admin.close()
    await opened(operator, "one")
    assert await operator.address("one") == operator.url
    assert "refuses" in caplog.text
    assert await operator.db.fetchval("SELECT role FROM run") == ""


@pytest.mark.parametrize(
    "changes", [{"job_roles": False}, {"worker_database_url": "postgresql://w@pooler/p"}]
)
async def test_who_says_otherwise_gets_it(changes: dict[str, object]) -> None:
    nowhere = "postgresql://nobody:secret@127.0.0.1:1/none"
    told = settings(nowhere, **{"job_roles": False, **changes})
    found = await Access(Database(nowhere), CLUSTER, told).of(owner("one"))
    assert found.url == told.worker_database_url
