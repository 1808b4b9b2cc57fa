"""Runs of BatchJobs that are gone: rows and role go, and with deletionPolicy Delete the results.

Nothing holds up the deletion of a BatchJob (no finalizer), so what it leaves in the database is
found afterwards. That a watch or a listing does not show a BatchJob is no proof: before anything is
removed the API server is asked for that very object, and has to say that it is not there.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from penstock import jsons
from penstock.cluster.kinds import BATCH_JOBS
from penstock.errors import AlreadyRunning
from penstock.store import housekeeping, owned, pools, roles, runs
from penstock.store.db import Database
from penstock.store.owned import OwnedRun
from penstock_operator.kube import METADATA_ONLY, Kube, KubeError

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two sweeps."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """All runs of a BatchJob that does not seem to be there any more, the newest one last."""

    namespace: str
    name: str
    uid: str
    runs: tuple[OwnedRun, ...]


def orphans(
    found: Iterable[OwnedRun], prefix: str, known: Collection[str], namespaces: Collection[str]
) -> list[Orphan]:
    """Whose BatchJob is not among the known UIDs, in the namespaces looked after (none named: in
    all). prefix: what the owners of this cluster's BatchJobs begin with. Pure."""
    together: dict[tuple[str, str], list[OwnedRun]] = {}
    for run in found:
        uid = run.owner.removeprefix(prefix)
        here = not namespaces or run.namespace in namespaces
        if here and run.owner.startswith(prefix) and uid not in known:
            together.setdefault((run.job, uid), []).append(run)
    return [
        Orphan(mine[0].namespace, mine[0].name, uid, tuple(sorted(mine, key=_number)))
        for (_, uid), mine in together.items()
    ]


def _number(run: OwnedRun) -> int:
    return run.number


class Sweep:
    """Removes what BatchJobs that are gone left behind. cluster: as in `Runs`."""

    def __init__(self, db: Database, kube: Kube, cluster: str, namespaces: Collection[str]) -> None:
        self._db, self._kube, self._namespaces = db, kube, namespaces
        self._prefix = f"{cluster}/"

    async def run_once(self, known: Collection[str]) -> int:
        """Sweep once; returns how many runs were removed. known: UIDs of BatchJobs that were seen,
        which are not asked for. Raises DatabaseError and KubeError."""
        found = await owned.owned(self._db, self._prefix)
        count = 0
        for orphan in orphans(found, self._prefix, known, self._namespaces):
            if await self._gone(orphan):
                await self._remove(orphan)
                count += len(orphan.runs)
        # Also those of a sweep before this one that was interrupted here.
        dropped = await roles.drop_unused(self._db)
        if dropped:
            log.info("dropped %d database role(s) of jobs that are gone", dropped)
        await pools.tidy(self._db)
        return count

    async def _gone(self, orphan: Orphan) -> bool:
        try:
            there = await self._kube.get(
                BATCH_JOBS, orphan.namespace, orphan.name, accept=METADATA_ONLY
            )
        except KubeError as error:
            if error.missing:
                return True
            raise
        return bool(there["metadata"]["uid"] != orphan.uid)

    async def _remove(self, orphan: Orphan) -> None:
        newest = orphan.runs[-1]
        delete = await self._deletes_results(newest) and not newest.shared
        log.info(
            "%s/%s is gone: removing %d run(s)%s",
            orphan.namespace, orphan.name, len(orphan.runs),
            f" and the result set {newest.result_set}" if delete else "",
        )  # fmt: skip
        for run in orphan.runs:
            # Workers that still run see it at their next sign of life, and stop.
            await runs.set_phase(
                self._db, run.id, "Failed", since=runs.OPEN_PHASES,
                reason="Deleted", message="its BatchJob was deleted",
            )  # fmt: skip
        if delete:  # before the runs: who is interrupted here finds them again
            await self._delete_results(newest.result_set)
        for run in orphan.runs:
            await housekeeping.delete_run(self._db, run.id)
        if delete:  # what came in meanwhile, and the set itself, which no run uses any more
            await self._delete_results(newest.result_set)

    async def _deletes_results(self, run: OwnedRun) -> bool:
        text = await owned.manifest(self._db, run.id)
        spec = jsons.loads(text).get("spec") or {} if text is not None else {}
        return bool(spec.get("deletionPolicy") == "Delete")

    async def _delete_results(self, name: str) -> None:
        try:
            await housekeeping.delete_result_set(self._db, name)
        except AlreadyRunning as error:
            log.warning("%s", error)
