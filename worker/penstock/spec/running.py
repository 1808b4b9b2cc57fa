"""How a job runs: everything under `spec` that is neither what goes in, what is done nor what
comes out. All of it has a default."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from penstock.spec.types import Count, Duration, Model

_MOST_PARALLEL = 10_000
_MOST_IN_SHARD = 1_000_000


class Batching(Model):
    """Several items in one call."""

    max_items_per_request: Annotated[Count, Field(le=10_000)] = Field(
        default=1, description="At most so many items share a call."
    )
    max_tokens_per_request: Count | None = Field(
        default=None, description="At most so many estimated tokens share a call."
    )


def _auto_or_count(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if value == "auto" or (whole and 1 <= value <= _MOST_IN_SHARD):
        return value
    raise ValueError(f"wanted auto or a whole number from 1 to {_MOST_IN_SHARD}")


ItemsPerShard = Annotated[
    Literal["auto"] | Annotated[int, Field(ge=1, le=_MOST_IN_SHARD)],
    BeforeValidator(_auto_or_count),
]


class Sharding(Model):
    """How the items are divided among workers."""

    items_per_shard: ItemsPerShard = Field(
        default="auto",
        description=(
            "Items in a shard, the piece a worker takes at a time; `auto` fits it to their number."
        ),
    )


class Concurrency(Model):
    """Calls in flight in one worker."""

    min: Annotated[Count, Field(le=_MOST_PARALLEL)] = Field(
        default=1, description="Never fewer calls in flight than this."
    )
    max: Annotated[Count, Field(le=_MOST_PARALLEL)] = Field(
        default=64,
        description="Never more calls in flight than this. The same as min: fixed, no ramp.",
    )


class Scaling(Model):
    """How far the job may spread. Between the bounds Penstock finds what is fastest."""

    min_parallelism: Annotated[Count, Field(le=_MOST_PARALLEL)] = Field(
        default=1, description="On a cluster: never fewer worker pods than this."
    )
    max_parallelism: Annotated[Count, Field(le=_MOST_PARALLEL)] = Field(
        default=10, description="On a cluster: never more worker pods than this."
    )
    concurrency: Concurrency = Field(
        default=Concurrency(), description="Calls in flight in one worker."
    )


class RateLimit(Model):
    """What the provider allows, where it is known; unknown limits are learned."""

    requests_per_minute: float | None = Field(
        default=None,
        gt=0,
        description=(
            "Calls a minute that the provider allows, over all workers. Left out, the limit is "
            "found out from what the provider refuses."
        ),
    )
    tokens_per_minute: float | None = Field(
        default=None,
        gt=0,
        description="Tokens a minute that the provider allows, over all workers.",
    )
    pool: str | None = Field(
        default=None,
        min_length=1,
        description="A budget that all jobs naming it share, for example `openai-prod`.",
    )


class Retry(Model):
    """How often and how long an item is tried."""

    max_attempts: Annotated[Count, Field(le=1000)] = Field(
        default=5, description="Calls for an item before it fails; throttled ones do not count."
    )
    max_elapsed: Duration = Field(
        default=600.0, description="An item that is older than this is not tried again."
    )
    request_timeout: Annotated[Duration, Field(gt=0)] = Field(
        default=60.0, description="How long a call may take."
    )


class FailurePolicy(Model):
    """When a job with failed items counts as failed and stops early. Default: never."""

    tolerated_failure_count: int | None = Field(
        default=None, ge=0, le=2**31 - 1, description="More failed items than this fail the job."
    )
    tolerated_failure_percentage: float | None = Field(
        default=None, ge=0, le=100, description="A larger share of failed items fails the job."
    )


class Checkpoint(Model):
    """When results are written down: at whichever bound is reached first."""

    max_items: Annotated[Count, Field(le=10_000)] = Field(
        default=100, description="Results that may wait to be written."
    )
    max_interval: Annotated[Duration, Field(ge=0.01, le=60)] = Field(
        default=0.5, description="How long a result may wait to be written."
    )


class Price(Model):
    """What tokens cost, in whatever currency; Penstock guesses no prices."""

    input_per_million: float = Field(
        default=0.0, ge=0, description="Price of a million prompt tokens."
    )
    output_per_million: float = Field(
        default=0.0, ge=0, description="Price of a million completion tokens."
    )

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What so many tokens cost."""
        prompt = prompt_tokens * self.input_per_million
        return (prompt + completion_tokens * self.output_per_million) / 1e6


class Budget(Model):
    """What the job may use up. Once reached the job pauses and can go on when it is raised."""

    max_tokens: int | None = Field(
        default=None, ge=1, le=2**63 - 1, description="Tokens, prompt and completion together."
    )
    max_cost: float | None = Field(default=None, gt=0, description="Cost, by `price`.")
