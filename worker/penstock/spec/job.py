"""The BatchJob manifest as a whole: `BatchJob` and `spec`, put together from their parts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from penstock.spec.output import FileOutput, ObjectStoreOutput, Output, OutputFormat, PostgresOutput
from penstock.spec.processor import Processor
from penstock.spec.running import (
    Batching,
    Budget,
    Checkpoint,
    Concurrency,
    FailurePolicy,
    Price,
    RateLimit,
    Retry,
    Scaling,
    Sharding,
)
from penstock.spec.source import Source
from penstock.spec.types import Count, Model

__all__ = [
    "API_VERSION",
    "KIND",
    "BatchJob",
    "BatchJobSpec",
    "Batching",
    "Budget",
    "Checkpoint",
    "Concurrency",
    "Existing",
    "FailurePolicy",
    "FileOutput",
    "Metadata",
    "ObjectStoreOutput",
    "Output",
    "OutputFormat",
    "PostgresOutput",
    "Price",
    "RateLimit",
    "Retry",
    "Scaling",
    "Sharding",
]

API_VERSION = "penstock.dev/v1alpha1"
KIND = "BatchJob"

Existing = Literal["skip", "skipByID", "force"]

_WRITTEN_BY_THE_CLUSTER = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generation",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)


class BatchJobSpec(Model):
    """What to do: a source of items, a processor, and how to run."""

    source: Source = Field(description="Where the items come from.")
    processor: Processor = Field(description="What is done with an item.")
    batching: Batching = Field(default=Batching(), description="Several items in one call.")
    sharding: Sharding = Field(
        default=Sharding(), description="How the items are divided among workers."
    )
    scaling: Scaling = Field(default=Scaling(), description="How far the job may spread.")
    rate_limit: RateLimit = Field(
        default=RateLimit(),
        description="What the provider allows, where it is known; unknown limits are learned.",
    )
    retry: Retry = Field(default=Retry(), description="How often and how long an item is tried.")
    failure_policy: FailurePolicy = Field(
        default=FailurePolicy(),
        description="When a job with failed items counts as failed. Default: never.",
    )
    checkpoint: Checkpoint = Field(
        default=Checkpoint(), description="When results are written down."
    )
    existing: Existing = Field(
        default="skip",
        description=(
            "What to do with an item that has a result already: `skip` it when neither it nor "
            "the processor changed, `skipByID` whatever changed, or `force` it to run again."
        ),
    )
    result_set: str | None = Field(
        default=None,
        description="Name of the results by item ID, which outlive runs; default: the job's name.",
    )
    output: Output | None = Field(
        default=None,
        description="Where results are written; default: they stay in the result set.",
    )
    price: Price | None = Field(
        default=None, description="What tokens cost, for the summary and for `budget`."
    )
    budget: Budget | None = Field(
        default=None, description="What the job may use up before it pauses."
    )
    suspend: bool = Field(default=False, description="Stop working, to go on later.")
    redrive: int = Field(
        default=0, ge=0, le=2**31 - 1, description="Raise it to run only the failed items again."
    )
    rerun: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="Raise it to start a new run over what is not skipped, after an edit, say.",
    )
    deletion_policy: Literal["Retain", "Delete"] = Field(
        default="Retain", description="What becomes of the results when the job is deleted."
    )
    active_deadline_seconds: Count | None = Field(
        default=None,
        description=(
            "A run that takes longer fails; what was done stays, and is written. Counted from the "
            "beginning of the run, planning included, but not while it is suspended or paused; "
            "once every item is done, the writing of the results is not cut short."
        ),
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="On a cluster: delete the BatchJob so many seconds after its end.",
    )
    managed_by: str | None = Field(
        default=None,
        min_length=1,
        description="On a cluster: name of another controller that runs this job.",
    )
    template: dict[str, Any] | None = Field(
        default=None,
        description=(
            "On a cluster: pod template of the workers, with image, resources, environment, "
            "volumes, node selection."
        ),
    )


class Metadata(Model):
    """Name and labels, as of any Kubernetes object."""

    name: str = Field(description="Name of the job: lower-case letters, digits and hyphens.")
    namespace: str | None = Field(default=None, description="Namespace on a cluster.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations.")


def _as_written(value: Any) -> Any:
    """Metadata without what a cluster adds: what `kubectl get -o yaml` shows can be run again."""
    if isinstance(value, dict):
        return {key: one for key, one in value.items() if key not in _WRITTEN_BY_THE_CLUSTER}
    return value


class BatchJob(Model):
    """A list of items and what is done with each of them."""

    api_version: Literal["penstock.dev/v1alpha1"] = Field(description="Version of this format.")
    kind: Literal["BatchJob"] = Field(description="Kind of the object.")
    metadata: Annotated[Metadata, BeforeValidator(_as_written)] = Field(
        description="Name and labels."
    )
    spec: BatchJobSpec = Field(description="What to do.")

    @model_validator(mode="before")
    @classmethod
    def _without_status(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if key != "status"}
        return data

    @property
    def name(self) -> str:
        """The job's name."""
        return self.metadata.name

    @property
    def result_set(self) -> str:
        """The result set that this job reads and writes: named, or the job's own name."""
        return self.spec.result_set or self.metadata.name
