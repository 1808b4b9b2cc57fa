"""One look at one BatchJob: gather what is seen, decide, act, tell. Called by the queue.

Whatever was written is taken into the cache at once, so a look never decides by what was before the
operator's own last write.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from penstock.cluster.kinds import BATCH_JOBS, JOBS, PODS, Raw
from penstock.errors import DatabaseError, Mistake
from penstock.secrets import mask
from penstock.spec import load
from penstock.spec.job import BatchJob
from penstock_operator.actions import Decision, EditRun, reason
from penstock_operator.builders.merge import template_mistakes
from penstock_operator.cache import Cache, Key
from penstock_operator.carry_out import Effects
from penstock_operator.connection import Connection
from penstock_operator.database import Runs
from penstock_operator.events import Announcer
from penstock_operator.kube import Kube, KubeError
from penstock_operator.names import Owner
from penstock_operator.observed import Observed, Problem, RunSeen, UnreadRun
from penstock_operator.reconcile import decide
from penstock_operator.seen import job_seen, pod_seen

log = logging.getLogger(__name__)

STATUS_EVERY = 2.0
"""Seconds between two writes of a status while its phase stays the same."""
CHANGED = 0.5
"""Seconds until the next look at a BatchJob that has changed during this one; its watch is
quicker."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a BatchJob says, or every mistake in it."""

    generation: int
    job: BatchJob | None
    mistakes: tuple[Mistake, ...]


def manifest(raw: Raw) -> Manifest:
    """The manifest in a BatchJob as the API has it. Pure."""
    job, mistakes = load.check(raw)
    if job is not None:
        mistakes = mistakes + template_mistakes(job.spec.template)
    generation = int(raw["metadata"].get("generation") or 0)
    return Manifest(generation, None if mistakes else job, tuple(mistakes))


def status_delay(
    known: Mapping[str, Any], wanted: Mapping[str, Any], written: float | None, now: float
) -> float | None:
    """Seconds until the wanted status may be written; None when the API server has it already.
    written: when the last one was, by the same clock as now. Pure."""
    if known == wanted:
        return None
    if written is None or known.get("phase") != wanted.get("phase"):
        return 0.0
    return max(0.0, written + STATUS_EVERY - now)


def idle(raw: Raw, jobs: Iterable[Raw]) -> bool:
    """Whether a BatchJob is kept from working: it is suspended, or a queue has not let its Job in
    yet. Pure."""
    found = [view for one in jobs if (view := job_seen(one)) is not None]
    queued = any(one.suspended and not one.ended and not one.deleting for one in found)
    return queued or bool((raw.get("spec") or {}).get("suspend"))


def observe(
    raw: Raw,
    said: Manifest,
    run: RunSeen | UnreadRun | None,
    *,
    database: str,
    refused: str,
    jobs: list[Raw],
    pods: list[Raw],
    now: float,
) -> Observed:
    """All that is seen of one BatchJob. now: seconds since the epoch. Pure."""
    metadata = raw["metadata"]
    job_views = [job_seen(job) for job in jobs]
    pod_views = [pod_seen(pod, now) for pod in pods]
    return Observed(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=said.generation,
        deleting="deletionTimestamp" in metadata,
        managed_elsewhere=bool((raw.get("spec") or {}).get("managedBy")),
        job=said.job,
        mistakes=said.mistakes,
        run=run if isinstance(run, RunSeen) else None,
        unread=run if isinstance(run, UnreadRun) else None,
        database=database,
        refused=refused,
        jobs=tuple(sorted((one for one in job_views if one), key=lambda one: one.name)),
        pods=tuple(sorted((one for one in pod_views if one), key=lambda one: one.name)),
        status=raw.get("status") or {},
        now=now,
    )


