"""A job's own database role on a real cluster, with the database that comes with the chart: all its
pods work under it, its Secret holds nothing of the operator's, and it goes with the BatchJob."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode
from urllib.parse import urlsplit

from penstock_operator.names import BATCHJOB
from tests.e2e import parts
from tests.e2e.command import ROOT
from tests.e2e.kube import Object, condition, environment
from tests.e2e.namespace import Namespace
from tests.e2e.target import Target
from tests.e2e.tried_out import OPERATOR, POSTGRES, TriedOut
from tests.e2e.waiting import until

ITEMS = 60
SWEPT = 180.0
"""Seconds within which a sweep comes, and one more should the first be disturbed."""


def test_a_job_works_under_its_own_role(namespace: Namespace, cluster: Target) -> None:
    installation = TriedOut(namespace, cluster)
    installation.install()
    simulator = parts.start_simulator(namespace, cluster.images["worker"])
    namespace.create(batchjob(simulator.url))
    done = namespace.wait("BatchJob", "job", _ended, "Complete or Failed")
    assert condition(done, "Complete"), done["status"]
    assert done["status"]["itemCounts"]["succeeded"] == ITEMS

    [secret] = namespace.all("Secret", BATCHJOB)
    url = urlsplit(b64decode(secret["data"]["url"]).decode())
    kept = namespace.get("Secret", "penstock-postgresql")
    password = b64decode(kept["data"]["password"]).decode()
    assert password not in url.geturl()
    assert url.username
    assert url.password
    assert url.username.startswith("penstock_job_")
    assert asked(installation, "SELECT DISTINCT role FROM run") == url.username
    log = namespace.kube.kubectl(
        "--namespace", namespace.name, "logs", installation.pod(OPERATOR)["metadata"]["name"]
    )
    assert url.password not in log
    assert password not in log

    rows = results(namespace, cluster)
    assert [row["_position"] for row in rows] == list(range(ITEMS))

    namespace.delete("BatchJob", "job")
    roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'penstock_job\\_%'"
    until(lambda: asked(installation, roles), lambda n: n == "0", "the role is gone", seconds=SWEPT)
    # deletionPolicy is Retain: the results stay.
    assert asked(installation, "SELECT count(*) FROM result") == str(ITEMS)


def batchjob(url: str) -> Object:
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "job"},
        "spec": {
            "source": {"inline": {"items": [{"id": f"i{number}"} for number in range(ITEMS)]}},
            "processor": {"http": {"url": f"{url}/echo"}},
            "output": {"file": {"path": "/tmp/out.jsonl"}},
            "scaling": {"maxParallelism": 2},
        },
    }


def _ended(found: Object) -> bool:
    return bool(condition(found, "Complete") or condition(found, "Failed"))


def asked(installation: TriedOut, query: str) -> str:
    """What the database answers its owner."""
    pod = installation.pod(POSTGRES)["metadata"]["name"]
    command = ["psql", "--username=penstock", "--tuples-only", "--no-align", "--command", query]
    return installation.namespace.exec(pod, *command).strip()


def results(namespace: Namespace, cluster: Target) -> list[Object]:
    """What `penstock results` gives: read by a pod with the job's Secret."""
    command = [sys.executable, "-m", "penstock", "results", "job", "--namespace", namespace.name]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment({"KUBECONFIG": cluster.kubeconfig}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
