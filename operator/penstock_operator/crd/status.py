"""`status` of a BatchJob: what the operator tells of it. The same size at any number of items.

`progress`, `rate`, `throttled` and `eta` are texts for the columns of `kubectl get`, which can show
fields but not reckon with them; each has the exact figure beside it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, PlainSerializer

from penstock.spec.types import Model

MOST_REASONS = 10
LONGEST_MESSAGE = 32_768
"""As long as Kubernetes lets the message of a condition be."""

Phase = Literal[
    "Pending", "Planning", "Running", "Paused", "Suspended", "Exporting", "Complete", "Failed"
]
ConditionType = Literal[
    "Accepted",  # False: the manifest has mistakes, or an edit cannot be taken up
    "Progressing",  # False: something outside keeps it from going on (image, Secret, database, …)
    "Planned",
    "Suspended",
    "Throttled",
    "BudgetExceeded",
    "Complete",
    "Failed",
]


def _to_the_second(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[AwareDatetime, PlainSerializer(_to_the_second, when_used="json")]
"""A moment, written as Kubernetes writes it: in UTC, to the second."""

Items = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""A number of items, calls or tokens."""


class ItemCounts(Model):
    """How many items there are, and what became of them."""

    total: Items = Field(default=0, description="All items of the run, skipped ones included.")
    skipped: Items = Field(default=0, description="Items that had a result already.")
    pending: Items = Field(default=0, description="Items that no worker has taken yet.")
    running: Items = Field(default=0, description="Items that a worker has taken.")
    succeeded: Items = Field(default=0, description="Items that got a result in this run.")
    failed: Items = Field(default=0, description="Items that failed in this run.")


class FailureCount(Model):
    """Items that failed for the same reason."""

    reason: str = Field(description="Why they failed.")
    count: Items = Field(description="How many failed so.")


class Throughput(Model):
    """How fast the job is, over the last minute or so."""

    items_per_second: float = Field(default=0.0, ge=0, description="Items that end in a second.")
    requests_per_second: float = Field(default=0.0, ge=0, description="Calls that end in a second.")


class Throttling(Model):
    """How the provider pushes back, and what the job does about it."""

    ratio: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=(
            "Share of the calls that were throttled, 0 to 1: of late while the job is running, "
            "else of all calls of the run."
        ),
    )
    effective_requests_per_minute: float | None = Field(
        default=None, ge=0, description="Calls a minute that the job makes at present."
    )
    effective_concurrency: Items | None = Field(
        default=None, description="Calls that all its workers together may have in flight."
    )
    parallelism: Items | None = Field(default=None, description="Worker pods at work.")
    reason: str | None = Field(
        default=None,
        description=(
            "What holds its speed back, in words: a rate limit and what was learned of it, say. "
            "When the job is not running: what held the run back most of the time."
        ),
    )
    source: Literal["prometheus", "postgres"] | None = Field(
        default=None, description="Where these figures come from."
    )


class Usage(Model):
    """What the run has used up."""

    requests: Items = Field(default=0, description="Calls, repeated ones included.")
    throttled: Items = Field(default=0, description="Calls that the provider throttled (429).")
    retries: Items = Field(default=0, description="Calls that repeat one before them.")
    prompt_tokens: Items = Field(default=0, description="Tokens sent.")
    completion_tokens: Items = Field(default=0, description="Tokens received.")
    cost: float | None = Field(default=None, ge=0, description="Cost, by `spec.price`.")


class Condition(Model):
    """One thing that is true of the job, or not, since when and why."""

    type: ConditionType = Field(description="What it is about. Complete and Failed are the ends.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it is so.")
    reason: str = Field(
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        max_length=1024,
        description="Why, in one word for programs.",
    )
    message: str = Field(
        max_length=LONGEST_MESSAGE, description="Why, for people, and what can be done about it."
    )
    last_transition_time: Time = Field(description="Since when `status` is what it is.")
    observed_generation: Items | None = Field(
        default=None, description="The `metadata.generation` that this was told of."
    )


class BatchJobStatus(Model):
    """What has become of the job. Written by the operator alone."""

    observed_generation: Items | None = Field(
        default=None, description="The `metadata.generation` that the operator acted on last."
    )
    phase: Phase | None = Field(default=None, description="What the job is doing.")
    message: str | None = Field(
        default=None,
        max_length=LONGEST_MESSAGE,
        description="What it is doing or waiting for, in a sentence.",
    )
    current_run: Items | None = Field(
        default=None, description="Number of the present or the last run of this job, from 1."
    )
    start_time: Time | None = Field(default=None, description="When that run began.")
    completion_time: Time | None = Field(default=None, description="When it ended.")
    active_since: Time | None = Field(
        default=None,
        description=(
            "While time counts: when the run would have begun, had it never waited. How long it "
            "has been at work is the time since then."
        ),
    )
    active_seconds: float | None = Field(
        default=None,
        ge=0,
        description=(
            "While it waits, and at its end: how long the run was at work, without the time that "
            "it was suspended, paused or queued."
        ),
    )
    estimated_completion_time: Time | None = Field(
        default=None, description="When it will probably end, at its present speed."
    )
    progress: str | None = Field(
        default=None, description="Share of the items that are done, as text: `61%`."
    )
    rate: str | None = Field(
        default=None, description="`throughput.itemsPerSecond` as text: `48.1/s`."
    )
    throttled: str | None = Field(default=None, description="`throttling.ratio` as text: `0.4%`.")
    eta: str | None = Field(
        default=None, description="How long it will probably still take, as text: `12m`."
    )
    item_counts: ItemCounts | None = Field(
        default=None, description="How many items there are, and what became of them."
    )
    failures: list[FailureCount] | None = Field(
        default=None,
        max_length=MOST_REASONS,
        description="The most frequent reasons why items failed, the most frequent one first.",
    )
    throughput: Throughput | None = Field(
        default=None, description="How fast the job is, over the last minute or so."
    )
    throttling: Throttling | None = Field(
        default=None, description="How the provider pushes back, and what the job does about it."
    )
    usage: Usage | None = Field(default=None, description="What the run has used up.")
    conditions: list[Condition] | None = Field(
        default=None,
        description=(
            "What is true of the job: Accepted, Progressing, Planned, Suspended, Throttled, "
            "BudgetExceeded, and in the end Complete or Failed."
        ),
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )

    def as_json(self) -> dict[str, Any]:
        """The status as the API server takes it: camelCase, times as text, nothing that is None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
