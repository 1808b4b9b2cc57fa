"""What the command line asks of a cluster: one function a command, each with its own connection."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.cluster import changing, watching
from penstock.cluster import results as reading
from penstock.cluster import submit as handing_over
from penstock.cluster.api import Api, opened
from penstock.cluster.kinds import BATCH_JOBS
from penstock.cluster.kubeconfig import Access, login
from penstock.cluster.results import Write
from penstock.cluster.seen import progress_of
from penstock.cluster.submit import Person
from penstock.cluster.watching import Look, Since
from penstock.spec.job import BatchJob
from penstock.store.progress import Progress


@dataclass(frozen=True, slots=True)
class Target:
    """A job on a cluster."""

    access: Access
    name: str


async def namespace_of(access: Access) -> str:
    """The namespace that a command is about, from its options or the kubeconfig."""
    async with _connected(access) as (_, namespace):
        return namespace


async def submit(
    job: BatchJob,
    written: Mapping[str, Any],
    base: Path,
    access: Access,
    *,
    mounted: bool,
    person: Person,
) -> Since:
    """See `penstock.cluster.submit`."""
    async with _connected(access) as (api, namespace):
        return await handing_over.submit(
            api, namespace, job, written, base,
            mounted=mounted, environ=os.environ, person=person,
        )  # fmt: skip


async def status(target: Target) -> Progress:
    """A job as it stands. Raises NotFound."""
    async with _connected(target.access) as (api, namespace):
        return progress_of(await changing.the_job(api, namespace, target.name), time.time())


async def list_jobs(access: Access) -> list[Progress]:
    """Every job of the namespace, by name."""
    async with _connected(access) as (api, namespace):
        found = await api.everything(BATCH_JOBS, namespace)
        now = time.time()
        return sorted((progress_of(one, now) for one in found), key=lambda one: one.name)


async def watch(target: Target, since: Since) -> AsyncGenerator[Look, None]:
    """Looks at a job until it has ended. Raises NotFound."""
    async with _connected(target.access) as (api, namespace):
        await changing.the_job(api, namespace, target.name)
        async for look in watching.looks(api, namespace, target.name, since):
            yield look


async def results(
    target: Target,
    *,
    write: Write,
    failed: bool = False,
    image: str | None = None,
) -> int:
    """See `penstock.cluster.results`."""
    async with _connected(target.access) as (api, namespace):
        return await reading.results(
            api, namespace, target.name, write=write, failed=failed, image=image
        )


async def suspend(target: Target) -> None:
    """Have a job stop. Raises NotFound."""
    async with _connected(target.access) as (api, namespace):
        await changing.suspend(api, namespace, target.name)


async def resume(target: Target) -> None:
    """Have a suspended or paused job go on. Raises NotFound."""
    async with _connected(target.access) as (api, namespace):
        await changing.resume(api, namespace, target.name)


async def redrive(target: Target) -> Since:
    """Have what failed tried again. Raises NotFound."""
    async with _connected(target.access) as (api, namespace):
        return await changing.redrive(api, namespace, target.name)


async def deletes_results(target: Target) -> bool:
    """Whether a job's results go with it, by its deletionPolicy. Raises NotFound."""
    async with _connected(target.access) as (api, namespace):
        return await changing.deletes_results(api, namespace, target.name)


async def delete(target: Target, *, results: bool) -> None:
    """Delete a job, with its results or by its deletionPolicy. Raises NotFound."""
    async with _connected(target.access) as (api, namespace):
        await changing.delete(api, namespace, target.name, results=results)


@asynccontextmanager
async def _connected(access: Access) -> AsyncIterator[tuple[Api, str]]:
    known = login(access, os.environ)
    async with opened(known) as api:
        yield api, access.namespace or known.namespace
