"""kopf: watches of BatchJobs, their Jobs and their pods. All they do is fill the cache and mark the
BatchJob in the queue.

Only `on.event` handlers: kopf's others would keep what they remember in annotations, and add
finalizers that hold up deletions when the operator is away.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import kopf

from penstock.cluster.kinds import BATCH_JOBS, JOBS, PODS, Kind
from penstock_operator import names
from penstock_operator.cache import Cache, Key, batchjob_key

WATCH_SECONDS = 300
"""The API server ends a watch after that long; the next goes on from there."""


def registry(cache: Cache, mark: Callable[[Key], None]) -> kopf.OperatorRegistry:
    """The handlers. mark: told of each BatchJob about which something new was seen."""
    handlers = kopf.OperatorRegistry()

    def watch(kind: Kind, group: str, version: str, **filters: Any) -> None:
        @kopf.on.event(group, version, kind.plural, id=kind.plural, registry=handlers, **filters)
        async def seen(event: Mapping[str, Any], **_: Any) -> None:
            raw = dict(event["object"])
            if event["type"] == "DELETED":
                cache.remove(kind, raw["metadata"]["uid"])
            elif not cache.put(kind, raw):
                return
            if (key := batchjob_key(kind, raw)) is not None:
                mark(key)

    ours = {names.BATCHJOB: kopf.PRESENT}
    watch(BATCH_JOBS, "penstock.dev", "v1alpha1")
    watch(JOBS, "batch", "v1", labels=ours)
    watch(PODS, "", "v1", labels=ours)

    @kopf.on.login(registry=handlers)
    def login(**arguments: Any) -> kopf.ConnectionInfo | None:
        if os.environ.get("KUBECONFIG"):
            return kopf.login_with_kubeconfig(**arguments)
        return kopf.login_with_service_account(**arguments)

    return handlers


def settings() -> kopf.OperatorSettings:
    """kopf writes nothing to the cluster: no Events, no annotations, no peering."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.scanning.disabled = True  # needs no rights on namespaces and definitions
    chosen.persistence.progress_storage = _NoProgress()
    chosen.persistence.diffbase_storage = _NoEssence()
    chosen.watching.server_timeout = WATCH_SECONDS
    chosen.watching.client_timeout = WATCH_SECONDS + 30
    chosen.watching.connect_timeout = 5.0
    chosen.watching.chunk_size = 500
    for group, kind in (("batch", JOBS), ("", PODS)):
        chosen.watching.label_selectors[group, "v1", kind.plural] = names.BATCHJOB
    # Long enough for an API server to start again; a watch that gives up ends the operator.
    chosen.networking.error_backoffs = [1, 1, 2, 3, *[5] * 20]
    chosen.networking.request_timeout = 30.0
    chosen.networking.connect_timeout = 5.0
    chosen.queueing.exit_timeout = 0.5
    chosen.process.ultimate_exiting_timeout = None
    return chosen


async def start(
    handlers: kopf.OperatorRegistry, namespaces: Sequence[str], identity: str
) -> Collection[asyncio.Task[Any]]:
    """kopf's tasks, which run until they are cancelled. namespaces: those to watch, empty for all.
    identity: who this process is; kopf would ask for the name of a user, which an image need not
    know. kopf handles SIGTERM from now on, unless the caller puts its own handler back."""
    return await kopf.spawn_tasks(
        registry=handlers,
        settings=settings(),
        identity=identity,  # type: ignore[arg-type]  # its own name for str is private
        clusterwide=not namespaces,
        namespaces=namespaces,
        standalone=True,
    )


class _NoProgress(kopf.ProgressStorage):
    """`on.event` handlers make no progress that would have to be kept."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: Any) -> Any:
        return essence


class _NoEssence(kopf.DiffBaseStorage):
    """Nothing is compared with what was before, so nothing of it is kept or copied."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None
