"""Where these tests can't run they are skipped, with the reason; in CI that counts as failed."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.cluster import lifecycle, processes
from tests.cluster.config import Paths
from tests.cluster.errors import ClusterError
from tests.e2e.command import cluster


@pytest.fixture(scope="module")
def paths() -> Iterator[Paths]:
    """The one cluster of this machine. There is none afterwards, unless there was one before."""
    try:
        lifecycle.check_machine()
    except ClusterError as error:
        pytest.skip(str(error))
    paths = Paths()
    there = bool(processes.records(paths))
    if there:
        print("a cluster is running: it is killed, and another one started", file=sys.stderr)
    yield paths
    cluster("up" if there else "down")
