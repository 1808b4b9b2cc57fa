"""`penstock plan` and `penstock export`, as a pod runs them, on a run that the operator opened."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import AlreadyRunning, InputError, ServerAway
from penstock.plan import planner
from penstock.plan.loader import hold
from penstock.pods.export import export_main
from penstock.pods.plan import plan_main
from penstock.sources.items import Item
from penstock.spec.job import BatchJob
from penstock.store import ending, runs, shards
from penstock.store.db import Database, Statements
from penstock.store.runs import Run
from penstock.work.types import CallResult, FailureKind, WorkItem
from tests.integration.work_support import Scripted, bad, good, manifest, worker

LINES = [{"id": f"i{n}", "n": n} for n in range(5)]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with items.jsonl in it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


def job(**spec: Any) -> BatchJob:
    return manifest(
        **{"source": {"file": {"path": "items.jsonl"}, "idField": "id"}, **spec},
    )


async def opened(db: Database, of: BatchJob, existing: str = "skip", owner: str = "uid-1") -> Run:
    return await planner.open_run(
        db,
        job="team/job",
        result_set="team/job",
        manifest=of.model_dump_json(by_alias=True, exclude_none=True),
        manifest_path="",
        existing=existing,
        redrive_reason="",
        driver="",
        owner=owner,
    )


def environ(dsn: str, run: Run, **more: str) -> dict[str, str]:
    return {"PENSTOCK_DATABASE_URL": dsn, "PENSTOCK_RUN": str(run.id), **more}


def replace(data: Path, text: str) -> None:
    data.write_text(text)


async def all_good(group: Sequence[WorkItem]) -> CallResult:
    return good(group)


async def worked(db: Database, run: Run, failing: tuple[int, ...] = ()) -> Scripted:
    """Work a planned run off; the items whose n is in `failing` fail."""

    async def answer(group: Sequence[WorkItem]) -> CallResult:
        if group[0].item["n"] in failing:
            return bad(group, FailureKind.REJECTED)
        return good(group)

    processor = Scripted(answer)
    await worker(db, await runs.get(db, run.id), processor).work(1.0)
    assert not await shards.unfinished(db, run.id)
    return processor


async def test_plan_reads_a_file_of_the_working_directory(db: Database, dsn: str) -> None:
    run = await opened(db, job())
    await plan_main(environ(dsn, run))
    after = await runs.get(db, run.id)
    assert (after.phase, after.total, after.owner) == ("Running", 5, "uid-1")


async def test_plan_reads_a_config_map_where_it_is_mounted(
    db: Database, dsn: str, data: Path
) -> None:
    run = await opened(db, job(source={"configMap": {"name": "items", "key": "items.jsonl"}}))
    await plan_main(environ(dsn, run, PENSTOCK_SOURCE=str(data)))
    assert (await runs.get(db, run.id)).total == 5


async def test_a_planned_run_is_not_planned_again(db: Database, dsn: str, data: Path) -> None:
    run = await opened(db, job())
    await plan_main(environ(dsn, run))
    replace(data, "")
    await plan_main(environ(dsn, run))
    assert (await runs.get(db, run.id)).total == 5


async def test_a_second_pod_starts_over_and_shuts_the_first_out(db: Database, dsn: str) -> None:
    run = await opened(db, job())
    request = planner.request_for(job(), 1)
    rows = (Item(n, f"x{n}", b"c", "{}", f"row {n}") for n in range(3))

    async def late() -> None:
        """The first pod, which had stored its items before it was thought dead."""
        await planner.plan(db, run, request, rows, lambda _: None, keep=True)

    await plan_main(environ(dsn, run))
    with pytest.raises(AlreadyRunning):
        await late()
    kept = await db.fetch("SELECT item_id FROM item WHERE run = $1 ORDER BY position", run.id)
    assert [row["item_id"] for row in kept] == [line["id"] for line in LINES]


async def test_bad_input_is_kept_with_the_run(db: Database, dsn: str, data: Path) -> None:
    replace(data, '{"id": "a"}\n{"id": \n')
    run = await opened(db, job())
    with pytest.raises(InputError, match=r"items\.jsonl:2"):
        await plan_main(environ(dsn, run))
    after = await runs.get(db, run.id)
    assert (after.phase, after.reason) == ("Failed", "InvalidInput")
    assert "items.jsonl:2" in after.message
    assert not await db.fetchval("SELECT count(*) FROM item WHERE run = $1", run.id)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("items.jsonl/out.csv", "items.jsonl is a file, not a folder"),
        ("..", "it is a folder"),
        ("items.jsonl", "is the input"),
        ("out.doc", "no format is known"),
    ],
)
@pytest.mark.parametrize("existing", ["skip", "redrive"])
async def test_an_output_that_cannot_be_written_is_told_before_any_item_is_read(
    db: Database, dsn: str, data: Path, path: str, says: str, existing: str
) -> None:
    run = await opened(db, job(output={"file": {"path": path}}), existing)
    if path != "items.jsonl":
        replace(data, "")
    with pytest.raises(InputError, match=says):
        await plan_main(environ(dsn, run))
    after = await runs.get(db, run.id)
    assert (after.phase, after.reason) == ("Failed", "InvalidInput")
    assert says in after.message


async def test_a_key_is_not_needed_for_planning(db: Database, dsn: str) -> None:
    key = {"secretKeyRef": {"name": "provider", "key": "token"}}
    run = await opened(db, job(processor={"http": {"url": "http://127.0.0.1:1/", "apiKey": key}}))
    await plan_main(environ(dsn, run))
    assert (await runs.get(db, run.id)).phase == "Running"


async def test_a_redrive_takes_what_failed_before(db: Database, dsn: str) -> None:
    first = await opened(db, job())
    await plan_main(environ(dsn, first))
    await worked(db, first, failing=(1, 3))
    await ending.begin_export(db, first.id)
    await export_main(environ(dsn, first))
    again = await opened(db, job(), existing="redrive")
    await plan_main(environ(dsn, again))
    processor = await worked(db, again)
    assert sorted(processor.calls) == ["i1", "i3"]


@pytest.mark.parametrize(
    ("failing", "policy", "phase", "reason"),
    [
        ((), {}, "Complete", "Completed"),
        ((2,), {}, "Complete", "CompletedWithFailedItems"),
        ((1, 2), {"toleratedFailureCount": 1}, "Failed", "FailurePolicyExceeded"),
    ],
)
async def test_export_writes_the_file_and_ends_the_run(
    db: Database,
    dsn: str,
    tmp_path: Path,
    failing: tuple[int, ...],
    policy: dict[str, int],
    phase: str,
    reason: str,
) -> None:
    run = await opened(db, job(output={"file": {"path": "out/r.jsonl"}}, failurePolicy=policy))
    await plan_main(environ(dsn, run))
    await worked(db, run, failing)
    await ending.begin_export(db, run.id)
    await export_main(environ(dsn, run))
    after = await runs.get(db, run.id)
    rows = [json.loads(line) for line in (tmp_path / "out/r.jsonl").read_text().splitlines()]
    assert [row["_id"] for row in rows] == [line["id"] for line in LINES]
    assert [row["_position"] for row in rows if row["_status"] == "failed"] == list(failing)
    assert (after.phase, after.reason) == (phase, reason)
    assert after.output == str(tmp_path / "out/r.jsonl")


async def test_export_waits_for_the_end_of_the_work(db: Database, dsn: str, tmp_path: Path) -> None:
    run = await opened(db, job(output={"file": {"path": "r.jsonl"}}))
    await plan_main(environ(dsn, run))
    await export_main(environ(dsn, run))
    assert not (tmp_path / "r.jsonl").exists()
    assert (await runs.get(db, run.id)).phase == "Running"


async def kept(db: Database, *, idle: bool = False) -> float:
    """A look of the operator, which keeps the run's working time."""
    found = await runs.newest(db, "team/job", idle=idle)
    assert found is not None
    return found.seconds


