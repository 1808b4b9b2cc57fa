"""Runs in PostgreSQL, as the operator sees and changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

from penstock import jsons
from penstock.errors import AlreadyRunning, InputError
from penstock.plan import planner
from penstock.spec.job import BatchJob
from penstock.store import ending, runs
from penstock.store.db import Database, Statements
from penstock.store.observe import Observer
from penstock.store.progress import Progress
from penstock.store.runs import Run
from penstock_operator.actions import BeginExport, CloseRun, EditRun, OpenRun, SetRunPhase
from penstock_operator.observed import Observed, RunSeen, UnreadRun
from penstock_operator.reasons import Reasons

DatabaseAction = OpenRun | EditRun | SetRunPhase | BeginExport | CloseRun


@dataclass(frozen=True)
class _Unread:
    """A run whose manifest cannot be read: what it says nevertheless, and what to tell."""

    id: int
    revision: int
    rerun: int
    redrive: int
    why: str


@dataclass(frozen=True)
class _Known:
    """What need not be asked again of a run: it changes with the revision only."""

    id: int
    revision: int
    manifest: BatchJob
    observer: Observer
    reasons: Reasons


class Runs:
    """The runs of all BatchJobs. connections: a BatchJob always has the same one of them, so that
    looks at others seldom have to wait. aside: one for what may take long. cluster: tells this
    cluster's BatchJobs from those of others that use the same database. Every method may raise
    DatabaseError."""

    def __init__(self, connections: Sequence[Database], aside: Database, cluster: str) -> None:
        self._connections, self._aside, self._cluster = connections, aside, cluster
        self._known: dict[str, _Known | _Unread] = {}
        self._refused: dict[str, str] = {}

    def owner(self, uid: str) -> str:
        """How a run says which BatchJob it belongs to."""
        return f"{self._cluster}/{uid}"

    def refused(self, key: str) -> str:
        """Why the last try to open a run of this job was turned down; empty when it was not."""
        return self._refused.get(key, "")

    def forget(self, key: str) -> None:
        """The BatchJob is gone."""
        self._known.pop(key, None)
        self._refused.pop(key, None)

    def _of(self, key: str) -> Database:
        return self._connections[crc32(key.encode()) % len(self._connections)]

    async def look(
        self, key: str, uid: str, now: float, *, idle: bool = False
    ) -> RunSeen | UnreadRun | None:
        """The newest run of a job; None when there is none. now: seconds since the epoch. idle:
        somebody keeps it from working, so its time does not count."""
        db = self._of(key)
        newest = await runs.newest(db, key, idle=idle)
        if newest is None:
            self._known.pop(key, None)
            return None
        known = self._known.get(key)
        if known is None or (known.id, known.revision) != (newest.id, newest.revision):
            known = self._known[key] = self._read(db, await runs.get(db, newest.id))
        mine = newest.owner == self.owner(uid)
        foreign = not newest.owner.startswith(self.owner(""))
        if isinstance(known, _Unread):
            return UnreadRun(
                newest.id, newest.number, mine, foreign, newest.phase,
                known.rerun, known.redrive, newest.finished, known.why,
            )  # fmt: skip
        progress = await self._progress(known, now, newest.seconds)
        return RunSeen(
            id=newest.id,
            number=newest.number,
            mine=mine,
            foreign=foreign,
            phase=newest.phase,
            # Of a moment later: of another phase they would say what is not seen yet.
            reason=progress.reason if progress.phase == newest.phase else "",
            message=progress.message if progress.phase == newest.phase else "",
            manifest=known.manifest,
            existing=newest.existing,
            shards=newest.shards,
            seconds=newest.seconds,
            working=newest.phase in runs.WORKING_PHASES and not idle,
            output=progress.output or "",
            progress=progress,
            started=newest.started,
            finished=newest.finished,
        )

    def _read(self, db: Database, run: Run) -> _Known | _Unread:
        try:
            manifest = runs.manifest_of(run)
        except InputError as error:
            rerun, redrive = runs.counter(run, "rerun"), runs.counter(run, "redrive")
            return _Unread(run.id, run.revision, rerun, redrive, str(error))
        reasons = Reasons(self._aside, run.id)
        return _Known(run.id, run.revision, manifest, Observer(db, run), reasons)

    async def _progress(self, known: _Known, now: float, seconds: float) -> Progress:
        progress = await known.observer.look(now, seconds=seconds)
        ended = progress.phase in runs.ENDED_PHASES
        reasons = await known.reasons.look(progress.failed, now, ended=ended)
        return replace(progress, failures=reasons)

    async def carry_out(self, action: DatabaseAction, seen: Observed) -> None:
        """Do it, unless it is done already."""
        db = self._of(seen.key)
        match action:
            case OpenRun():
                await self._open(db, action, seen)
            case EditRun(run=run, manifest=manifest, resume=resume):
                await db.together(lambda t: _edit(t, run, manifest, resume=resume))
            case SetRunPhase(run=run, phase=phase, since=since, reason=reason, message=message):
                await runs.set_phase(db, run, phase, since=since, reason=reason, message=message)
            case BeginExport(run=run):
                await ending.begin_export(db, run)
            case CloseRun(run=run):
                whole = await runs.get(db, run)
                policy = runs.manifest_of(whole).spec.failure_policy
                await ending.close(db, whole, policy)

    async def _open(self, db: Database, action: OpenRun, seen: Observed) -> None:
        job = action.manifest
        try:
            await planner.open_run(
                db,
                job=seen.key,
                result_set=f"{seen.namespace}/{job.result_set}",
                manifest=_text(job),
                manifest_path="",
                existing=action.existing,
                redrive_reason="",
                driver="",
                number=action.number,
                owner=self.owner(seen.uid),
            )
        except AlreadyRunning:
            pass  # opened at an earlier try
        except InputError as error:
            self._refused[seen.key] = str(error)
            return
        self._refused.pop(seen.key, None)


async def _edit(transaction: Statements, run: int, manifest: BatchJob, *, resume: bool) -> None:
    await runs.edit(transaction, run, _text(manifest))
    if resume:
        await runs.set_phase(transaction, run, "Running", since=("Paused",))


def _text(manifest: BatchJob) -> str:
    return jsons.dumps(manifest.model_dump(by_alias=True, exclude_none=True, mode="json"))
