"""A run on the cluster without the operator: planned by a pod, worked off by an Indexed Job whose
pods are deleted on the way, whole in the end."""

from __future__ import annotations

import asyncio
import json
import time

from penstock.plan import planner
from penstock.spec.job import BatchJob
from penstock.store import results, runs
from penstock.store.db import Database
from penstock.store.migrate import migrate
from penstock.store.runs import Run
from tests.e2e import indexed, parts, pods
from tests.e2e.kube import Object, condition
from tests.e2e.namespace import Namespace
from tests.e2e.parts import Postgres, Simulator
from tests.e2e.target import Target
from tests.e2e.waiting import until

ITEMS = 5_000
PODS = 3
# Calls of 100 ms, five at a time in three pods: half a minute at least, so that there is time to
# delete pods in the middle.
LATENCY = "100ms"
CONCURRENCY = 5
CHECKPOINT_ITEMS = 100
# Room for both waits, the replacements' backoff and a lease that has to run out.
SECONDS = 600


async def test_a_run_survives_the_deletion_of_its_pods(
    namespace: Namespace, cluster: Target, postgres: Postgres
) -> None:
    image = cluster.images["worker"]
    simulator = parts.start_simulator(namespace, image, f"--latency={LATENCY}")
    async with postgres.connected() as db:
        run = await planned(namespace, image, postgres, db, simulator)
        namespace.create(work(image, postgres, run))

        await reached(db, run, ITEMS // 10)
        gentle = running(namespace)[0]
        namespace.delete("Pod", gentle)
        drained_without_counting(namespace, gentle)
        await reached(db, run, ITEMS // 4)
        forced = next(pod for pod in running(namespace) if pod != gentle)
        namespace.delete("Pod", forced, grace=0)

        found = namespace.finished("work", seconds=SECONDS)
        met = condition(found, "SuccessCriteriaMet")
        assert met is not None
        assert met["reason"] == "SuccessPolicy"
        assert not found["status"].get("failedIndexes")

        rows = [row async for chunk in results.rows(db, run) for row in chunk]
        totals = await runs.totals(db, run.id)
    assert [row.position for row in rows] == list(range(ITEMS))
    assert not [row for row in rows if row.status != "succeeded"]
    assert not [row for row in rows if json.loads(row.output or "") != item(row.position)]
    assert (totals["succeeded"], totals["failed"]) == (ITEMS, 0)

    stats = simulator.stats()
    assert stats["distinct"] == ITEMS
    # What was in flight, or answered and not yet stored, when a pod died is asked once more.
    assert stats["duplicates"] <= 2 * (CONCURRENCY + CHECKPOINT_ITEMS)


def item(number: int) -> Object:
    """An item; the simulator gives back what it gets."""
    return {"id": f"item-{number}", "text": f"{number} bottles of beer"}


def manifest(simulator: Simulator) -> Object:
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "job"},
        "spec": {
            "source": {"configMap": {"name": "items", "key": "items.jsonl"}, "idField": "id"},
            "processor": {"http": {"url": f"{simulator.url}/any", "responsePath": "echo"}},
            "scaling": {
                "maxParallelism": PODS,
                "concurrency": {"min": CONCURRENCY, "max": CONCURRENCY},
            },
            "checkpoint": {"maxItems": CHECKPOINT_ITEMS},
        },
    }


async def planned(
    namespace: Namespace, image: str, postgres: Postgres, db: Database, simulator: Simulator
) -> Run:
    """A run that a pod has planned from the items of a ConfigMap."""
    await db.call(migrate)
    job = BatchJob.model_validate(manifest(simulator))
    run = await planner.open_run(
        db,
        job=f"{namespace.name}/job",
        result_set=f"{namespace.name}/job",
        manifest=job.model_dump_json(by_alias=True, exclude_none=True),
        manifest_path="",
        existing="skip",
        redrive_reason="",
        driver="",
    )
    lines = "".join(json.dumps(item(number)) + "\n" for number in range(ITEMS))
    main = pods.container(
        image,
        "plan",
        env=[
            *environment(postgres, run),
            *pods.variables({"PENSTOCK_SOURCE": "/items/items.jsonl"}),
        ],
        volumeMounts=[{"name": "items", "mountPath": "/items"}],
    )
    volumes = [{"name": "items", "configMap": {"name": "items"}}]
    namespace.create(
        pods.config_map("items", {"items.jsonl": lines}),
        pods.job("plan", pods.pod_spec(main, volumes=volumes)),
    )
    namespace.finished("plan")
    found = await runs.get(db, run.id)
    assert (found.phase, found.total) == ("Running", ITEMS)
    return found


def work(image: str, postgres: Postgres, run: Run) -> Object:
    """The Job of the workers, with as many spare slots as pods."""
    main = pods.container(image, "work", env=environment(postgres, run))
    pod = pods.pod_spec(main, terminationGracePeriodSeconds=30)
    return indexed.job("work", pod, parallelism=PODS, completions=3 * PODS)


def environment(postgres: Postgres, run: Run) -> list[Object]:
    told = {"PENSTOCK_RUN": str(run.id), "PENSTOCK_WORKERS": str(PODS)}
    return [postgres.environment, *pods.variables(told)]


async def reached(db: Database, run: Run, items: int) -> None:
    """Waits until so many items have succeeded, which must not be all yet."""
    deadline = time.monotonic() + SECONDS
    while (done := (await runs.totals(db, run.id))["succeeded"]) < items:
        assert time.monotonic() < deadline, f"{done} of {items} items after {SECONDS} s"
        await asyncio.sleep(0.2)
    assert done < ITEMS


def running(namespace: Namespace) -> list[str]:
    """The workers' pods that are at work."""
    found = namespace.all("Pod", "app=work")
    return [pod["metadata"]["name"] for pod in found if condition(pod, "Ready")]


def drained_without_counting(namespace: Namespace, pod: str) -> None:
    """Waits until a deleted pod is gone: the Job has taken note of it, and not as a failure."""
    until(lambda: namespace.find("Pod", pod), lambda found: found is None, f"{pod} is gone")
    status = namespace.get("Job", "work")["status"]
    counted = status.get("failed", 0), status.get("uncountedTerminatedPods", {}).get("failed")
    assert counted == (0, None)
