"""Runs as the operator sees and changes them, in a real PostgreSQL; pods are functions here."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import InputError
from penstock.pods.export import export_main
from penstock.pods.plan import plan_main
from penstock.spec.job import BatchJob
from penstock.store import runs
from penstock.store.db import Database, Statements
from penstock.work.main import work_main
from penstock.work.types import CallResult, FailureKind, WorkItem
from penstock_operator import reasons
from penstock_operator.actions import (
    Action,
    CreateJob,
    Decision,
    DeleteBatchJob,
    DeleteJob,
    PatchJob,
)
from penstock_operator.database import Runs
from penstock_operator.observed import JobSeen, Observed, RunSeen, UnreadRun
from penstock_operator.reconcile import decide
from tests.integration.work_support import Scripted, bad, good, manifest, worker


class Cluster:
    """What the operator does to one BatchJob, with pods that run here and at once."""

    def __init__(self, db: Database, dsn: str, job: BatchJob) -> None:
        self.db, self.dsn, self.job = db, dsn, job
        self.runs = Runs([db], db, "cluster-1")
        self.uid = "uid-1"
        self.jobs: dict[str, JobSeen] = {}
        self.roles: list[str] = []
        self.failing: tuple[int, ...] = ()

    async def look(self) -> Observed:
        run = await self.runs.look("team/job", self.uid, time.time())
        return Observed(
            name="job", namespace="team", uid=self.uid, generation=1, deleting=False,
            managed_elsewhere=False, job=self.job, mistakes=(), database="",
            run=run if isinstance(run, RunSeen) else None,
            unread=run if isinstance(run, UnreadRun) else None,
            refused=self.runs.refused("team/job"), jobs=tuple(self.jobs.values()), pods=(),
            status={}, now=time.time(),
        )  # fmt: skip

    async def step(self) -> Decision:
        seen = await self.look()
        decision = decide(seen)
        for action in decision.actions:
            await self._carry_out(action, seen)
        return decision

    async def to_the_end(self) -> RunSeen:
        """Until nothing is to be done any more."""
        for _ in range(20):
            if not (await self.step()).actions:
                break
        seen = await self.look()
        assert seen.run is not None
        return seen.run

    async def _carry_out(self, action: Action, seen: Observed) -> None:
        match action:
            case CreateJob(role=role, run=number, run_id=run_id):
                self.roles.append(role)
                name = f"job-{number}-{role}"
                failed = await self._pod(role, run_id)
                ended: Any = "Failed" if failed else "Complete"
                self.jobs[name] = JobSeen(name, role, number, False, 1, 0, ended)
            case DeleteJob(name=name):
                del self.jobs[name]
            case PatchJob():
                raise AssertionError("the pods of this test end at once")
            case _:
                await self.runs.carry_out(action, seen)  # type: ignore[arg-type]

    async def _pod(self, role: str, run_id: int) -> bool:
        environ = {"PENSTOCK_DATABASE_URL": self.dsn, "PENSTOCK_RUN": str(run_id)}
        try:
            if role == "plan":
                await plan_main(environ)
            elif role == "export":
                await export_main(environ)
            else:
                run = await runs.get(self.db, run_id)
                await worker(self.db, run, Scripted(self._answer)).work(1.0)
        except Exception:
            return True
        return False

    async def _answer(self, group: Sequence[WorkItem]) -> CallResult:
        if group[0].item["n"] in self.failing:
            return bad(group, FailureKind.REJECTED, "HTTP 400")
        return good(group)


@pytest.fixture
def job(tmp_path: Path) -> BatchJob:
    """Five items from a file, results to a file."""
    lines = [json.dumps({"id": f"i{n}", "n": n}) for n in range(5)]
    (tmp_path / "items.jsonl").write_text("\n".join(lines))
    return manifest(
        source={"file": {"path": str(tmp_path / "items.jsonl")}, "idField": "id"},
        output={"file": {"path": str(tmp_path / "out.jsonl")}},
    )


def with_spec(job: BatchJob, **spec: Any) -> BatchJob:
    data = job.model_dump(by_alias=True, exclude_none=True, mode="json")
    return BatchJob.model_validate({**data, "spec": {**data["spec"], **spec}})


async def test_from_nothing_to_complete(db: Database, dsn: str, job: BatchJob) -> None:
    cluster = Cluster(db, dsn, job)
    run = await cluster.to_the_end()
    assert (run.phase, run.reason, run.number) == ("Complete", "Completed", 1)
    assert (run.progress.succeeded, run.progress.total) == (5, 5)
    assert run.finished is not None
    assert run.finished >= run.started
    assert cluster.roles == ["plan", "work", "export"]


async def test_failures_by_reason_then_redrive(db: Database, dsn: str, job: BatchJob) -> None:
    cluster = Cluster(db, dsn, job)
    cluster.failing = (1, 2)
    run = await cluster.to_the_end()
    assert run.progress.failures == (("HTTP 400", 2),)
    cluster.failing = ()
    cluster.job = with_spec(job, redrive=1)
    again = await cluster.to_the_end()
    assert (again.number, again.phase, again.progress.succeeded) == (2, "Complete", 2)


async def test_rerun_skips_what_is_done(db: Database, dsn: str, job: BatchJob) -> None:
    cluster = Cluster(db, dsn, job)
    await cluster.to_the_end()
    cluster.job = with_spec(job, rerun=1)
    run = await cluster.to_the_end()
    assert (run.number, run.progress.skipped, run.progress.succeeded) == (2, 5, 0)
    assert cluster.roles == ["plan", "work", "export", "plan", "export"]


async def test_bad_input_ends_it_until_it_is_corrected(
    db: Database, dsn: str, job: BatchJob, tmp_path: Path
) -> None:
    wrong = job.spec.source.model_dump(by_alias=True, exclude_none=True)
    wrong["file"] = {"path": str(tmp_path / "missing.jsonl")}
    cluster = Cluster(db, dsn, with_spec(job, source=wrong))
    run = await cluster.to_the_end()
    assert (run.phase, run.reason) == ("Failed", "InvalidInput")
    assert "missing.jsonl" in run.message
    cluster.job = job
    assert (await cluster.to_the_end()).phase == "Complete"


async def test_a_result_set_in_use_is_waited_for(db: Database, dsn: str, job: BatchJob) -> None:
    other = Cluster(db, dsn, with_spec(job, resultSet="shared"))
    await other.step()
    seen = await other.look()
    first = Cluster(db, dsn, with_spec(job, resultSet="shared"))
    await first.runs.carry_out(
        decide(replace(await first.look(), run=None)).actions[0],  # type: ignore[arg-type]
        replace(seen, name="second"),
    )
    assert "in use by an unfinished run of team/job" in first.runs.refused("team/second")


async def test_a_new_batch_job_of_an_old_name_begins_a_run(
    db: Database, dsn: str, job: BatchJob
) -> None:
    old = Cluster(db, dsn, job)
    await old.step()
    await old.step()  # planned, and then the BatchJob is deleted
    new = Cluster(db, dsn, job)
    new.uid = "uid-2"
    run = await new.to_the_end()
    assert (run.number, run.mine, run.phase, run.progress.succeeded) == (2, True, "Complete", 5)
    before = await runs.before(db, await runs.get(db, run.id))
    assert (before.phase, before.reason) == ("Failed", "Superseded")


async def test_a_live_edit_reaches_the_run(db: Database, dsn: str, job: BatchJob) -> None:
    cluster = Cluster(db, dsn, job)
    await cluster.step()
    await cluster.step()
    cluster.job = with_spec(job, rateLimit={"requestsPerMinute": 6000})
    seen = await cluster.look()
    await cluster.runs.carry_out(decide(seen).actions[0], seen)  # type: ignore[arg-type]
    after = (await cluster.look()).run
    assert after is not None
    assert after.manifest.spec.rate_limit.requests_per_minute == 6000
    assert (await runs.get(db, after.id)).revision == 1


async def stored_by_another_version(db: Database) -> None:
    """The manifests of all runs have a field that this version does not know."""
    await db.execute(
        "UPDATE run SET revision = revision + 1, manifest ="
        " jsonb_set(manifest::jsonb, '{spec,sharding}', '{\"perShard\": 5}')::text"
    )


async def test_a_run_of_another_version_is_told_and_a_rerun_takes_its_place(
    db: Database, dsn: str, job: BatchJob
) -> None:
    cluster = Cluster(db, dsn, job)
    await cluster.step()
    await cluster.step()
    await stored_by_another_version(db)
    for edit in ({}, {"rateLimit": {"requestsPerMinute": 60}}, {"redrive": 1}):
        cluster.job = with_spec(job, **edit)
        decision = await cluster.step()
        assert decision.actions == ()
        assert decision.status is not None
        told = {one.type: one for one in decision.status.conditions or ()}
        for kind in ("Accepted", "Progressing"):
            assert (told[kind].status, told[kind].reason) == ("False", "RunUnreadable")
            assert "sharding.perShard" in told[kind].message
            assert "raise spec.rerun to 1" in told[kind].message
    cluster.job = with_spec(job, rerun=1)
    run = await cluster.to_the_end()
    assert (run.number, run.phase, run.progress.succeeded) == (2, "Complete", 5)


async def test_an_ended_run_of_another_version_stays_as_it_is(
    db: Database, dsn: str, job: BatchJob
) -> None:
    cluster = Cluster(db, dsn, job)
    await cluster.to_the_end()
    await stored_by_another_version(db)
    decision = await cluster.step()
    assert decision.status is not None
    told = {one.type: one for one in decision.status.conditions or ()}
    assert (told["Accepted"].status, told["Progressing"].reason) == ("True", "Finished")
    cluster.job = with_spec(job, redrive=1)
    decision = await cluster.step()
    assert decision.status is not None
    assert "raise spec.rerun to 1" in (decision.status.message or "")
    cluster.job = with_spec(job, ttlSecondsAfterFinished=0)
    assert [type(one) for one in decide(await cluster.look()).actions] == [DeleteBatchJob]
    cluster.job = with_spec(job, rerun=1)
    assert (await cluster.to_the_end()).number == 2


async def test_a_batch_job_of_the_name_of_one_of_another_version_begins_a_run(
    db: Database, dsn: str, job: BatchJob
) -> None:
    old = Cluster(db, dsn, job)
    await old.step()
    await stored_by_another_version(db)
    new = Cluster(db, dsn, job)
    new.uid = "uid-2"
    assert ((await new.to_the_end()).number) == 2


@pytest.mark.parametrize(
    ("main", "phase"),
    [(plan_main, "Planning"), (work_main, "Running"), (export_main, "Exporting")],
)
async def test_a_pod_that_finds_a_manifest_of_another_version_says_so(
    db: Database,
    dsn: str,
    job: BatchJob,
    main: Callable[[dict[str, str]], Awaitable[object]],
    phase: str,
) -> None:
    cluster = Cluster(db, dsn, job)
    await cluster.step()
    await db.execute("UPDATE run SET phase = $1", phase)
    await stored_by_another_version(db)
    with pytest.raises(InputError, match=r"raise spec\.rerun to 1") as told:
        await main({"PENSTOCK_DATABASE_URL": dsn, "PENSTOCK_RUN": "1"})
    assert told.value.exit_code == 2
    assert "run 1 of team/job: its manifest was stored by another version" in str(told.value)


async def test_reasons_that_cannot_be_counted_in_time_are_all_that_is_missing(
    db: Database, dsn: str, job: BatchJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reasons, "AT_END", 0.1)
    cluster = Cluster(db, dsn, job)
    cluster.failing = (1, 2)
    await cluster.to_the_end()

    aside, other, now = Database(dsn), Database(dsn), time.time()
    looking = Runs([db], aside, "cluster-1")

    async def look(after: float) -> RunSeen:
        found = await looking.look("team/job", "uid-1", now + after)
        assert isinstance(found, RunSeen)
        return found

    async def held(transaction: Statements) -> None:
        """As long as millions of rows would take."""
        await transaction.execute("LOCK TABLE result IN ACCESS EXCLUSIVE MODE")
        first = await look(0.0)
        assert (first.phase, first.progress.failed, first.progress.failures) == ("Complete", 2, ())
        pid = await aside.fetchval("SELECT pg_backend_pid()")
        assert (await look(reasons.EVERY - 1)).progress.failures == ()
        assert await aside.fetchval("SELECT pg_backend_pid()") == pid  # it is a good connection yet

    await other.together(held)
    assert (await look(reasons.EVERY - 1)).progress.failures == ()  # not again so soon
    assert (await look(reasons.EVERY + 60)).progress.failures == (("HTTP 400", 2),)
    await other.close()
    await aside.close()


async def test_a_slow_count_of_reasons_makes_the_next_one_rarer(
    db: Database, dsn: str, job: BatchJob
) -> None:
    cluster = Cluster(db, dsn, job)
    cluster.failing = (1, 2)
    await cluster.to_the_end()
    other, counting = Database(dsn), reasons.Reasons(db, 1)

    async def held(transaction: Statements) -> None:
        await transaction.execute("LOCK TABLE result IN ACCESS EXCLUSIVE MODE")
        assert await counting.look(2, 1000.0, ended=False) == ()

    await other.together(held)
    await other.close()
    waits = reasons.RARER * reasons.WITHIN
    assert await counting.look(2, 1000.0 + waits - 1.0, ended=False) == ()
    assert await counting.look(2, 1000.0 + 3 * waits, ended=False) == (("HTTP 400", 2),)
    assert await counting.look(3, 1000.0 + 3 * waits, ended=False) == (("HTTP 400", 2),)


async def test_looks_at_others_do_not_wait_for_one_that_takes_long(db: Database, dsn: str) -> None:
    connections = [Database(dsn) for _ in range(4)]
    shared, busy = Runs(connections, db, "cluster-1"), asyncio.Event()

    async def held(_: object) -> None:
        busy.set()
        await asyncio.Event().wait()

    blocked = asyncio.create_task(connections[0].call(held))
    await busy.wait()

    async def answered(name: str) -> bool:
        try:
            return await asyncio.wait_for(shared.look(f"team/{name}", "uid", 0.0), 3.0) is None
        except TimeoutError:
            return False

    names = [f"job-{number}" for number in range(40)]
    free = sum(await asyncio.gather(*map(answered, names)))
    assert 20 <= free < 40  # about three in four
    blocked.cancel()
    await asyncio.wait([blocked])
    for one in connections:
        await one.close()
