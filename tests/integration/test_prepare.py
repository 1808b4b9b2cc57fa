"""Commands that start a job at the same moment: one has it, the other is told so."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from penstock.store import runs
from penstock.store.db import Database, Statements

MANIFEST = """\
apiVersion: penstock.dev/v1alpha1
kind: BatchJob
metadata: {name: job}
spec:
  source: {inline: {items: [1, 2, 3]}}
  processor: {http: {url: "http://127.0.0.1:1/"}}
"""
WAITING = """
SELECT count(*), pg_sleep(0.01) FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A job of three items."""
    path = tmp_path / "job.yaml"
    path.write_text(MANIFEST)
    return path


def spoil(manifest: Path) -> None:
    """Edit it: a new run is asked for, over a file that is not there."""
    text = MANIFEST.replace("inline: {items: [1, 2, 3]}", "file: {path: none.csv}")
    manifest.write_text(text + "  rerun: 1\n")


@asynccontextmanager
async def preparing(dsn: str, manifest: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that prepares the job and then lives for as long as the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.prepare_alone", dsn, str(manifest)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        await process.wait()


async def said(process: asyncio.subprocess.Process) -> str:
    """The line that says how it went."""
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def both(db: Database, dsn: str, manifest: Path) -> list[str]:
    """What two processes say that come to their decision at the same moment, the refused last."""

    async def hold_back(_: Statements) -> None:
        async with asyncio.timeout(60):
            while await watching.fetchval(WAITING) < 2:
                pass

    watching = await asyncpg.connect(dsn)
    try:
        async with preparing(dsn, manifest) as one, preparing(dsn, manifest) as other:
            await runs.deciding(db, "job", hold_back)
            lines = await asyncio.gather(said(one), said(other))
            return sorted(lines, key=lambda line: not line.startswith("run "))
    finally:
        await watching.close()


async def test_of_two_that_start_a_job_one_is_refused(
    db: Database, dsn: str, manifest: Path
) -> None:
    won, lost = await both(db, dsn, manifest)
    assert won == "run 1"
    assert lost.startswith("AlreadyRunning job is running already (process ")
    assert await db.fetchval("SELECT count(*) FROM run") == 1
    # Both are dead now, the run is unfinished: of two that want to go on with it one is refused.
    won, lost = await both(db, dsn, manifest)
    assert won == "run 1"
    assert lost.startswith("AlreadyRunning job is running already (process ")


async def test_of_two_that_find_it_planned_by_halves_one_is_refused(
    db: Database, dsn: str, manifest: Path
) -> None:
    await both(db, dsn, manifest)
    await db.execute("UPDATE run SET phase = 'Planning'")
    won, lost = await both(db, dsn, manifest)
    assert won == "run 1"
    assert lost.startswith("AlreadyRunning job is running already (process ")
    assert await db.fetchval("SELECT count(*) FROM item") == 3


async def test_what_is_wrong_with_the_job_changes_nothing(
    db: Database, dsn: str, manifest: Path
) -> None:
    await both(db, dsn, manifest)
    spoil(manifest)
    async with preparing(dsn, manifest) as process:
        assert (await said(process)).startswith("InputError spec.source.file.path: ")
    run = await runs.latest(db, "job")
    assert run is not None
    assert (run.number, run.phase) == (1, "Running")  # not given up for a run that cannot start
