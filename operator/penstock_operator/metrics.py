"""What the operator tells Prometheus of itself, at `/metrics`: nothing secret, no job by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0)
"""Seconds of a look: most take a few statements of SQL; a look is given up after 120 s."""


class Metrics:
    """The operator's metrics. calls: of the API, by verb and kind, ever growing; watches are not
    among them. phases: how many BatchJobs there are in each phase."""

    def __init__(
        self,
        calls: Mapping[tuple[str, str], int],
        phases: Callable[[], Mapping[str, int]],
    ) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(_Counted(calls, phases))
        self._decisions = Counter(
            "penstock_operator_decisions",
            "What was decided and done, each by its reason",
            ["reason"],
            registry=self._registry,
        )
        self._looks = Histogram(
            "penstock_operator_reconcile_duration_seconds",
            "One look at one BatchJob, with all that was done about it",
            ["result"],
            buckets=BUCKETS,
            registry=self._registry,
        )

    def looked(self, seconds: float, *, well: bool) -> None:
        """A look at a BatchJob took so long."""
        self._looks.labels("ok" if well else "error").observe(seconds)

    def acted(self, reason: str) -> None:
        """Something that was decided has been done, for that reason."""
        self._decisions.labels(reason).inc()

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)


class _Counted(Collector):
    """What is counted elsewhere."""

    def __init__(
        self, calls: Mapping[tuple[str, str], int], phases: Callable[[], Mapping[str, int]]
    ) -> None:
        self._calls, self._phases = calls, phases

    def collect(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "penstock_operator_api_calls",
            "Calls of the Kubernetes API, without watches",
            labels=["verb", "kind"],
        )
        for (verb, kind), count in sorted(self._calls.items()):
            calls.add_metric([verb, kind], count)
        yield calls
        jobs = GaugeMetricFamily(
            "penstock_operator_jobs", "BatchJobs that there are", labels=["phase"]
        )
        for phase, count in sorted(self._phases().items()):
            jobs.add_metric([phase], count)
        yield jobs
