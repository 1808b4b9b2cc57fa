"""What a job fixes for its rate control, and what it is told of each call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What a call's end says about the far side's capacity; names are those of the metrics."""

    OK = "ok"
    THROTTLED = "throttled"  # 429
    OVERLOADED = "overloaded"  # 503, 529
    QUOTA = "quota"
    ERROR = "error"
    TIMEOUT = "timeout"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds a job sets. Concurrency: calls in flight of one worker. Rates are a second, over
    all workers; None when unknown (they are learned). fixed_by: why concurrency is fixed, where it
    is not the manifest that says so."""

    min_concurrency: int
    max_concurrency: int
    requests_per_second: float | None = None
    tokens_per_second: float | None = None
    fixed_by: str = ""

    @property
    def fixed(self) -> bool:
        """Whether calls in flight are fixed, so that none are to be found out."""
        return self.min_concurrency == self.max_concurrency


@dataclass(frozen=True, slots=True)
class CallReport:
    """One call that ended. sent_at and the time it is reported at are of one clock.

    tokens: what was reserved before the call; used_tokens: what the server counted, if it said.
    reached: whether the call got to the server at all.
    """

    outcome: Outcome
    sent_at: float
    retry_after: float | None = None
    headers: Mapping[str, str] | None = None
    tokens: int = 0
    used_tokens: int | None = None
    reached: bool = True
