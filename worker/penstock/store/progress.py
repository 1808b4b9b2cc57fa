"""What can be said of a run at one moment; everything people see of a job is drawn from this."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """Where the workers' time went, seconds summed over all calls and workers.

    provider: waiting for answers. gate: waiting for a permit (rate, concurrency, back-off).
    cpu: processor time of the worker processes. checkpoint: writing results.
    """

    provider: float = 0.0
    gate: float = 0.0
    cpu: float = 0.0
    checkpoint: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """A run's counts and rates. Counts are of items unless named otherwise; rates are a second.

    phase is one of Pending, Planning, Running, Paused, Suspended, Exporting, Complete, Failed.
    seconds: working time so far. throttled: calls answered 429. retries: calls made again.
    concurrency: calls allowed in flight now, over all workers; in_flight: calls out now.
    held_back: one phrase on what holds the speed back. failures: most frequent first.
    """

    name: str
    run: int
    phase: str
    total: int
    skipped: int = 0
    succeeded: int = 0
    failed: int = 0
    seconds: float = 0.0
    requests: int = 0
    throttled: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    workers: int = 0
    in_flight: int = 0
    concurrency: int = 0
    items_per_second: float = 0.0
    requests_per_second: float = 0.0
    throttled_share: float = 0.0
    eta_seconds: float | None = None
    held_back: str = ""
    reason: str = ""
    message: str = ""
    time: TimeSplit = field(default_factory=TimeSplit)
    failures: tuple[tuple[str, int], ...] = ()
    output: str | None = None

    @property
    def done(self) -> int:
        """Items that need nothing more in this run."""
        return self.skipped + self.succeeded + self.failed

    @property
    def pending(self) -> int:
        """Items still to be worked on."""
        return max(0, self.total - self.done)
