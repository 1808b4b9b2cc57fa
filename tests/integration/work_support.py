"""A worker on a real PostgreSQL with a processor of the test's own in place of a server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from penstock.plan import planner
from penstock.rate.bounds import Bounds
from penstock.rate.leader import Leader
from penstock.rate.member import Member
from penstock.sources.items import Item
from penstock.spec.job import BatchJob
from penstock.store import results, runs
from penstock.store.db import Database
from penstock.store.runs import Run
from penstock.work.batch import Former
from penstock.work.gate import Gate
from penstock.work.pooling import Pooling
from penstock.work.processors.one_call import OneCall
from penstock.work.stats import WorkerStats
from penstock.work.types import CallResult, Cost, Failure, FailureKind, Output, WorkItem
from penstock.work.worker import Worker

Answer = Callable[[Sequence[WorkItem]], Awaitable[CallResult]]


class Scripted(OneCall):
    """A processor whose calls are a function of the test; counts how often each item was called."""

    def __init__(self, answer: Answer, max_items: int = 1) -> None:
        self.max_items = max_items
        self.calls: Counter[str] = Counter()
        self._answer = answer

    def cost(self, items: Sequence[WorkItem]) -> Cost:  # noqa: ARG002
        return Cost(1, 0)

    def preview(self, item: WorkItem) -> dict[str, Any]:  # noqa: ARG002
        return {}

    async def call(self, items: Sequence[WorkItem]) -> CallResult:
        self.calls.update(item.item_id for item in items)
        return await self._answer(items)

    async def aclose(self) -> None:
        return None


def good(items: Sequence[WorkItem]) -> CallResult:
    """Every item succeeds with its own number."""
    return CallResult([Output(item.item["n"]) for item in items])


def bad(items: Sequence[WorkItem], kind: FailureKind, reason: str = "no") -> CallResult:
    """The call as a whole fails."""
    failure = Failure(kind, reason)
    return CallResult([failure] * len(items), failure=failure)


def manifest(**spec: Any) -> BatchJob:
    """A valid job; `spec` replaces top-level fields of its spec."""
    return BatchJob.model_validate(
        {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": "job"},
            "spec": {
                "source": {"inline": {"items": [1]}},
                "processor": {"http": {"url": "http://127.0.0.1:1/"}},
                "checkpoint": {"maxItems": 20, "maxInterval": "50ms"},
                **spec,
            },
        }
    )


async def planned(db: Database, count: int, *, per_shard: int = 10, slots: int = 1) -> Run:
    """A planned run over items {"n": 0}, {"n": 1}, … with the IDs i0, i1, …"""
    run = await planner.open_run(
        db,
        job="job",
        result_set="set",
        manifest="{}",
        manifest_path="",
        existing="skip",
        redrive_reason="",
        driver="",
    )
    items = (Item(n, f"i{n}", b"c%d" % n, f'{{"n":{n}}}', f"row {n}") for n in range(count))
    request = planner.PlanRequest(b"digest", per_shard, slots, fail_duplicates=False)
    await planner.plan(db, run, request, items, lambda _: None)
    return await runs.get(db, run.id)


def worker(
    db: Database,
    run: Run,
    processor: Scripted,
    *,
    owner: str = "w",
    concurrency: int = 8,
    **spec: Any,
) -> Worker:
    """A worker that may have `concurrency` calls in flight from the first moment."""
    job = manifest(**spec)
    bounds = Bounds(concurrency, concurrency)
    member = Member(bounds, str(run.id))
    pooling = Pooling(
        db,
        f"run {run.id}",
        member_id=owner,
        run=run.id,
        member=member,
        lead=lambda state: Leader(bounds, owner, state),
    )
    gate = Gate(member, pooling.now, pooling.hurry)
    return Worker(
        db,
        run,
        job.spec,
        processor,
        gate,
        admission=gate,
        stats=WorkerStats(),
        owner=owner,
        slot=0,
        homes=1,
        former=Former(lambda: processor.max_items),
        succeeded_before=False,
        pooling=pooling,
    )


async def stored(db: Database, run: Run) -> list[results.StoredRow]:
    """Every row of the run, in input order."""
    return [row async for chunk in results.rows(db, run) for row in chunk]
