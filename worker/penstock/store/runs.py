"""Runs: opening, finding, taking over, moving from phase to phase."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
from pydantic import ValidationError

from penstock import jsons
from penstock.errors import InputError, NotFound
from penstock.spec.job import BatchJob
from penstock.spec.mistakes import in_words
from penstock.store.db import Database, Statements
from penstock.store.queries import load

_SQL = load("runs")
T = TypeVar("T")

INVALID_INPUT = "InvalidInput"
"""Reason of a run that ended because its items could not be read."""
BAD_RECORD = "bad record"
"""Why items failed that were never tried."""
MOST_FREQUENT = 10

WORKING_PHASES = ("Planning", "Running", "Exporting")
OPEN_PHASES = ("Planning", "Running", "Paused", "Suspended", "Exporting")
ENDED_PHASES = ("Complete", "Failed")


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a batch job, as the database knows it.

    items_run and item_part: whose item rows it works on. result_part: where its result set lives.
    driver: who drives it on one machine (host, pid, started), or None. driver_fresh: it gave a
    sign of life in the last seconds. owner: on a cluster, the UID of its BatchJob. revision: how
    often the manifest was edited since it began.
    """

    id: int
    job: str
    number: int
    result_set: int
    result_set_name: str
    result_part: int
    items_run: int
    item_part: int
    phase: str
    reason: str
    message: str
    manifest: str
    manifest_path: str
    existing: str
    redrive_reason: str
    total: int
    skipped: int
    bad: int
    counted: dict[str, int]
    suspend: bool
    driver: dict[str, Any] | None
    driver_fresh: bool
    active_seconds: float
    output: str
    owner: str
    revision: int

    @property
    def ended(self) -> bool:
        """Nothing more will happen in this run."""
        return self.phase in ENDED_PHASES


@dataclass(frozen=True, slots=True)
class Watched:
    """What changes of a run while it is under way; see `Run`. succeeded, failed and the tokens are
    totals over its shards. workers: the totals of each; fresh: of those that were heard from just
    now."""

    phase: str
    reason: str
    message: str
    suspend: bool
    total: int
    skipped: int
    bad: int
    active_seconds: float
    output: str
    succeeded: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    workers: list[dict[str, Any]]
    fresh: list[dict[str, Any]]


def _run(row: asyncpg.Record) -> Run:
    names = Run.__dataclass_fields__
    values = {name: row[name] for name in names}
    values["items_run"] = row["items_run"] or row["id"]
    values["counted"] = json.loads(row["counted"])
    values["driver"] = json.loads(row["driver"]) if row["driver"] else None
    values["driver_fresh"] = bool(row["driver_fresh"])
    return Run(**values)


async def deciding(db: Database, job: str, decide: Callable[[Statements], Awaitable[T]]) -> T:
    """Decide what happens to a job, alone among all commands, in one transaction.

    `decide` is called again after a lost connection, and may then find its own work done: only the
    answer had got lost.
    """

    async def alone(transaction: Statements) -> T:
        await lock_job(transaction, job)
        return await decide(transaction)

    with db.unhurried():  # it may have to wait for another command's decision
        return await db.together(alone)


async def lock_job(transaction: Statements, job: str) -> None:
    """Keep others from deciding about a job until the transaction ends. Works through PgBouncer."""
    await transaction.execute(_SQL["lock_job"], job)


async def latest(db: Statements, job: str) -> Run | None:
    """The newest run of a job, or None when there is none."""
    row = await db.fetchrow(_SQL["latest"], job)
    return _run(row) if row else None


