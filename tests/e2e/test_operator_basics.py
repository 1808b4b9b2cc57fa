"""The operator itself, as a process beside the cluster: what it makes of a BatchJob, what it says
without a database, that only one acts, and what it removes of BatchJobs that are gone."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from penstock.store.db import Database
from penstock_operator.names import BATCHJOB
from tests.e2e import parts
from tests.e2e.kube import Kube, Object, condition
from tests.e2e.namespace import Namespace
from tests.e2e.operator_process import NOWHERE, Operator, install_definition
from tests.e2e.parts import Postgres
from tests.e2e.target import Target
from tests.e2e.waiting import SECONDS, until

ITEMS = 40
END = 5.0
"""Seconds the operator may take from SIGTERM to its end."""


@pytest.fixture(scope="session", autouse=True)
def definition(kube: Kube) -> None:
    """The CustomResourceDefinition, as it stands."""
    install_definition(kube)


async def test_a_batchjob_comes_to_its_end_and_leaves_nothing(
    namespace: Namespace, cluster: Target, postgres: Postgres, tmp_path: Path
) -> None:
    simulator = parts.start_simulator(namespace, cluster.images["worker"])
    with namespace.forward(f"pod/{postgres.name}", parts.POSTGRES_PORT) as port:
        url = postgres.url.replace(f"{postgres.name}.{namespace.name}:5432", f"127.0.0.1:{port}")
        database, log = Database(url), tmp_path / "log"
        with Operator(namespace, cluster, log, url, postgres.url) as operator:
            operator.wait("/readyz")
            namespace.create(batchjob(simulator.url))
            done = namespace.wait(
                "BatchJob", "job", lambda found: bool(condition(found, "Complete")), "Complete"
            )
            counts = done["status"]["itemCounts"]
            assert (counts["succeeded"], counts["failed"]) == (ITEMS, 0)
            assert done["status"]["phase"] == "Complete"
            assert done["status"]["activeSeconds"] > 0
            assert done["status"]["usage"]["requests"] == ITEMS + done["status"]["usage"]["retries"]
            assert not done["metadata"].get("finalizers")
            assert "kopf" not in str(done)

            jobs = {job["metadata"]["name"]: job for job in namespace.all("Job")}
            assert set(jobs) == {"job-1-plan", "job-1-work"}
            secrets = [
                one for one in namespace.all("Secret") if one["metadata"]["name"] != "postgres"
            ]
            assert len(secrets) == 1
            for made in (*jobs.values(), *secrets):
                assert made["metadata"]["ownerReferences"][0]["uid"] == done["metadata"]["uid"]
            reasons = [event["reason"] for event in events(namespace)]
            assert "Started" in reasons
            assert len(reasons) == len(set(reasons))
            assert postgres.password not in operator.log()

        # The operator is away, killed, when the BatchJob goes. Nothing holds that up.
        namespace.delete("BatchJob", "job")
        until(lambda: left(namespace), lambda found: not found, "everything of it is gone")
        assert await database.fetchval("SELECT count(*) FROM run") == 1
        assert await database.fetchval("SELECT count(*) FROM result") == ITEMS

        with Operator(namespace, cluster, log, url, postgres.url) as operator:
            await gone(database, "run")
            await gone(database, "result_set")
            assert await database.fetchval("SELECT count(*) FROM item") == 0
            assert await database.fetchval("SELECT count(*) FROM result") == 0
            code, seconds = operator.stop()
            assert code == 0
            assert seconds < END
        await database.close()


def test_without_a_database_it_is_up_and_says_so(
    namespace: Namespace, cluster: Target, tmp_path: Path
) -> None:
    with Operator(namespace, cluster, tmp_path / "log", NOWHERE) as operator:
        operator.wait("/healthz")
        operator.wait("/readyz")
        namespace.create(batchjob("http://nowhere"))

        def told(found: Object) -> bool:
            conditions = found.get("status", {}).get("conditions") or ()
            return any(one["reason"] == "DatabaseAway" for one in conditions)

        found = namespace.wait("BatchJob", "job", told, "DatabaseAway")
        assert found["status"]["phase"] == "Pending"
        assert not namespace.all("Job")
        until(
            lambda: [event["reason"] for event in events(namespace)],
            lambda reasons: reasons.count("DatabaseAway") == 1,
            "one Event about it",
        )
        code, seconds = operator.stop()
        assert code == 0
        assert seconds < END
        assert "Jericho" not in operator.log()
        assert "Jericho" not in str(namespace.get("BatchJob", "job"))


def test_only_one_acts(namespace: Namespace, cluster: Target, tmp_path: Path) -> None:
    with Operator(namespace, cluster, tmp_path / "first", NOWHERE) as first:
        first.wait("/readyz")
        lease = namespace.get("Lease", "penstock-operator")
        with Operator(namespace, cluster, tmp_path / "second", NOWHERE) as second:
            second.wait("/healthz")
            until(second.log, lambda log: "is at work" in log, "the second one waits")
            assert second.asked("/readyz") == 503
            assert first.stop()[0] == 0
            second.wait("/readyz")
            after = namespace.get("Lease", "penstock-operator")
            assert after["metadata"]["uid"] == lease["metadata"]["uid"]
            assert after["spec"]["holderIdentity"] != lease["spec"]["holderIdentity"]
            second.process.kill()
            second.process.wait()
        # Nobody let go of the Lease: it has to run out.
        with Operator(namespace, cluster, tmp_path / "third", NOWHERE) as third:
            third.wait("/readyz")


def test_mistakes_in_the_environment_are_plain(
    namespace: Namespace, cluster: Target, tmp_path: Path
) -> None:
    with Operator(namespace, cluster, tmp_path / "log", "") as operator:
        assert operator.process.wait(60) == 2
        assert "PENSTOCK_DATABASE_URL: this environment variable is not set" in operator.log()
        assert "Traceback" not in operator.log()


def batchjob(url: str) -> Object:
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "job"},
        "spec": {
            "source": {"inline": {"items": [{"id": f"i{number}"} for number in range(ITEMS)]}},
            "processor": {"http": {"url": f"{url}/echo"}},
            "scaling": {"maxParallelism": 2},
            "deletionPolicy": "Delete",
        },
    }


def events(namespace: Namespace) -> list[Object]:
    """Of the BatchJob."""
    return [one for one in namespace.all("Event") if one["involvedObject"]["kind"] == "BatchJob"]


def left(namespace: Namespace) -> list[str]:
    """Names of what there is of the BatchJob."""
    found = [
        *namespace.all("BatchJob"),
        *(one for kind in ("Job", "Pod", "Secret") for one in namespace.all(kind, BATCHJOB)),
    ]
    return [one["metadata"]["name"] for one in found]


async def gone(database: Database, table: str) -> None:
    """Waits until a table is empty."""
    deadline = time.monotonic() + SECONDS
    while rows := await database.fetchval(f"SELECT count(*) FROM {table}"):
        assert time.monotonic() < deadline, f"{rows} rows in {table} after {SECONDS} s"
        await asyncio.sleep(0.2)