class Controller:
    """Reconciles BatchJobs, one look at a time for each. acted: told why something was done."""

    def __init__(
        self,
        kube: Kube,
        cache: Cache,
        runs: Runs,
        effects: Effects,
        connection: Connection,
        announcer: Announcer,
        acted: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kube, self._cache, self._runs = kube, cache, runs
        self._effects, self._connection, self._clock = effects, connection, clock
        self._announcer, self._acted = announcer, acted
        self._said: dict[Key, tuple[str, Manifest]] = {}
        self._written: dict[str, float] = {}

    async def reconcile(self, key: Key) -> float | None:
        """Look at one BatchJob and do what is to be done. Returns the seconds until it is to be
        looked at again; raises when something went wrong and is to be tried again."""
        raw = self._cache.batchjob(key)
        if raw is None:
            self._forget(key)
            return None
        seen = await self._look(key, raw)
        decision = decide(seen)
        trouble = await self._act(decision, seen)
        stuck = refused_by(trouble, seen.namespace)
        if stuck is not None:  # told at once; the queue tries again, ever more rarely
            decision = decide(replace(seen, stuck=stuck))
        again = await self._tell(decision, seen)
        if trouble is not None and not isinstance(trouble, DatabaseError):
            raise trouble
        return _sooner(decision.again, again)

    async def _look(self, key: Key, raw: Raw) -> Observed:
        uid, now = raw["metadata"]["uid"], self._clock()
        name = "/".join(key)
        run: RunSeen | UnreadRun | None = None
        database = self._connection.why
        jobs = self._cache.owned(JOBS, uid)
        if not database:
            try:
                run = await self._runs.look(name, uid, now, idle=idle(raw, jobs))
            except DatabaseError as error:
                self._connection.lost(error)
                database = str(error)
        return observe(
            raw,
            self._manifest(key, raw),
            run,
            database=database,
            refused=self._runs.refused(name),
            jobs=jobs,
            pods=self._cache.owned(PODS, uid),
            now=now,
        )

    def _manifest(self, key: Key, raw: Raw) -> Manifest:
        uid, generation = raw["metadata"]["uid"], int(raw["metadata"].get("generation") or 0)
        known = self._said.get(key)
        if known is None or (known[0], known[1].generation) != (uid, generation):
            known = self._said[key] = (uid, manifest(raw))
        return known[1]

    async def _act(self, decision: Decision, seen: Observed) -> KubeError | DatabaseError | None:
        """Carry out the actions in their order. Returns what kept one from being carried out; the
        rest then waits for the next look."""
        for action in decision.actions:
            log.info("%s: %s", seen.key, _in_short(action))
            try:
                await self._effects.carry_out(action, seen)
            except DatabaseError as error:
                self._connection.lost(error)
                return error
            except KubeError as error:
                return error
            self._acted(reason(action))
            if isinstance(action, EditRun):
                break  # the rest was decided by the manifest before the edit
        return None

    async def _tell(self, decision: Decision, seen: Observed) -> float | None:
        """Write the status if it changed, then announce the notices. Returns the seconds until a
        status that had to wait is due."""
        owner = Owner(seen.name, seen.namespace, seen.uid)
        if decision.status is not None:
            wanted = decision.status.as_json()
            last = self._written.get(seen.uid)
            delay = status_delay(seen.status, wanted, last, self._clock())
            if delay:
                return delay  # and the notices with it: they come from the same difference
            if delay is not None and not await self._write(owner, wanted):
                return CHANGED
        self._announcer.announce(owner, decision.notices, self._clock())
        return None

    async def _write(self, owner: Owner, status: Raw) -> bool:
        """False when the BatchJob is no longer what was looked at."""
        raw = self._cache.batchjob((owner.namespace, owner.name))
        if raw is None or raw["metadata"]["uid"] != owner.uid:
            return False
        version = raw["metadata"]["resourceVersion"]
        change = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/status", "value": status},
        ]
        try:
            answer = await self._kube.patch(
                BATCH_JOBS, owner.namespace, f"{owner.name}/status", change
            )
        except KubeError as error:
            if error.missing:
                self._cache.remove(BATCH_JOBS, owner.uid)
            elif not error.stale:
                raise
            return False
        self._written[owner.uid] = self._clock()
        self._cache.put(BATCH_JOBS, answer)
        return True

    def _forget(self, key: Key) -> None:
        self._runs.forget("/".join(key))
        uid, _ = self._said.pop(key, ("", None))
        self._written.pop(uid, None)
        self._announcer.forget(uid)


def refused_by(trouble: KubeError | DatabaseError | None, namespace: str) -> Problem | None:
    """What Kubernetes says no to, so that someone has to see to it; None for what passes. Pure."""
    if not isinstance(trouble, KubeError):
        return None
    said = mask(trouble.message)
    if trouble.invalid:
        advice = (
            "mend what it names (spec.template, if it is of the pods) and apply the manifest again"
        )
        return Problem(
            "Refused", f"Kubernetes refuses what is made of this manifest: {said}; {advice}"
        )
    if trouble.exists:  # only of a Job that is not ours does this come so far
        return Problem(
            "JobNameTaken",
            f"The Job {trouble.about} is wanted here, and there is one of that name that is not"
            " this BatchJob's: somebody else's, or left by a deleted BatchJob of the same name. If"
            f" nobody needs it: kubectl delete job {trouble.about} -n {namespace}; once it is gone,"
            " this goes on by itself",
        )
    if trouble.status == 403:
        return Problem("Forbidden", f"Kubernetes forbids it: {said}; it is tried again by itself")
    return None


def _sooner(one: float | None, other: float | None) -> float | None:
    times = [time for time in (one, other) if time is not None]
    return min(times, default=None)


def _in_short(action: object) -> str:
    """An action as a line of the log: without the manifest, which may be large."""
    fields = {
        name: getattr(action, name)
        for name in getattr(action, "__slots__", ())
        if name != "manifest" and getattr(action, name) not in (None, "", ())
    }
    return f"{type(action).__name__}({', '.join(f'{k}={v!r}' for k, v in fields.items())})"
