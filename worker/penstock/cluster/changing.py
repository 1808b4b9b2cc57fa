"""BatchJobs on the cluster: found, suspended, resumed, tried again, deleted.

All of it by the manifest alone; the operator does the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from penstock.cluster.api import Api, Refused
from penstock.cluster.kinds import BATCH_JOBS, Raw
from penstock.cluster.seen import is_over
from penstock.cluster.watching import Since
from penstock.errors import ClusterError, InputError, NotFound

_PATIENCE = 120.0
"""Seconds for the operator to take something up."""
_LOOK = 0.5


async def find(api: Api, namespace: str, name: str) -> Raw | None:
    """The BatchJob; None when there is none."""
    try:
        return await api.get(BATCH_JOBS, namespace, name)
    except Refused as error:
        if error.missing:
            return None
        raise


async def the_job(api: Api, namespace: str, name: str) -> Raw:
    """The BatchJob. Raises NotFound, naming those that are there."""
    found = await find(api, namespace, name)
    if found is not None:
        return found
    names = [one["metadata"]["name"] for one in await api.everything(BATCH_JOBS, namespace)]
    there = f"; there are: {', '.join(sorted(names)[:20])}" if names else "; there is none at all"
    raise NotFound(f"no job named {name} in the namespace {namespace}{there}")


async def suspend(api: Api, namespace: str, name: str) -> None:
    """Have a job stop. Raises NotFound."""
    if is_over(await the_job(api, namespace, name)):
        raise NotFound(f"{name} has no unfinished run to suspend")
    await _patch(api, namespace, name, suspend=True)


async def resume(api: Api, namespace: str, name: str) -> None:
    """Have a suspended or paused job go on. Raises NotFound."""
    found = await the_job(api, namespace, name)
    if is_over(found):
        raise NotFound(f"{name} has no unfinished run to resume")
    if _phase(found) == "Paused" and not found["spec"].get("suspend"):
        # What makes it go on is the end of a suspension, so there has to be one.
        await _patch(api, namespace, name, suspend=True)
        await _until(api, namespace, name, lambda seen: _phase(seen) != "Paused")
    await _patch(api, namespace, name, suspend=False)
    await _until(api, namespace, name, lambda seen: _phase(seen) not in ("Paused", "Suspended"))


async def redrive(api: Api, namespace: str, name: str) -> Since:
    """Have what failed tried again; returns what the status has to be newer than. Raises
    NotFound."""
    found = await the_job(api, namespace, name)
    status = found.get("status") or {}
    if not is_over(found):
        raise InputError.at(name, f"is {_phase(found).lower()}; wait for its end, then redrive it")
    if not (status.get("itemCounts") or {}).get("failed"):
        raise NotFound(f"nothing failed in the last run of {name}")
    patched = await _patch(api, namespace, name, redrive=(found["spec"].get("redrive") or 0) + 1)
    return Since(patched["metadata"]["generation"], status.get("currentRun") or 0)


async def deletes_results(api: Api, namespace: str, name: str) -> bool:
    """Whether a job's results go with it, by its deletionPolicy. Raises NotFound."""
    found = await the_job(api, namespace, name)
    return bool(found["spec"].get("deletionPolicy") == "Delete")


async def delete(api: Api, namespace: str, name: str, *, results: bool) -> None:
    """Delete a job, and what it gave if `results` is set or its deletionPolicy says so. Raises
    NotFound."""
    found = await the_job(api, namespace, name)
    if results and found["spec"].get("deletionPolicy") != "Delete":
        patched = await _patch(api, namespace, name, deletionPolicy="Delete")
        generation = patched["metadata"]["generation"]
        # What the operator has not read before the end it will not know after it.
        await _until(
            api, namespace, name,
            lambda seen: (seen.get("status") or {}).get("observedGeneration", 0) >= generation,
        )  # fmt: skip
    await api.delete(BATCH_JOBS, namespace, name)


def owner_reference(batchjob: Raw) -> dict[str, Any]:
    """What makes an object go with a BatchJob; it keeps no deletion waiting."""
    return {
        "apiVersion": batchjob["apiVersion"],
        "kind": batchjob["kind"],
        "name": batchjob["metadata"]["name"],
        "uid": batchjob["metadata"]["uid"],
    }


async def _patch(api: Api, namespace: str, name: str, **fields: Any) -> Raw:
    return await api.merge(BATCH_JOBS, namespace, name, {"spec": fields})


async def _until(api: Api, namespace: str, name: str, good: Callable[[Raw], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not good(await the_job(api, namespace, name)):
        if time.monotonic() > deadline:
            raise ClusterError(
                f"the operator has not taken it up within {_PATIENCE:.0f} s; is it running?"
                f" kubectl describe batchjob {name} --namespace {namespace}"
            )
        await asyncio.sleep(_LOOK)


def _phase(found: Raw) -> str:
    return str((found.get("status") or {}).get("phase") or "Pending")