async def looked(db: Database, ago: str) -> None:
    """The operator's last look was that long ago."""
    await db.execute("UPDATE run SET driver_seen = now() - $1::text::interval", ago)


async def test_working_time_counts_from_planning_to_the_end_but_not_while_it_waits(
    db: Database, dsn: str
) -> None:
    run = await opened(db, job())
    await looked(db, "5 seconds")
    await plan_main(environ(dsn, run))  # its signs of life are none of the operator's
    assert await kept(db) == pytest.approx(5.0, abs=2.0)
    await looked(db, "20 seconds")
    assert await kept(db) == pytest.approx(25.0, abs=3.0)
    await runs.set_phase(db, run.id, "Exporting")
    await looked(db, "20 seconds")
    counted = await kept(db)
    assert counted == pytest.approx(45.0, abs=4.0)

    await looked(db, "5 minutes")  # the operator was away
    for phase in ("Exporting", "Paused", "Suspended", "Complete"):
        await runs.set_phase(db, run.id, phase)
        assert await kept(db) < counted + 1.0
        await looked(db, "20 seconds")
    await db.execute("UPDATE run SET phase = 'Planning'")  # the plan Job is suspended, or queued
    assert await kept(db, idle=True) < counted + 1.0


async def test_keeping_time_waits_for_nobody_and_loses_none(db: Database, dsn: str) -> None:
    run = await opened(db, job())
    other = Database(dsn)

    async def plans(transaction: Statements) -> None:
        await hold(transaction, run)
        await transaction.execute("UPDATE run SET driver_seen = now() - interval '9 seconds'")
        assert await asyncio.wait_for(kept(db), 10.0) == 0.0

    await other.together(plans)
    await other.close()
    assert await kept(db) == pytest.approx(9.0, abs=2.0)


