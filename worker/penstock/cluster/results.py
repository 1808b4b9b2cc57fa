"""Results from the cluster: read by a pod of the job's own, written here in any form.

pod: `penstock rows` ─► stdout ─► WebSocket by the API server ─► rows ─► writers of `export`
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any

from penstock import jsons
from penstock.cluster.api import Api, Refused
from penstock.cluster.changing import the_job
from penstock.cluster.kinds import JOBS, PODS, SECRETS, Raw
from penstock.cluster.mounts import CONTAINER
from penstock.cluster.reader_pod import database_secret, newest, reader_of, reader_with
from penstock.cluster.run_in_pod import run_in_pod
from penstock.errors import ClusterError, InputError, NotFound
from penstock.export.rows import ExportRow

Write = Callable[[AsyncIterator[Sequence[ExportRow]]], Awaitable[int]]
"""Writes the rows it is given, once; returns how many."""
_PATIENCE = 300.0
"""Seconds for the pod to start: its image may have to be pulled."""
_LOOK = 0.3
_HOPELESS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")


async def results(
    api: Api,
    namespace: str,
    name: str,
    *,
    write: Write,
    failed: bool,
    image: str | None,
) -> int:
    """Have a job's results written; returns what `write` does.

    failed: only the failed items. image: of the pod, where the job's own is not known any more.
    Raises NotFound, ClusterError, and what `write` raises.
    """
    batchjob = await the_job(api, namespace, name)
    if not (batchjob.get("status") or {}).get("currentRun"):
        raise NotFound(f"{name} has no run yet, and so no results")
    body = await _reader(api, namespace, batchjob, image)
    pod = (await api.create(PODS, namespace, body))["metadata"]["name"]
    try:
        await _ready(api, namespace, pod)
        command = ["penstock", "rows", f"{namespace}/{name}", *(["--failed"] if failed else [])]
        async with (
            aclosing(run_in_pod(api, namespace, pod, CONTAINER, command)) as pieces,
            aclosing(rows_of(pieces)) as rows,
        ):
            return await write(rows)
    finally:
        # Also when the command is interrupted: the deletion is not.
        await asyncio.shield(_delete(api, namespace, pod))


async def rows_of(pieces: AsyncIterator[bytes]) -> AsyncGenerator[Sequence[ExportRow]]:
    """The rows in what `penstock rows` writes, however that is cut. Raises ClusterError when some
    are missing."""
    held: list[bytes] = []
    count, told = 0, None
    async for piece in pieces:
        whole, end, rest = piece.rpartition(b"\n")
        if not end:  # a part of a long row
            held.append(piece)
            continue
        rows = []
        for line in b"".join((*held, whole)).split(b"\n"):
            value: Any = jsons.loads(line)
            if isinstance(value, list):
                rows.append(ExportRow(*value))
            else:
                told = value["rows"]
        held = [rest] if rest else []
        count += len(rows)
        if rows:
            yield rows
    if any(held) or told != count:
        raise ClusterError(f"the results broke off after {count:,} rows; try again")


async def _reader(api: Api, namespace: str, batchjob: Raw, image: str | None) -> Raw:
    metadata = batchjob["metadata"]
    selector = f"penstock.dev/batchjob={metadata['name']}"
    job = newest(await api.everything(JOBS, namespace, selector), metadata["uid"])
    if job is not None:
        return reader_of(job, batchjob, image)
    # Ended Jobs go after an hour; the Secret stays as long as the BatchJob.
    secret = database_secret(
        await api.everything(SECRETS, namespace, selector, metadata=True), metadata["uid"]
    )
    image = image or _image(batchjob)
    if secret is None:
        raise NotFound(
            f"nothing is left of {metadata['name']} that knows the database; run it again"
        )
    if image is None:
        raise InputError.at(
            "--image", "needed: the job's pods are gone, and with them the name of the worker image"
        )
    return reader_with(secret, image, batchjob)


def _image(batchjob: Raw) -> str | None:
    spec = (batchjob["spec"].get("template") or {}).get("spec") or {}
    images = [
        one.get("image")
        for one in spec.get("containers") or ()
        if one.get("name") in (CONTAINER, None, "")
    ]
    return next((str(image) for image in images if image), None)


async def _ready(api: Api, namespace: str, pod: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        status = (await api.get(PODS, namespace, pod)).get("status") or {}
        containers = status.get("containerStatuses") or ()
        if any("running" in one.get("state", {}) for one in containers):
            return
        waiting = [one.get("state", {}).get("waiting") or {} for one in containers]
        stuck = next((one for one in waiting if one.get("reason") in _HOPELESS), None)
        ended = status.get("phase") in ("Failed", "Succeeded")
        if stuck is not None or ended or time.monotonic() > deadline:
            why = _why(status, stuck)
            raise ClusterError(f"the pod that reads the results does not start: {why}")
        await asyncio.sleep(_LOOK)


def _why(status: Raw, stuck: Raw | None) -> str:
    if stuck is not None:
        return f"{stuck['reason']}: {stuck.get('message', '')}"
    told = [one.get("message") for one in status.get("conditions") or () if one.get("message")]
    return str(status.get("message") or "; ".join(told) or f"it is {status.get('phase')}")


async def _delete(api: Api, namespace: str, pod: str) -> None:
    with suppress(Refused):
        await api.delete(PODS, namespace, pod)
