"""Fifty BatchJobs at once, with the operator as the chart installs it: all complete, and what it
takes of memory, time and API calls."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e import parts
from tests.e2e.kube import Object, condition
from tests.e2e.namespace import Namespace
from tests.e2e.target import Target
from tests.e2e.tried_out import OPERATOR, TriedOut
from tests.e2e.waiting import until

JOBS = 50
ITEMS = 20
MOST_MEMORY = 200e6
WITHIN = 2.0
"""Seconds within which 99 of 100 looks are over, on a machine that is free."""
SLOWEST = 30.0
"""The same on one that is fifteen times slower. Both are buckets of the histogram."""
MOST_CPU = 0.1
"""Seconds of CPU for a look, with everything else that the operator does: on any machine."""
MOST_CALLS = 45
"""Of the API, for one small job from beginning to end; watches are not among them."""
SECONDS = 720.0
pytestmark = pytest.mark.load
LOOKS = "penstock_operator_reconcile_duration_seconds"


def test_fifty_at_once(namespace: Namespace, cluster: Target) -> None:
    installation = TriedOut(namespace, cluster)
    installation.install()
    simulator = parts.start_simulator(namespace, cluster.images["worker"])
    pod = installation.pod(OPERATOR)["metadata"]["name"]
    before, began = Figures.of(namespace, pod), time.monotonic()
    for number in range(JOBS):
        namespace.create(batchjob(f"job-{number}", simulator.url))
    until(
        lambda: phases(namespace),
        lambda found: found == {"Complete": JOBS},
        "all are Complete",
        seconds=SECONDS,
    )
    minutes = (time.monotonic() - began) / 60
    after = Figures.of(namespace, pod)
    assert namespace.get("Pod", pod)["status"]["containerStatuses"][0]["restartCount"] == 0

    calls, cpu = after.calls - before.calls, after.cpu - before.cpu
    total, looks = calls.total(), after.looks - before.looks
    quick, bearable = after.quick - before.quick, after.bearable - before.bearable
    print(
        f"\n{JOBS} BatchJobs of {ITEMS} items in {60 * minutes:.0f} s; the operator:"
        f" at most {after.memory / 1e6:.0f} MB, {looks:.0f} looks,"
        f" {100 * quick / looks:.2f} % of them within {WITHIN:.0f} s,"
        f" {100 * bearable / looks:.2f} % within {SLOWEST:.0f} s,"
        f" {after.seconds / after.looks:.3f} s on average, {cpu / looks:.3f} s of CPU;"
        f" {total} API calls: {total / JOBS:.1f} a job, {total / JOBS / minutes:.1f} a job and"
        f" minute: {', '.join(f'{name} {count}' for name, count in sorted(calls.items()))}"
    )
    assert after.memory < MOST_MEMORY
    assert bearable >= 0.99 * looks
    assert cpu <= MOST_CPU * looks
    assert total <= MOST_CALLS * JOBS
    assert sum(one["status"]["itemCounts"]["succeeded"] for one in namespace.all("BatchJob")) == (
        JOBS * ITEMS
    )


def batchjob(name: str, url: str) -> Object:
    """With the requests that pods have by default: not all fit on a small node at once, so the rest
    wait for a place there, as they should."""
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": name},
        "spec": {
            "source": {"inline": {"items": [{"id": f"i{number}"} for number in range(ITEMS)]}},
            "processor": {"http": {"url": f"{url}/echo"}},
            "scaling": {"maxParallelism": 1},
        },
    }


def phases(namespace: Namespace) -> Counter[str]:
    """How many BatchJobs are in each phase."""
    found = namespace.all("BatchJob")
    assert not [one for one in found if condition(one, "Failed")]
    return Counter(one.get("status", {}).get("phase", "") for one in found)


@dataclass(frozen=True)
class Figures:
    """What the operator says of itself at one moment. memory: the most it ever had, in bytes.
    looks: how many; quick, bearable: those of them within WITHIN and SLOWEST; seconds: of all. cpu:
    seconds of CPU so far."""

    memory: float
    calls: Counter[str]
    looks: float
    quick: float
    bearable: float
    seconds: float
    cpu: float

    @classmethod
    def of(cls, namespace: Namespace, pod: str) -> Figures:
        """By `/metrics`, and of the kernel."""
        text = namespace.ask(pod, 8080, "/metrics").decode()
        samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
        calls: Counter[str] = Counter()
        for one in samples:
            # Renewing the Lease has nothing to do with jobs.
            if one.name == "penstock_operator_api_calls_total" and one.labels["kind"] != "Lease":
                calls[f"{one.labels['verb']} {one.labels['kind']}"] = int(one.value)
        over: Counter[float] = Counter()
        for one in samples:
            if one.name == f"{LOOKS}_bucket":
                over[float(one.labels["le"])] += int(one.value)
        status = namespace.exec(pod, "cat", "/proc/1/status")
        [peak] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
        return cls(
            memory=1024.0 * int(peak),
            calls=calls,
            looks=sum(one.value for one in samples if one.name == f"{LOOKS}_count"),
            quick=over[WITHIN],
            bearable=over[SLOWEST],
            cpu=sum(one.value for one in samples if one.name == "process_cpu_seconds_total"),
            seconds=sum(one.value for one in samples if one.name == f"{LOOKS}_sum"),
        )
