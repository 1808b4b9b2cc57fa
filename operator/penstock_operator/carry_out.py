"""Actions of a decision become effects, in the database or in Kubernetes.

Each may have been carried out before, by this operator or the one before it, and is then left as it
is. What Kubernetes answers goes into the cache at once, so that the next look sees it.
"""

from __future__ import annotations

from penstock.cluster.kinds import BATCH_JOBS, JOBS, SECRETS, Kind, Raw
from penstock_operator import names
from penstock_operator.access import Access
from penstock_operator.actions import (
    Action,
    BeginExport,
    CloseRun,
    CreateJob,
    DeleteBatchJob,
    DeleteJob,
    EditRun,
    OpenRun,
    PatchJob,
    SetRunPhase,
)
from penstock_operator.builders.jobs import build
from penstock_operator.builders.secret import database_secret
from penstock_operator.cache import Cache
from penstock_operator.database import Runs
from penstock_operator.kube import Kube, KubeError
from penstock_operator.names import Owner
from penstock_operator.observed import Observed
from penstock_operator.settings import Settings


class Effects:
    """Carries out actions. May raise DatabaseError and KubeError."""

    def __init__(
        self, kube: Kube, runs: Runs, cache: Cache, settings: Settings, access: Access
    ) -> None:
        self._kube, self._runs, self._cache, self._settings = kube, runs, cache, settings
        self._access = access

    async def carry_out(self, action: Action, seen: Observed) -> None:
        """Do it, unless it is done already."""
        owner = Owner(seen.name, seen.namespace, seen.uid)
        match action:
            case OpenRun() | EditRun() | SetRunPhase() | BeginExport() | CloseRun():
                await self._runs.carry_out(action, seen)
            case CreateJob():
                await self._create_job(action, owner)
            case PatchJob():
                await self._patch_job(action, owner)
            case DeleteJob(name=name):
                job = self._job(owner, name)
                if job is not None:
                    await self._delete(JOBS, job)
            case DeleteBatchJob():
                batchjob = self._cache.batchjob((owner.namespace, owner.name))
                if batchjob is not None and batchjob["metadata"]["uid"] == owner.uid:
                    await self._delete(BATCH_JOBS, batchjob)

    async def _create_job(self, action: CreateJob, owner: Owner) -> None:
        address = await self._access.of(owner)
        try:
            await self._kube.create(SECRETS, database_secret(owner, address.secret, address.url))
        except KubeError as error:
            if not error.exists:  # its name tells its content and its owner: it is ours
                raise
        body = build(
            action.role,
            owner,
            action.run,
            action.run_id,
            action.manifest,
            self._settings,
            secret=address.secret,
            parallelism=action.parallelism,
            suspend=action.suspend,
        )
        try:
            job = await self._kube.create(JOBS, body, strict=True)
        except KubeError as error:
            if not error.exists:
                raise
            job = await self._kube.get(JOBS, owner.namespace, body["metadata"]["name"])
            if names.batchjob_uid_of(job["metadata"]) != owner.uid:
                raise  # of a BatchJob that was deleted, or of somebody else
        self._cache.put(JOBS, job)

    async def _patch_job(self, action: PatchJob, owner: Owner) -> None:
        known = self._job(owner, action.name)
        if known is None:
            return
        # A Job that was made again under this name is another one.
        uid = known["metadata"]["uid"]
        change: list[Raw] = [{"op": "test", "path": "/metadata/uid", "value": uid}]
        for field, value in (("parallelism", action.parallelism), ("suspend", action.suspend)):
            if value is not None:
                change.append({"op": "add", "path": f"/spec/{field}", "value": value})
        try:
            job = await self._kube.patch(JOBS, owner.namespace, action.name, change)
            self._cache.put(JOBS, job)
        except KubeError as error:
            if not error.missing and not error.stale:
                raise
            await self._look_again(JOBS, known)

    async def _delete(self, kind: Kind, raw: Raw) -> None:
        metadata = raw["metadata"]
        try:
            answer = await self._kube.delete(
                kind, metadata["namespace"], metadata["name"], metadata["uid"]
            )
        except KubeError as error:
            if not error.missing and not error.stale:
                raise
            await self._look_again(kind, raw)
            return
        if answer.get("kind") == "Status":
            self._cache.remove(kind, metadata["uid"])
        else:  # something else holds it up: it is there, but on its way out
            self._cache.put(kind, answer)

    async def _look_again(self, kind: Kind, raw: Raw) -> None:
        """An object is gone, perhaps with another in its place, or has changed meanwhile."""
        metadata = raw["metadata"]
        try:
            now = await self._kube.get(kind, metadata["namespace"], metadata["name"])
        except KubeError as error:
            if not error.missing:
                raise
            self._cache.remove(kind, metadata["uid"])
            return
        if now["metadata"]["uid"] != metadata["uid"]:
            self._cache.remove(kind, metadata["uid"])
        self._cache.put(kind, now)

    def _job(self, owner: Owner, name: str) -> Raw | None:
        jobs = self._cache.owned(JOBS, owner.uid)
        return next((job for job in jobs if job["metadata"]["name"] == name), None)