async def test_an_edit_ends_the_work_at_hand(db: Database, dsn: str) -> None:
    run = await opened(db, job())
    await plan_main(environ(dsn, run))
    before = await runs.get(db, run.id)
    await runs.edit(db, run.id, before.manifest)
    stopped = await worker(db, before, Scripted(all_good)).work(1.0)
    assert stopped == "edited"
    assert await worker(db, await runs.get(db, run.id), Scripted(all_good)).work(1.0) == "finished"


async def test_from_a_table_of_a_user_and_back(
    db: Database, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_SECRET_SHOP_URL", dsn)
    await db.execute("CREATE TABLE things (id text PRIMARY KEY, n int, output jsonb)")
    await db.execute("INSERT INTO things SELECT 'i' || n, n FROM generate_series(0, 4) n")
    await db.execute("UPDATE things SET output = '\"mine\"' WHERE n = 1")
    secret = {"secretRef": {"name": "shop"}}
    of = job(
        source={
            "postgres": {"query": "SELECT id, n FROM things ORDER BY n", **secret},
            "idField": "id",
        },
        output={"postgres": {"table": "things", "skipWhere": "output IS NOT NULL", **secret}},
    )
    run = await opened(db, of)
    await plan_main(environ(dsn, run))
    assert len((await worked(db, run, failing=(2,))).calls) == 4
    await ending.begin_export(db, run.id)
    await export_main(environ(dsn, run))
    after = await runs.get(db, run.id)
    assert (after.phase, after.total, after.skipped) == ("Complete", 5, 1)
    assert after.output.startswith("table things in ")
    rows = await db.fetch("SELECT n, output FROM things ORDER BY n")
    assert [row["output"] is not None for row in rows] == [True, True, False, True, True]
    assert rows[1]["output"] == '"mine"'


async def test_a_table_that_is_not_there_is_told_by_the_plan(
    db: Database, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_OUTPUT_DATABASE_URL", dsn)
    run = await opened(db, job(output={"postgres": {"table": "things"}}))
    with pytest.raises(InputError, match="there is no table 'things'"):
        await plan_main(environ(dsn, run))
    after = await runs.get(db, run.id)
    assert (after.phase, after.reason) == ("Failed", "InvalidInput")


@pytest.mark.parametrize("end", ["source", "output"])
async def test_a_server_that_is_away_leaves_the_run_to_the_next_pod(
    db: Database, dsn: str, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    away = "postgresql://u:hunter22@127.0.0.1:1/d"
    spec: dict[str, Any] = {"output": {"postgres": {"table": "things"}}}
    if end == "source":
        spec = {"source": {"postgres": {"query": "SELECT 1 AS id"}, "idField": "id"}}
    monkeypatch.setenv(f"PENSTOCK_{end.upper()}_DATABASE_URL", away)
    run = await opened(db, job(**spec))
    with pytest.raises(ServerAway, match="cannot be reached"):
        await plan_main(environ(dsn, run))
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "penstock", "plan"),
        env={**os.environ, **environ(dsn, run)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await command.communicate()
    assert command.returncode == 1  # 2 would end the pod's Job
    assert b"cannot be reached" in told
    assert b"hunter22" not in told
    assert (await runs.get(db, run.id)).phase == "Planning"
    monkeypatch.setenv(f"PENSTOCK_{end.upper()}_DATABASE_URL", dsn)
    await db.execute("CREATE TABLE things (id text PRIMARY KEY, output text)")
    await plan_main(environ(dsn, run))
    assert (await runs.get(db, run.id)).phase == "Running"
