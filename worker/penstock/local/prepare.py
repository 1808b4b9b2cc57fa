"""From a job and what the database knows of it to a run that workers can start on."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock import jsons
from penstock.errors import AlreadyRunning, InputError
from penstock.export.destination import kept_there, with_planned_paths
from penstock.local import identity
from penstock.local.options import Options, View
from penstock.plan import decide, planner
from penstock.plan.probe import probed
from penstock.plan.summary import PlanSummary
from penstock.sources.drawn import apart
from penstock.sources.items import check_source, read_items
from penstock.spec.job import BatchJob
from penstock.spec.secrets import api_key
from penstock.store import housekeeping, runs, shards
from penstock.store.db import Database, Statements
from penstock.store.runs import Run
from penstock.work.processors import build
from penstock.work.types import Processor


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that is planned. nothing: why there is nothing to do; then the run is the last one."""

    run: Run
    plan: PlanSummary
    nothing: str = ""


def effective(job: BatchJob, options: Options) -> BatchJob:
    """The job with the command line's options in it."""
    spec = job.spec
    changes: dict[str, Any] = {}
    if options.limit is not None:
        changes["source"] = spec.source.model_copy(update={"limit": options.limit})
    if options.concurrency is not None:
        fixed = spec.scaling.concurrency.model_copy(
            update={"min": options.concurrency, "max": options.concurrency}
        )
        changes["scaling"] = spec.scaling.model_copy(update={"concurrency": fixed})
    return job.model_copy(update={"spec": spec.model_copy(update=changes)}) if changes else job


def base(manifest: Path | None) -> Path:
    """The folder that paths in a manifest are relative to."""
    return (manifest.parent if manifest else Path.cwd()).resolve()


