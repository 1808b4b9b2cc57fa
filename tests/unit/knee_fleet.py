"""A fleet for virtual time in which the knee finder alone decides: no pace, no limits."""

from __future__ import annotations

from penstock.rate.bounds import CallReport
from penstock.rate.knee import Knee
from penstock.virtual.fleet import Client, Setting


class Counting:
    """A client that does as it is told and counts what happens."""

    def __init__(self, now: float) -> None:
        self.limit = 0
        self._in_flight = 0
        self._seen_at = self._since = now
        self._completed = 0
        self._busy = self._call_seconds = 0.0

    def wait(self, now: float, in_flight: int) -> float | None:  # noqa: ARG002
        return 0.0 if in_flight < self.limit else None

    def sent(self, now: float, tokens: int, jitter: float) -> None:  # noqa: ARG002
        self._count(now)
        self._in_flight += 1

    def ended(self, now: float, report: CallReport, in_flight: int) -> None:  # noqa: ARG002
        self._count(now)
        self._in_flight -= 1
        self._completed += 1
        self._busy += now - report.sent_at

    def take(self, now: float) -> tuple[int, float, float]:
        """(answers, their latencies, mean in flight) since the last time."""
        self._count(now)
        span = now - self._since
        mean = self._call_seconds / span if span > 0 else float(self._in_flight)
        taken = self._completed, self._busy, mean
        self._completed, self._busy, self._call_seconds, self._since = 0, 0.0, 0.0, now
        return taken

    def _count(self, now: float) -> None:
        self._call_seconds += self._in_flight * (now - self._seen_at)
        self._seen_at = now


class KneeFleet:
    """Each pod reports when it syncs, and takes its part of what the knee allows."""

    def __init__(self, setting: Setting) -> None:
        pods = setting.pods
        self._knee = Knee(setting.min_concurrency, setting.max_concurrency * pods)
        self._clients: dict[int, Counting] = {}
        self._in_flight: dict[int, float] = {}

    def join(self, pod: int, now: float) -> Client:
        self._clients[pod] = Counting(now)
        return self._clients[pod]

    def sync(self, pod: int, client: Client, now: float) -> float:  # noqa: ARG002
        counting = self._clients[pod]
        completed, busy, self._in_flight[pod] = counting.take(now)
        in_flight = sum(self._in_flight.values())
        allowed = self._knee.observe(now, completed, busy, in_flight, False)
        share, left = divmod(allowed, len(self._clients))
        counting.limit = share + (sorted(self._clients).index(pod) < left)
        return 0.25 if self._knee.home is None else 1.0

    def urgent(self, client: Client) -> bool:  # noqa: ARG002
        return False

    def leave(self, pod: int, now: float) -> None:  # noqa: ARG002
        del self._clients[pod], self._in_flight[pod]

    def learned(self) -> float | None:
        return None
