"""What every test can lean on: a real PostgreSQL, a guard against leaked tasks, no silent skips.

Each test process starts one server in a temporary directory (about two seconds, only when a test
asks for it) and applies the schema once, to a template. A test's `dsn` is a copy of the template,
so tests neither see each other's rows nor pay for the schema.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import uuid
from collections.abc import AsyncIterator, Generator, Iterator

import asyncpg
import hypothesis
import pytest

from penstock.store.db import Database

CI = os.environ.get("CI") == "true"

# In CI the examples are more and the same every time; elsewhere they are new ones at every run.
hypothesis.settings.register_profile("dev", deadline=None, max_examples=50)
hypothesis.settings.register_profile(
    "ci", deadline=None, max_examples=300, derandomize=True, print_blob=True
)
hypothesis.settings.load_profile("ci" if CI else "dev")

_TEMPLATE = "penstock_template"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the server's maintenance database. Nothing in it is kept after the tests."""
    from penstock.store import embedded

    directory = tmp_path_factory.mktemp("pg")
    server = asyncio.run(embedded.start(directory, cwd=directory))
    yield server.dsn
    server.close()


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """Name of a database that has the schema and nothing else."""
    asyncio.run(_prepare(postgres))
    return _TEMPLATE


@pytest.fixture
async def dsn(postgres: str, template: str) -> AsyncIterator[str]:
    """Address of a database of this test's own, with the schema applied."""
    name = f"test_{uuid.uuid4().hex}"
    await _execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield _with_database(postgres, name)
    await _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def empty_dsn(postgres: str) -> AsyncIterator[str]:
    """Address of a database of this test's own without any schema."""
    name = f"test_{uuid.uuid4().hex}"
    await _execute(postgres, f"CREATE DATABASE {name}")
    yield _with_database(postgres, name)
    await _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the test's own database."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Database]:
    """Penstock's own connection to the test's own database."""
    database = Database(dsn)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fails a test that leaves asyncio tasks behind. Every async test has it (see below)."""
    yield
    for _ in range(3):  # what was cancelled needs a turn of the loop to end
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        pytest.fail(f"the test left {len(left)} task(s) running: {left}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every async test the guard, set up first so that it is torn down last."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            item.fixturenames.insert(0, "no_leaked_tasks")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a skipped test counts as failed: there everything must have run."""
    report = yield
    if CI and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} may not be skipped in CI: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself as a whole."""
    report = yield
    if CI and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} may not be skipped in CI: {reason}"
    return report


async def _prepare(postgres: str) -> None:
    from penstock.store.migrate import migrate

    # The data is thrown away, so nothing has to reach the disk.
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        await _execute(postgres, f"ALTER SYSTEM SET {setting} = off")
    await _execute(postgres, "SELECT pg_reload_conf()")
    await _execute(postgres, f"CREATE DATABASE {_TEMPLATE}")
    connection = await asyncpg.connect(_with_database(postgres, _TEMPLATE))
    try:
        await migrate(connection)
    finally:
        await connection.close()


async def _execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def _with_database(dsn: str, name: str) -> str:
    head, _, query = dsn.partition("?")
    return f"{head.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
