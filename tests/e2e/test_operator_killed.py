"""The operator killed (SIGKILL) at every action it begins and in every phase of a job: the next one
goes on from what it finds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from penstock.store import results, runs
from penstock_operator.lease import NAME as LEASE
from penstock_operator.names import BATCHJOB
from tests.e2e import parts
from tests.e2e.kube import Object, condition
from tests.e2e.namespace import Namespace
from tests.e2e.operator_process import Operator, install_definition
from tests.e2e.parts import Postgres
from tests.e2e.target import Target
from tests.e2e.waiting import until

pytestmark = pytest.mark.alone

ITEMS = 400
# Ten calls of half a second at a time: twenty seconds.
LATENCY, CONCURRENCY = "500ms", 10
SECONDS = 600
ACTION = re.compile(r"/job: (\w+\(.*\))$", re.MULTILINE)
"""What the log says of an action before it is carried out."""


@dataclass
class Mortal:
    """Operators, one after another. Each dies as soon as it does something, or meets a phase, that
    none before it did; what it had just begun may be done, or half done, or not."""

    namespace: Namespace
    cluster: Target
    postgres: Postgres
    log: Path
    deaths: list[str] = field(default_factory=list)

    def live(self, good: Callable[[Object], bool], wanted: str) -> Object:
        """Operators come and go until the BatchJob is as it should be."""
        while True:
            # A way to the database for each: it may break when what uses it is killed.
            with (
                self.postgres.reached() as url,
                Operator(
                    self.namespace, self.cluster, self.log, url, self.postgres.url
                ) as operator,
            ):
                found, new = until(
                    lambda operator=operator: self._look(operator),  # type: ignore[misc]
                    lambda seen: bool(seen[1]) or good(seen[0]),
                    wanted,
                    seconds=SECONDS,
                )
            if self.namespace.find("Lease", LEASE) is not None:
                # That it runs out is another test's matter.
                self.namespace.patch("Lease", LEASE, {"spec": {"holderIdentity": ""}})
            if not new:
                return found
            self.deaths += new

    def _look(self, operator: Operator) -> tuple[Object, list[str]]:
        """The BatchJob, and what is new."""
        assert operator.process.poll() is None, f"the operator ended:\n{operator.log()}"
        found = self.namespace.get("BatchJob", "job")
        phase = found.get("status", {}).get("phase")
        met = [*ACTION.findall(operator.log()), *([phase] if phase else [])]
        return found, [one for one in dict.fromkeys(met) if one not in self.deaths]


@pytest.mark.slow
async def test_killed_at_every_action_and_in_every_phase(
    namespace: Namespace, cluster: Target, postgres: Postgres, tmp_path: Path
) -> None:
    install_definition(namespace.kube)
    image = cluster.images["worker"]
    simulator = parts.start_simulator(namespace, image, f"--latency={LATENCY}")
    mortal = Mortal(namespace, cluster, postgres, tmp_path / "log")
    namespace.create(batchjob(simulator.url))
    mortal.live(has_begun, "some items are done")
    # While it is away: the next one finds an edit that it was never told of.
    namespace.patch("BatchJob", "job", {"spec": {"suspend": True}})
    mortal.live(is_suspended, "Suspended")
    until(lambda: at_work(namespace), lambda pods: not pods, "its pods are gone")
    assert simulator.stats()["distinct"] < ITEMS
    namespace.patch("BatchJob", "job", {"spec": {"suspend": False}})
    done = mortal.live(has_ended, "ended")
    print(f"killed at: {', '.join(mortal.deaths)}")

    assert done["status"]["phase"] == "Complete", done["status"]
    counts = done["status"]["itemCounts"]
    assert (counts["succeeded"], counts["failed"]) == (ITEMS, 0)
    # Planning may be over before the next operator looks; it dies at its first and its last action.
    assert {"Running", "Suspended"} <= {*mortal.deaths}
    for action in (
        *("OpenRun(", "CreateJob(role='plan'", "CreateJob(role='work'", "BeginExport("),
        *("PatchJob(name='job-1-work', suspend=True)", "CreateJob(role='export'"),
        *("PatchJob(name='job-1-work', suspend=False)", "SetRunPhase("),
    ):
        assert [one for one in mortal.deaths if one.startswith(action)], action
    async with postgres.connected() as db:
        run = await runs.latest(db, f"{namespace.name}/job")
        assert run is not None
        rows = [row async for chunk in results.rows(db, run) for row in chunk]
    assert run.number == 1
    assert [row.position for row in rows] == list(range(ITEMS))
    wrong = [row for row in rows if json.loads(row.output or "null") != item(row.position)]
    assert not wrong
    # No pod was killed, and those that were asked to end drained.
    stats = simulator.stats()
    assert (stats["distinct"], stats["duplicates"]) == (ITEMS, 0)
    names = {job["metadata"]["name"] for job in namespace.all("Job")}
    assert names == {"job-1-plan", "job-1-work", "job-1-export"}


def item(number: int) -> Object:
    return {"id": f"i{number}"}


def batchjob(url: str) -> Object:
    main = {"name": "penstock", "resources": {"requests": {"cpu": "10m"}}}
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "job"},
        "spec": {
            "source": {"inline": {"items": [item(number) for number in range(ITEMS)]}},
            "processor": {"http": {"url": f"{url}/any", "responsePath": "echo"}},
            "scaling": {
                "maxParallelism": 1,
                "concurrency": {"min": CONCURRENCY, "max": CONCURRENCY},
            },
            "output": {"file": {"path": "/tmp/results.jsonl"}},
            "template": {"spec": {"containers": [main]}},
        },
    }


def has_begun(found: Object) -> bool:
    return bool((found.get("status", {}).get("itemCounts") or {}).get("succeeded"))


def is_suspended(found: Object) -> bool:
    return condition(found, "Suspended") is not None


def has_ended(found: Object) -> bool:
    return found.get("status", {}).get("phase") in ("Complete", "Failed")


def at_work(namespace: Namespace) -> list[str]:
    """Pods of the job that have not ended."""
    return [
        pod["metadata"]["name"]
        for pod in namespace.all("Pod", BATCHJOB)
        if pod["status"].get("phase") not in ("Succeeded", "Failed")
    ]
