"""What is removed of BatchJobs that are gone, and what is not."""

from __future__ import annotations

import pytest

from penstock.cluster.kinds import BATCH_JOBS
from penstock.errors import PenstockError
from penstock.plan import planner
from penstock.spec.job import BatchJob
from penstock.store.db import Database
from penstock.store.migrate import migrate
from penstock_operator.kube import Kube, KubeError, configuration
from penstock_operator.sweep import Sweep
from tests.e2e.kube import Object
from tests.e2e.namespace import Namespace
from tests.e2e.operator_process import install_definition
from tests.e2e.parts import Postgres
from tests.e2e.target import Target

CLUSTER = "this-cluster"
GONE = "00000000-0000-0000-0000-000000000000"


async def test_only_what_is_surely_gone_is_removed(
    namespace: Namespace, cluster: Target, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_definition(namespace.kube)
    namespace.create(batchjob("there"), batchjob("again"))
    uid = namespace.get("BatchJob", "there")["metadata"]["uid"]
    kube = Kube(await configuration({"KUBECONFIG": cluster.kubeconfig}))
    async with postgres.connected() as db:
        await db.call(migrate)
        within = namespace.name
        # A BatchJob that is there, though no watch has told of it yet.
        await opened(db, f"{within}/there", f"{CLUSTER}/{uid}")
        # One that was deleted and made again under its name.
        await opened(db, f"{within}/again", f"{CLUSTER}/{GONE}")
        # Gone: with its results, without them, and with results that another job uses.
        await opened(db, f"{within}/one", f"{CLUSTER}/{GONE}", policy="Delete")
        await opened(db, f"{within}/two", f"{CLUSTER}/{GONE}")
        await opened(db, f"{within}/three", f"{CLUSTER}/{GONE}", results="shared", policy="Delete")
        await opened(db, "local", "", results="shared")
        # Of another cluster, of another namespace, of a command line.
        await opened(db, f"{within}/foreign", f"another-cluster/{GONE}")
        await opened(db, "elsewhere/job", f"{CLUSTER}/{GONE}")
        everything = await jobs(db)

        sweep = Sweep(db, kube, CLUSTER, [within])
        # An API server that knows nothing of BatchJobs (it has just started) is no proof.
        monkeypatch.setattr("penstock_operator.sweep.BATCH_JOBS", _UNKNOWN)
        with pytest.raises(KubeError):
            await sweep.run_once(set())
        assert await jobs(db) == everything

        monkeypatch.setattr("penstock_operator.sweep.BATCH_JOBS", BATCH_JOBS)
        assert await sweep.run_once(set()) == 4
        left = {f"{within}/there", "local", f"{within}/foreign", "elsewhere/job"}
        assert await jobs(db) == left
        sets = {row["name"] for row in await db.fetch("SELECT name FROM result_set")}
        assert sets == {*left, f"{within}/again", f"{within}/two", "shared"} - {"local"}
        assert await sweep.run_once(set()) == 0
    await kube.close()


_UNKNOWN = type(BATCH_JOBS)("Nothing", BATCH_JOBS.group, "nothings")


async def opened(
    db: Database, job: str, owner: str, *, results: str = "", policy: str = "Retain"
) -> None:
    manifest = BatchJob.model_validate(batchjob("x", policy))
    try:
        await planner.open_run(
            db,
            job=job,
            result_set=results or job,
            manifest=manifest.model_dump_json(by_alias=True, exclude_none=True),
            manifest_path="",
            existing="skip",
            redrive_reason="",
            driver="",
            owner=owner,
        )
    except PenstockError:
        # The set is in use by the other job's unfinished run: let that one be finished first.
        await db.execute("UPDATE run SET phase = 'Complete' WHERE job <> $1", job)
        await opened(db, job, owner, results=results, policy=policy)


async def jobs(db: Database) -> set[str]:
    return {row["job"] for row in await db.fetch("SELECT job FROM run")}


def batchjob(name: str, policy: str = "Retain") -> Object:
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": name},
        "spec": {
            "source": {"inline": {"items": [{"id": 1}]}},
            "processor": {"http": {"url": "http://nowhere.example/echo"}},
            "deletionPolicy": policy,
        },
    }