async def prepare(
    db: Database, job: BatchJob, manifest: Path | None, options: Options, workers: int, view: View
) -> Prepared:
    """Find out what this command has to do and make the run ready for workers.

    Raises AlreadyRunning, InputError.
    """
    async with AsyncExitStack() as stack:
        chosen = await _Chooser(job, manifest, options, stack).choose(db)
        step, run = chosen.step, chosen.run
        request = planner.request_for(job, workers)
        match step:
            case decide.Resume():
                totals = await runs.totals(db, run.id)
                return Prepared(run, _resumed(run, totals["succeeded"] + totals["failed"]))
            case decide.Redrive(reason=reason) if chosen.previous is None:
                what = f"nothing failed with the reason {reason!r}" if reason else "nothing failed"
                why = f"{what} in {job.name}: nothing to redrive"
                return Prepared(run, _resumed(run, 0), why)
            case decide.Redrive():
                assert chosen.previous is not None
                plan = await planner.plan_redrive(db, run, chosen.previous, request)
            case decide.Replan() | decide.StartNew():
                if chosen.previous is not None:  # its partition; its rows are gone
                    await housekeeping.forget(db, chosen.previous.id)
                assert chosen.processor is not None
                plan = await _plan(
                    db, job, manifest, run, chosen.processor, request, view, options.output
                )
        return Prepared(await runs.get(db, run.id), plan)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What this command does. run: the one it has from now on, or the last when there is nothing to
    do. previous: of a redrive the run whose failed items it takes, None when there are none; of a
    new plan a half-planned run that gave way. processor: for a new plan."""

    step: decide.Resume | decide.Redrive | decide.Replan | decide.StartNew
    run: Run
    previous: Run | None = None
    processor: Processor | None = None


class _Chooser:
    """Decides what happens to the job and opens or takes over its run, in one transaction, alone:
    of two commands that start at the same moment one is refused."""

    def __init__(
        self, job: BatchJob, manifest: Path | None, options: Options, stack: AsyncExitStack
    ) -> None:
        self._job, self._manifest, self._options, self._stack = job, manifest, options, stack
        self._me = identity.me()
        self._done: _Chosen | None = None

    async def choose(self, db: Database) -> _Chosen:
        step, _ = await self._next(db)
        if isinstance(step, decide.StartNew | decide.Replan):
            # It may have to wait for a server, and nobody else should wait for that.
            source, directory = self._job.spec.source, base(self._manifest)
            await apart(lambda: check_source(source, directory))
        return await runs.deciding(db, self._job.name, self._choose)

    async def _choose(self, transaction: Statements) -> _Chosen:
        if self._done and await runs.driven_by(transaction, self._done.run.id, self._me):
            return self._done  # only the answer got lost
        self._done = await self._act(transaction, *await self._next(transaction))
        return self._done

    async def _next(
        self, db: Statements
    ) -> tuple[decide.Resume | decide.Redrive | decide.Replan | decide.StartNew, Run | None]:
        """What is to be done, and the newest run."""
        job, options = self._job, self._options
        latest = await runs.latest(db, job.name)
        if latest is not None and identity.alive(latest.driver, fresh=latest.driver_fresh):
            raise AlreadyRunning(_running(latest))
        step = decide.next_step(
            job,
            latest,
            runs.manifest_of(latest) if latest else None,
            force=options.force,
            redrive=options.redrive,
            reason=options.reason or "",
            untouched=latest is not None and await _untouched(db, latest),
        )
        if isinstance(step, decide.Refuse):
            raise InputError.at("", step.message)
        return step, latest

    async def _act(
        self,
        transaction: Statements,
        step: decide.Resume | decide.Redrive | decide.Replan | decide.StartNew,
        latest: Run | None,
    ) -> _Chosen:
        number = latest.number + 1 if latest else 1
        match step:
            case decide.Resume():
                assert latest is not None
                return _Chosen(step, await self._take_over(transaction, latest))
            case decide.Redrive(reason=reason):
                assert latest is not None
                if not await planner.count_failed(transaction, latest, reason):
                    return _Chosen(step, latest)
                run = await self._open(transaction, "redrive", reason, number)
                return _Chosen(step, run, latest)
            case decide.Replan(existing=existing):
                assert latest is not None
                processor = self._processor()
                await housekeeping.forget_rows(transaction, latest.id)
                run = await self._open(transaction, existing, "", latest.number)
                return _Chosen(step, run, latest, processor)
            case decide.StartNew(existing=existing, abandon=abandon):
                processor = self._processor()
                if abandon and latest is not None:
                    await _abandon(transaction, latest)
                run = await self._open(transaction, existing, "", number)
                return _Chosen(step, run, None, processor)

    def _processor(self) -> Processor:
        """For a new plan. A key that is missing is told before any change."""
        processor = build(self._job, api_key=api_key(self._job.spec.processor, os.environ))
        self._stack.push_async_callback(processor.aclose)
        return processor

    async def _take_over(self, transaction: Statements, latest: Run) -> Run:
        manifest, path = _manifest(self._job), _path(self._manifest)
        if not await runs.take_over(transaction, latest, self._me, manifest, path):
            raise AlreadyRunning(_running(latest))
        # Their driver is dead, so they are; that it died is not the items' doing: no strike.
        await shards.release_dead(transaction, latest.id, None, strike=False)
        workers = await runs.workers(transaction, latest.id)
        await runs.workers_gone(transaction, latest.id, [worker for worker, _, _ in workers])
        return await runs.get(transaction, latest.id)

    async def _open(self, transaction: Statements, existing: str, reason: str, number: int) -> Run:
        return await planner.open_run(
            transaction,
            job=self._job.name,
            result_set=self._job.result_set,
            manifest=_manifest(self._job),
            manifest_path=_path(self._manifest),
            existing=existing,
            redrive_reason=reason,
            driver=self._me,
            number=number,
        )


async def _plan(
    db: Database,
    job: BatchJob,
    manifest: Path | None,
    run: Run,
    processor: Processor,
    request: planner.PlanRequest,
    view: View,
    output: Path | None,
) -> PlanSummary:
    source, directory = job.spec.source, base(manifest)
    items = with_planned_paths(read_items(source, directory), job, directory, output)
    force = run.existing == "force"
    async with kept_there(job, output, force=force) as kept:
        return await planner.plan(
            db,
            run,
            request,
            probed(items, processor),
            view.planning,
            again=lambda: read_items(source, directory),
            kept=kept,
        )


def _resumed(run: Run, done: int) -> PlanSummary:
    """What is left of a run that was planned earlier. done: items that ended in it."""
    return PlanSummary(
        total=run.total,
        new=run.total - run.skipped - run.bad - done,
        changed=0,
        failed_before=0,
        unchanged=run.counted.get("unchanged", 0),
        bad=run.bad,
        resumed=True,
        run=run.number,
    )


async def _abandon(db: Statements, latest: Run) -> None:
    await shards.release_dead(db, latest.id, None, strike=False)
    await runs.set_phase(
        db, latest.id, "Failed", reason="Superseded", message="a newer run took its place"
    )


async def forget_half_plan(db: Database, job: BatchJob) -> None:
    """Remove what this command has planned of a run when it was interrupted in the middle."""
    latest = await runs.latest(db, job.name)
    if latest is not None and latest.phase == "Planning" and latest.driver == identity.mine():
        await housekeeping.forget(db, latest.id)


async def _untouched(db: Statements, run: Run) -> bool:
    """Whether no item of a run has come to its end."""
    totals = await runs.totals(db, run.id)
    return not totals["succeeded"] and not totals["failed"]


def _path(manifest: Path | None) -> str:
    return str(manifest.resolve()) if manifest else ""


def _manifest(job: BatchJob) -> str:
    return jsons.dumps(job.model_dump(by_alias=True, exclude_none=True, mode="json"))


def _running(run: Run) -> str:
    driver = run.driver or {}
    return (
        f"{run.job} is running already (process {driver.get('pid')} on {driver.get('host')}); "
        f"`penstock watch {run.job}` shows how far it is"
    )
