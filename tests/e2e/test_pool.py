"""Two BatchJobs of one pool against one provider that tells nobody its limit: while both run each
has half of it, and when one has ended the other has it all. What holds them back is told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import parts, pods
from tests.e2e.kube import Kube, Object, condition, environment
from tests.e2e.namespace import Namespace
from tests.e2e.operator_process import Operator, install_definition
from tests.e2e.parts import Postgres, Simulator
from tests.e2e.target import Target
from tests.e2e.waiting import until
from tests.pool_shares import Two, bins, rate

PENSTOCK = Path(sys.executable).with_name("penstock")
RPM = 1_200
ITEMS = {"short": 280, "long": 800}
PODS = 2
THROTTLED = 0.04
"""Share of refused calls, of so few: finding the limit out takes some ten of them."""
SETTLED = 80
"""Calls of each after which they should have come to their halves: eight seconds."""


@pytest.fixture(scope="session", autouse=True)
def definition(kube: Kube) -> None:
    """The CustomResourceDefinition, as it stands."""
    install_definition(kube)


def test_two_batchjobs_share_a_limit_and_the_last_one_has_it_all(
    namespace: Namespace, cluster: Target, postgres: Postgres, tmp_path: Path
) -> None:
    two = Two("short", "long", ITEMS)
    image = cluster.images["worker"]
    far_side = parts.start_simulator(namespace, image, f"--rpm={RPM}", "--latency=200ms")
    namespace.create(pods.config_map("items", {name: items(name) for name in ITEMS}))
    with (
        postgres.reached() as url,
        Operator(namespace, cluster, tmp_path / "log", url, postgres.url) as operator,
    ):
        operator.wait("/readyz")
        namespace.create(*(batchjob(name, far_side) for name in reversed(ITEMS)))
        until(lambda: two.take(far_side.stats()) or two.settled(SETTLED), bool, "both at work")
        with penstock("watch", "long", namespace, cluster) as watch:
            until(lambda: two.take(far_side.stats()), bool, "all calls accepted")
            watched, _ = watch.communicate(timeout=120)
        for name, count in ITEMS.items():
            done = namespace.wait("BatchJob", name, is_complete, "Complete")["status"]
            counts = done["itemCounts"]
            assert (counts["succeeded"], counts["failed"]) == (count, 0)
            assert learned(done["throttling"]["reason"])
        with penstock("status", "long", namespace, cluster) as status:
            told, _ = status.communicate(timeout=60)

    stats = far_side.stats()
    assert (stats["distinct"], stats["duplicates"]) == (sum(ITEMS.values()), 0)
    assert stats["refused"] <= THROTTLED * stats["requests"]

    together = two.together(SETTLED)
    share = rate(together, "short") / (rate(together, "short") + rate(together, "long"))
    assert 0.45 <= share <= 0.55
    alone = bins(two.alone(after=10), seconds=4)
    assert alone
    assert min(rate(stretch, "long") for stretch in alone) >= 0.9 * RPM / 60

    on_the_way = [line for line in watched.splitlines() if line.startswith("[long]")]
    assert [line for line in on_the_way if learned(line)], watched
    for ending in (watched, told):
        [held_back] = [line for line in ending.splitlines() if "held back" in line]
        assert learned(held_back), ending


def items(name: str) -> str:
    """As many lines as the job has items."""
    return "".join(json.dumps({"id": n, "text": f"text {n}"}) + "\n" for n in range(ITEMS[name]))


def batchjob(name: str, far_side: Simulator) -> Object:
    """A job of the pool that calls the model of its own name."""
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": name},
        "spec": {
            "source": {
                "configMap": {"name": "items", "key": name},
                "format": "jsonl",
                "idField": "id",
            },
            "processor": {
                "openai": {
                    "operation": "chat",
                    "baseURL": f"{far_side.url}/v1",
                    "model": name,
                    "messages": [{"role": "user", "content": "{{ item.text }}"}],
                }
            },
            "scaling": {"maxParallelism": PODS},
            "rateLimit": {"pool": "shared"},
        },
    }


def is_complete(found: Object) -> bool:
    """Whether a BatchJob has come to its end."""
    return condition(found, "Complete") is not None


def penstock(
    command: str, name: str, namespace: Namespace, cluster: Target
) -> subprocess.Popen[str]:
    """A command about a job on the cluster, started; what it prints goes to a pipe."""
    return subprocess.Popen(
        [PENSTOCK, command, name, "--namespace", namespace.name],
        env=environment({"KUBECONFIG": cluster.kubeconfig}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def learned(text: str) -> bool:
    """Whether it says that it was a limit, and about which: it may just be measured anew."""
    told = re.search(r"rate limit, learned: ([\d,]+) requests/min", text)
    return told is not None and 0.7 <= int(told[1].replace(",", "")) / RPM <= 1.4
