"""What a worker counts about itself; written to its row in PostgreSQL about once a second."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from penstock.rate.bounds import Outcome


@dataclass(slots=True)
class WorkerStats:
    """Totals since the worker started. Times are seconds.

    waiting: how long the dispatcher stood still, by what it waited for: provider (every permit is
    out, or nothing is left but answers), gate (pace or pause), checkpoint (results not yet
    written), items (the database hands them over).
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    finished: int = 0
    waiting: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    answer_seconds: float = 0.0
    checkpoint_seconds: float = 0.0
    peak_in_flight: int = 0

    def call_ended(self, outcome: Outcome, seconds: float) -> None:
        """Count one call and the time its answer took."""
        self.outcomes[outcome.value] += 1
        self.answer_seconds += seconds

    def snapshot(
        self, *, in_flight: int, concurrency: int, held_back: str, rate: float | None
    ) -> dict[str, Any]:
        """The row's JSON."""
        return {
            "pid": os.getpid(),
            "requests": sum(self.outcomes.values()),
            "outcomes": dict(self.outcomes),
            "throttled": self.outcomes[Outcome.THROTTLED.value],
            "retries": self.retries,
            "finished": self.finished,
            "inFlight": in_flight,
            "peakInFlight": self.peak_in_flight,
            "concurrency": concurrency,
            "heldBack": held_back,
            "requestsPerSecond": rate,
            "providerSeconds": self.waiting["provider"],
            "gateSeconds": self.waiting["gate"],
            "checkpointSeconds": self.waiting["checkpoint"] + self.waiting["items"],
            "cpuSeconds": time.process_time(),
            "answerSeconds": self.answer_seconds,
        }