async def get(db: Statements, run: int) -> Run:
    """A run by its number in the database. Raises NotFound."""
    row = await db.fetchrow(_SQL["by_id"], run)
    if row is None:
        raise NotFound(f"there is no run {run} in this database")
    return _run(row)


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest run of a job, cheap to ask for. phase and shards (how many are not done yet) are
    of the same moment. started, finished: seconds since the epoch. seconds: its working time."""

    id: int
    number: int
    revision: int
    owner: str
    existing: str
    phase: str
    started: float
    finished: float | None
    seconds: float
    shards: int


async def newest(db: Statements, job: str, *, idle: bool = False) -> Newest | None:
    """The newest run of a job, without its manifest; None when there is none.

    The time since the last call counts as working time, unless the run waits in its phase, or is
    idle for another reason. By the database's clock, so it does not matter who calls.
    """
    counting = () if idle else WORKING_PHASES
    row = await db.fetchrow(_SQL["newest"], job, counting)
    return Newest(**row) if row else None


async def before(db: Statements, run: Run) -> Run:
    """The run of the same job that came before this one. Raises NotFound."""
    row = await db.fetchrow(_SQL["before"], run.job, run.number)
    if row is None:
        raise NotFound(f"{run.job} has no run before its run {run.number}")
    return _run(row)


def check_job(run: Run, environ: Mapping[str, str]) -> None:
    """Raises InputError when the run is another job's than PENSTOCK_JOB says: the database was
    replaced, and the number that a pod was told now means something else."""
    meant = environ.get("PENSTOCK_JOB")
    if meant and meant != run.job:
        raise InputError.at(
            "PENSTOCK_RUN", f"run {run.id} belongs to another job than {meant}: another database?"
        )


def manifest_of(run: Run) -> BatchJob:
    """The manifest that a run works by. Raises InputError when this version cannot read what
    another one has stored."""
    try:
        return BatchJob.model_validate(jsons.loads(run.manifest))
    except ValidationError as error:
        first = in_words(BatchJob, error.errors(include_url=False)[0])
    if run.owner:
        rerun = f"raise spec.rerun to {counter(run, 'rerun') + 1} to run what has no result"
    else:
        rerun = f"`penstock delete {run.job}` (its results stay), then `penstock run` starts anew"
    raise InputError.at(
        f"run {run.number} of {run.job}",
        "its manifest was stored by another version of Penstock, and this one cannot read it"
        f" ({first}); {rerun}",
    )


def counter(run: Run, name: str) -> int:
    """`spec.rerun` or `spec.redrive` of a run's manifest, also of one that cannot be read."""
    spec = jsons.loads(run.manifest).get("spec") or {}
    return int(spec.get(name) or 0)


async def newest_of_all(db: Database) -> list[Run]:
    """Every job's newest run, by job name."""
    rows = await db.fetch(_SQL["jobs"])
    return sorted([await get(db, row["id"]) for row in rows], key=lambda run: run.job)


async def watched(db: Database, run: int) -> Watched:
    """The run as it stands, in one question. Raises NotFound."""
    row = await db.fetchrow(_SQL["watched"], run)
    if row is None:
        raise NotFound(f"there is no run {run} in this database")
    lists = {name: [json.loads(stats) for stats in row[name]] for name in ("workers", "fresh")}
    return Watched(**{**row, **lists})


async def half_planned(db: Database) -> list[Run]:
    """Runs that were not planned to the end, or are being planned."""
    return [await get(db, row["id"]) for row in await db.fetch(_SQL["half_planned"])]


async def take_over(db: Statements, run: Run, driver: str, manifest: str, path: str) -> bool:
    """An interrupted run goes on under this driver; False when another was quicker."""
    before = jsons.dumps(run.driver) if run.driver else ""
    row = await db.fetchrow(_SQL["take_over"], run.id, driver, manifest, path, before)
    return row is not None


async def driver_alive(
    db: Database, run: int, driver: str, seconds: float
) -> asyncpg.Record | None:
    """Give a sign of life; seconds: the run's working time so far, over all its drivers.

    Returns phase, reason, message, suspend; None when the run is no longer this driver's.
    """
    return await db.fetchrow(_SQL["driver_alive"], run, driver, seconds)


