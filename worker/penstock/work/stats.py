"""What a worker counts about itself; written to its row in PostgreSQL about once a second."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from penstock.rate.bounds import Outcome
from penstock.rate.explain import Hold
from penstock.store import holding
from penstock.store.holding import CPU

RECENT = 0.7
"""Part of what held it back before that still counts a second later."""


class Stall(StrEnum):
    """What the dispatcher stands still for where it is not rate control (`Hold`)."""

    CHECKPOINT = "checkpoint"  # results not yet written
    ITEMS = "items"  # the database hands them over
    RETRIES = "retries"  # calls that failed wait before they are made again
    BLOCKED = "blocked"  # a function keeps the event loop from turning
    LEFT = "left"  # nothing to send is left, only answers are to come


IN_WORDS: dict[str, str] = {
    CPU: "CPU: the worker computes all the time, more workers may be quicker",
    Stall.CHECKPOINT: "checkpoints: results come faster than the database writes them",
    Stall.ITEMS: "the database: items come slower than they could be sent",
    Stall.RETRIES: "only calls that failed are left, each waits before it is made again",
    Stall.BLOCKED: "{} blocks the event loop: use mode: process, or ctx.process for that part",
    Stall.LEFT: "too few items are left to keep more calls in flight",
}
_PROVIDER = (Hold.CALLS, Stall.LEFT)
_GATE = (Hold.PACE, Hold.PAUSE, Hold.OVERLOAD, Hold.REST, Stall.RETRIES)
_CHECKPOINT = (Stall.CHECKPOINT, Stall.ITEMS)

Waits = defaultdict[str, float]


@dataclass(slots=True)
class WorkerStats:
    """Totals since the worker started. Times are seconds.

    waiting: how long the dispatcher stood still for each `Hold` or `Stall` while the worker did not
    compute, so that these and the CPU time come to the worker's time.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    finished: int = 0
    waiting: Waits = field(default_factory=lambda: defaultdict(float))
    answer_seconds: float = 0.0
    checkpoint_seconds: float = 0.0
    peak_in_flight: int = 0
    _held: dict[str, tuple[float, str]] = field(default_factory=dict)
    _recent: Waits = field(default_factory=lambda: defaultdict(float))
    _cpu: float = field(default_factory=time.process_time)
    _looked: float = field(default_factory=time.monotonic)

    def call_ended(self, outcome: Outcome, seconds: float, calls: int = 1) -> None:
        """Count a call, or some that were made together, and the time until the answer."""
        self.outcomes[outcome.value] += calls
        self.answer_seconds += seconds

    @staticmethod
    def begin() -> tuple[float, float]:
        """The clock and the CPU time before a wait, for `waited`."""
        return time.monotonic(), time.process_time()

    def waited(self, reason: str, since: tuple[float, float]) -> None:
        """The dispatcher stood still for this reason from `begin` on."""
        idle = (time.monotonic() - since[0]) - (time.process_time() - since[1])
        self.waiting[reason] += max(0.0, idle)

    def snapshot(
        self,
        *,
        in_flight: int,
        concurrency: int,
        rate: float | None,
        waits: Hold,
        explain: Callable[[Hold], str],
        blocked: tuple[str, float] | None = None,
    ) -> dict[str, Any]:
        """The row's JSON. waits: what a call that may be waiting now waits for. explain: says in
        plain words what is behind a `Hold` now. blocked: which function keeps the event loop from
        turning, and for how many seconds it did."""
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
            "heldBack": self._holds(waits, explain, blocked),
            "held": {reason: list(told) for reason, told in self._held.items()},
            "requestsPerSecond": rate,
            "providerSeconds": self._sum(_PROVIDER),
            "gateSeconds": self._sum(_GATE),
            "checkpointSeconds": self._sum(_CHECKPOINT),
            "cpuSeconds": time.process_time(),
            "answerSeconds": self.answer_seconds,
        }

    def _holds(
        self, waits: Hold, explain: Callable[[Hold], str], blocked: tuple[str, float] | None
    ) -> str:
        """What holds the speed back now; notes how long each thing did so far, and its words. Empty
        for a worker that mostly rests: those that do it all know what holds them back."""
        known = 0.0
        name, stood = blocked or ("", 0.0)
        computed = max(0.0, time.process_time() - self._cpu - stood)
        for reason, seconds in {**self.waiting, CPU: computed, Stall.BLOCKED: stood}.items():
            new = seconds - self._held.get(reason, (0.0, ""))[0]
            known += new
            self._recent[reason] = RECENT * self._recent[reason] + new
            if new > 0:
                words = IN_WORDS.get(reason) or explain(Hold(reason))
                self._held[reason] = seconds, words.replace("{}", name)
        looked, self._looked = self._looked, time.monotonic()
        if (self._looked - looked) / 2 > known:  # a wait that has not ended is of no sum yet
            return explain(waits) if waits is not Hold.REST else ""
        if 2 * self._recent[Hold.REST] > sum(self._recent.values()):
            return ""
        reason = holding.most(self._recent)
        return self._held[reason][1] if reason else ""

    def _sum(self, reasons: tuple[str, ...]) -> float:
        return sum(self.waiting.get(reason, 0.0) for reason in reasons)
