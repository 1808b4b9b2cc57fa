"""Full listings: once before any work, and again every few minutes.

A watch that had to begin anew tells nothing of what was deleted meanwhile; a listing does.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.cluster.kinds import BATCH_JOBS, JOBS, PODS
from penstock_operator import names
from penstock_operator.cache import Cache
from penstock_operator.kube import Kube

EVERY = 300.0
"""Seconds between two listings."""


async def run_once(kube: Kube, cache: Cache, namespaces: Sequence[str]) -> int:
    """List everything the operator follows; returns how many objects that were. Raises KubeError,
    and then the cache holds what it held, with some of it newer."""
    count = 0
    for kind, selector in ((BATCH_JOBS, ""), (JOBS, names.BATCHJOB), (PODS, names.BATCHJOB)):
        for namespace in namespaces or (None,):
            raws, version = await kube.everything(kind, namespace, selector)
            cache.replace(kind, namespace, raws, version)
            count += len(raws)
    return count
