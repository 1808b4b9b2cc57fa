"""What flows through a worker: items in, calls out, one result an item back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from penstock.rate.bounds import Outcome
from penstock.work.gate import Admission, Gate


@dataclass(slots=True)
class WorkItem:
    """One item on its way through a worker.

    attempts: calls that have ended for it in this process and counted. elapsed: seconds it spent
    on calls and waits that run against maxElapsed. alone: must not share a call again (it was
    missing in an answer, or a shared call failed for one of its items). payload: its JSON, for
    whoever needs another copy; empty where there is none. fresh: nobody has had the item yet.
    prompt_tokens, completion_tokens: its part of the usage of all its calls so far. shard, epoch:
    the lease it was fetched under.
    """

    position: int
    item_id: str
    fingerprint: bytes
    item: Any
    shard: int = 0
    epoch: int = 0
    attempts: int = 0
    elapsed: float = 0.0
    alone: bool = False
    payload: str = ""
    fresh: bool = True
    prompt_tokens: int = 0
    completion_tokens: int = 0


class FailureKind(StrEnum):
    """What went wrong with a call, by what has to happen next (`retry.decide`)."""

    THROTTLED = "throttled"  # 429, a rate limit: wait, costs no attempt
    OVERLOADED = "overloaded"  # 503, 529: slow down like a 429, costs an attempt
    QUOTA = "quota"  # the account is out of money: pause the job
    ACCESS = "access"  # wrong key, no permission, unknown model: pause when it is the very start
    REJECTED = "rejected"  # the server will never take this item: fail it
    ERROR = "error"  # 5xx, dropped connection: again
    TIMEOUT = "timeout"  # no answer in time: again
    INVALID = "invalid"  # an answer that cannot be used (not JSON, schema, item missing): again
    TEMPLATE = "template"  # the request could not be built from this item: fail it, no call made


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call, or one item of it, gave no output.

    reason: short and the same for all failures of this sort, fit for grouping
        (`HTTP 400 invalid_request_error`). message: what the server said, at most 500 characters,
        never a secret. retry_after: seconds the server asked to wait. status: HTTP status if any.
    reached: False when the call surely never got to the server (no such host, nobody listens).
    doubtful: what it says may also mean something that passes by itself.
    """

    kind: FailureKind
    reason: str
    message: str = ""
    retry_after: float | None = None
    status: int | None = None
    reached: bool = True
    doubtful: bool = False

    @property
    def told(self) -> str:
        """Reason and message, without saying anything twice."""
        if self.reason in self.message:
            return self.message
        return f"{self.reason}: {self.message}".rstrip(": ")


@dataclass(frozen=True, slots=True)
class Output:
    """What an item gave: any JSON value. text: its JSON, where that is known already."""

    value: Any
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, as the server counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class CallResult:
    """What one call gave: one entry an item, in the order they were handed in.

    failure: set when the call as a whole failed (then every entry is that failure).
    headers: of the response, lower-case names; empty without a response.
    sent: whether a request went out at all (False when only templates failed, or when each request
    reports to the gate by itself). calls: as how many calls it counts in the totals.
    """

    results: Sequence[Output | Failure]
    usage: Usage = Usage()
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: Failure | None = None
    sent: bool = True
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call takes from a rate limit, as far as can be told before it is made."""

    requests: int = 1
    tokens: int = 0


class Processor(Protocol):
    """One kind of work. `call` tries each item once, and never again by itself."""

    @property
    def max_items(self) -> int:
        """How many items one call may carry; of a function it changes with what they take."""
        ...

    @property
    def at_once(self) -> int | None:
        """How many calls a worker makes at the same time, where that is known; None: found out."""
        ...

    async def start(self, gate: Gate, on_call: Callable[[Outcome, float], None]) -> Admission:
        """Get ready for calls; returns what lets the work on an item begin.

        on_call: told of each request that the work on an item makes by itself, how it ended and
        after how many seconds. Raises InputError for a function that cannot be called.
        """
        ...

    def blocked(self) -> tuple[str, float] | None:
        """The function that kept the event loop from turning longest, and for how many seconds."""
        ...

    def cost(self, items: Sequence[WorkItem]) -> Cost:
        """Estimate of what a call for these items takes from the limits."""
        ...

    def preview(self, item: WorkItem) -> dict[str, Any]:
        """The request as it would go out for this item, without secrets (for `--preview`)."""
        ...

    async def call(self, items: Sequence[WorkItem]) -> CallResult:
        """Make one call for these items. Expected failures are values; only bugs raise."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
