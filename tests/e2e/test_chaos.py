"""Chaos on the cluster: while a job of 20,000 items runs, its pods, the operator and the database
are killed. In the end every item has its own result, once, and nothing is left.

Five blows come in `make test`. `make soak` asks for more by PENSTOCK_CHAOS_ROUNDS: five to a job,
in another order for each.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from penstock.store import results, runs
from penstock.store.db import Database
from penstock_operator.names import BATCHJOB
from tests.e2e import parts, pods
from tests.e2e.installation import Installation, installed
from tests.e2e.kube import Object, condition
from tests.e2e.namespace import Namespace, Namespaces
from tests.e2e.parts import Simulator
from tests.e2e.target import Target
from tests.e2e.waiting import until

pytestmark = pytest.mark.alone

ITEMS = 20_000
PODS = 3
CONCURRENCY = 10
CHECKPOINT_ITEMS = 50
# Some 300 calls a second, if the machine can: a minute, and time for five blows.
LATENCY = "100ms"
ROUNDS = int(os.environ.get("PENSTOCK_CHAOS_ROUNDS", "5"))
SECONDS = 800


@dataclass(frozen=True)
class Struck:
    """A job under way, and what can be done to it. Each blow returns how many workers may have lost
    what they had in flight or not yet written down."""

    where: Installation
    jobs: Namespace

    def worker_deleted(self) -> int:
        """One that is asked to end drains, and loses nothing."""
        self.jobs.delete("Pod", workers(self.jobs)[0])
        return 0

    def worker_forced(self) -> int:
        """Forgotten by Kubernetes at once: no drain, and its lease has to run out."""
        self.jobs.delete("Pod", workers(self.jobs)[0], grace=0)
        return 1

    def workers_gone(self) -> int:
        """All of them, without a word."""
        names = workers(self.jobs)
        for name in names:
            self.jobs.delete("Pod", name, grace=0)
        return len(names)

    def operator_killed(self) -> int:
        """The workers need none."""
        self.where.home.delete("Pod", self.where.operator(), grace=0)
        return 0

    def database_killed(self) -> int:
        """Its server falls, and its pod with it; another pod finds its data as the crash left them.
        Workers wait for it; who waits for longer than its lease lasts loses what it holds."""
        pod = self.where.database()
        self.where.home.exec(pod, "sh", "-c", "kill -QUIT 1")
        self.where.home.delete("Pod", pod, grace=1)
        return PODS


BLOWS: tuple[Callable[[Struck], int], ...] = (
    Struck.worker_deleted,
    Struck.worker_forced,
    Struck.operator_killed,
    Struck.database_killed,
    Struck.workers_gone,
)


@pytest.fixture
def struck(namespaces: Namespaces, cluster: Target) -> Iterator[Struck]:
    jobs = namespaces.create()
    try:
        with installed(namespaces, cluster, [jobs]) as where:
            yield Struck(where, jobs)
    finally:
        namespaces.delete(jobs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(-(-ROUNDS // len(BLOWS))))
async def test_every_item_has_its_result_once_whatever_is_killed(
    seed: int, struck: Struck, cluster: Target
) -> None:
    jobs, where = struck.jobs, struck.where
    simulator = parts.start_simulator(jobs, cluster.images["worker"], f"--latency={LATENCY}")
    lines = "".join(json.dumps(item(number)) + "\n" for number in range(ITEMS))
    jobs.create(pods.config_map("items", {"items.jsonl": lines}), batchjob(simulator.url))
    lost, told, began = 0, [], time.monotonic()
    blows = list(BLOWS)
    if seed:
        random.Random(seed).shuffle(blows)
    for number, blow in enumerate(blows, 1):
        reached(simulator, ITEMS * number // (len(blows) + 1))
        lost += blow(struck)
        told.append(f"{blow.__name__} at {time.monotonic() - began:.0f} s")

    done = jobs.wait("BatchJob", "chaos", ended, "ended", seconds=SECONDS)
    counts = done["status"]["itemCounts"]
    assert counts == {
        **{"total": ITEMS, "succeeded": ITEMS},
        **{"skipped": 0, "failed": 0, "pending": 0, "running": 0},
    }
    assert (done["status"]["phase"], done["status"]["progress"]) == ("Complete", "100%")
    stats = simulator.stats()
    print(f"{', '.join(told)}, end at {time.monotonic() - began:.0f} s; made twice: ", end="")
    print(f"{stats['duplicates']} of {stats['accepted']} calls")
    assert stats["distinct"] == ITEMS
    assert stats["duplicates"] <= lost * (CONCURRENCY + CHECKPOINT_ITEMS)

    async with where.connected() as db:
        await whole(db, jobs.name)
        until(lambda: at_work(jobs), lambda names: not names, "no pod of it works any more")
        await alone(db)
    made = {job["metadata"]["name"] for job in jobs.all("Job", BATCHJOB)}
    assert made == {"chaos-1-plan", "chaos-1-work"}
    jobs.delete("BatchJob", "chaos")
    until(lambda: left(jobs), lambda names: not names, "nothing is left of it")


def ended(found: Object) -> bool:
    return condition(found, "Complete") is not None or condition(found, "Failed") is not None


def item(number: int) -> Object:
    return {"id": f"i{number}"}


def batchjob(url: str) -> Object:
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "chaos"},
        "spec": {
            "source": {"configMap": {"name": "items", "key": "items.jsonl"}, "idField": "id"},
            "processor": {"http": {"url": f"{url}/any", "responsePath": "echo"}},
            "scaling": {
                "maxParallelism": PODS,
                "concurrency": {"min": CONCURRENCY, "max": CONCURRENCY},
            },
            "checkpoint": {"maxItems": CHECKPOINT_ITEMS},
            "template": {
                "spec": {
                    "containers": [{"name": "penstock", "resources": {"requests": {"cpu": "10m"}}}]
                }
            },
        },
    }


def reached(simulator: Simulator, calls: int) -> None:
    """Waits until the provider has had so many different calls, which must not be all yet."""
    seen = until(
        lambda: simulator.stats()["distinct"],
        lambda distinct: bool(distinct >= calls),
        f"{calls} items were asked for",
        seconds=SECONDS,
    )
    assert seen < ITEMS


def workers(namespace: Namespace) -> list[str]:
    """Pods at work; waits until there is one."""
    return until(lambda: at_work(namespace, ready=True), bool, "a worker's pod is ready")


def at_work(namespace: Namespace, *, ready: bool = False) -> list[str]:
    """Pods of BatchJobs that have not ended; with `ready` those that nobody has asked to end."""
    return [
        pod["metadata"]["name"]
        for pod in namespace.all("Pod", BATCHJOB)
        if pod["status"].get("phase") not in ("Succeeded", "Failed")
        and (not ready or (condition(pod, "Ready") and "deletionTimestamp" not in pod["metadata"]))
    ]


async def whole(db: Database, namespace: str) -> None:
    """Every item stands there once, in its place, with its own answer."""
    run = await runs.latest(db, f"{namespace}/chaos")
    assert run is not None
    rows = [row async for chunk in results.rows(db, run) for row in chunk]
    assert [row.position for row in rows] == list(range(ITEMS))
    wrong = [
        row
        for row in rows
        if row.status != "succeeded" or json.loads(row.output or "") != item(row.position)
    ]
    assert not wrong
    assert await db.fetchval("SELECT count(*) FROM result") == ITEMS


async def alone(db: Database) -> None:
    """Waits until no worker is connected to the database any more."""
    query = "SELECT application_name FROM pg_stat_activity WHERE application_name ^@ 'penstock-'"
    deadline = time.monotonic() + SECONDS
    while True:
        found: Counter[Any] = Counter(row["application_name"] for row in await db.fetch(query))
        if not [name for name in found if not name.startswith("penstock-operator")]:
            return
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)


def left(namespace: Namespace) -> list[str]:
    """What there is of BatchJobs."""
    return [
        f"{kind}/{one['metadata']['name']}"
        for kind in ("BatchJob", "Job", "Pod", "Secret")
        for one in namespace.all(kind, "" if kind == "BatchJob" else BATCHJOB)
    ]