async def driver_gone(db: Database, run: int, driver: str, seconds: float) -> None:
    """The driver leaves; the run can be taken over at once. seconds: as in `driver_alive`."""
    await db.execute(_SQL["driver_gone"], run, driver, seconds)


async def driven_by(db: Statements, run: int, driver: str) -> bool:
    """Whether this driver has the run."""
    return bool(await db.fetchval(_SQL["driven_by"], run, driver))


async def set_phase(
    db: Statements,
    run: int,
    phase: str,
    *,
    since: tuple[str, ...] = OPEN_PHASES,
    reason: str = "",
    message: str = "",
) -> bool:
    """Move a run to a phase from one of the phases `since`; False when it had left them."""
    row = await db.fetchrow(_SQL["set_phase"], run, list(since), phase, reason, message)
    return row is not None


async def begin_export(db: Statements, run: int) -> bool:
    """Move a run on to Exporting; False when it has left the phases before that, or has shards that
    are not done."""
    return await db.fetchrow(_SQL["begin_export"], run) is not None


async def settle_skipped(db: Statements, run: int) -> None:
    """Count as skipped what neither succeeded nor failed; only when every shard is done."""
    await db.execute(_SQL["settle_skipped"], run)


async def set_output(db: Database, run: int, output: str) -> None:
    """Remember where the results were written."""
    await db.execute(_SQL["set_output"], run, output)


async def edit(db: Statements, run: int, manifest: str) -> None:
    """A manifest that was edited takes effect; workers see it at their next sign of life."""
    await db.execute(_SQL["edit"], run, manifest)


async def set_suspend(db: Database, run: int, suspend: bool) -> None:
    """Ask a run to stop (or not to)."""
    await db.execute(_SQL["set_suspend"], run, suspend)


async def totals(db: Statements, run: int) -> asyncpg.Record:
    """succeeded, failed, prompt_tokens, completion_tokens over all shards."""
    row = await db.fetchrow(_SQL["totals"], run)
    assert row is not None
    return row


async def failures(
    db: Database, run: Run, *, within: float | None = None
) -> tuple[tuple[str, int], ...]:
    """Failed items by reason, the ten most frequent. Raises TimeoutError when counting them takes
    longer than `within` seconds."""

    async def count(connection: asyncpg.Connection) -> list[asyncpg.Record] | None:
        try:
            async with connection.transaction():
                if within is not None:
                    await connection.execute(f"SET LOCAL statement_timeout = {within * 1000:.0f}")
                found: list[asyncpg.Record] = await connection.fetch(
                    _SQL["failures"], run.result_part, run.result_set, run.id
                )
                return found
        except asyncpg.QueryCanceledError:
            return None

    with db.unhurried():
        rows = await db.call(count)
    if rows is None:
        raise TimeoutError(f"it takes longer than {within} s")
    found = [(row["reason"] or "failed", row["count"]) for row in rows]
    if bad := run.counted.get("badRecords", 0):
        found.append((BAD_RECORD, bad))
        found.sort(key=lambda entry: (-entry[1], entry[0]))
    return tuple(found[:MOST_FREQUENT])


async def workers(db: Statements, run: int) -> list[tuple[str, bool, dict[str, Any]]]:
    """Each worker's ID, whether it was heard from just now, and its totals."""
    rows = await db.fetch(_SQL["workers"], run)
    return [(row["id"], row["fresh"], json.loads(row["stats"])) for row in rows]


async def worker_seen(
    db: Database, run: int, worker: str, slot: int, stats: dict[str, Any]
) -> asyncpg.Record | None:
    """A worker's sign of life; returns phase, suspend, reason, message, revision.

    None: there is no such run any more."""
    return await db.fetchrow(_SQL["worker_seen"], run, worker, slot, json.dumps(stats))


async def workers_gone(db: Statements, run: int, ids: list[str]) -> None:
    """Workers that ended no longer count as alive; their totals stay."""
    await db.execute(_SQL["worker_gone"], run, ids)
