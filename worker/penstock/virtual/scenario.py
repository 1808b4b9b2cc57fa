"""What a simulated run is like: the provider, the pods, what happens on the way.

This is one concrete case. A file may describe many at once; draw.py makes cases of it.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from penstock.errors import Mistake
from penstock.simulate.limits import FixedWindow, Limiter, SlidingWindow, TokenBucket
from penstock.spec.types import Count, Duration, Model

_Positive = Annotated[Duration, Field(gt=0)]
_QUICKEST = 0.001
"""An answer in no time would stop the clock."""
_Pods = Annotated[Count, Field(le=1000)]


class Latency(Model):
    """How long an answer takes: log-normal."""

    median: Annotated[Duration, AfterValidator(lambda seconds: max(seconds, _QUICKEST))] = Field(
        default=0.4, description="Half of the calls take longer."
    )
    sigma: float = Field(default=0.5, ge=0, le=3, description="Spread; 0 is none.")

    @property
    def mean(self) -> float:
        """Seconds a call takes on average when it is alone."""
        return self.median * math.exp(self.sigma**2 / 2)


class Step(Model):
    """The limit changes."""

    at: Duration = Field(description="When.")
    factor: float = Field(gt=0, description="The limit is then so many times the one stated above.")
    settle: Duration = Field(default=0.0, description="So long after it nothing counts.")


class Tokens(Model):
    """What a call costs where tokens are limited: log-normal."""

    mean: float = Field(default=1000.0, ge=1, description="Tokens of a call on average.")
    sigma: float = Field(default=0.8, ge=0, le=3, description="Spread; 0 is none.")
    max: Count | None = Field(default=None, description="No call costs more.")
    estimate_error: float = Field(
        default=0.0, ge=0, lt=1, description="The client's estimate is off by up to this share."
    )
    estimate_bias: float = Field(
        default=0.0, gt=-1, le=10, description="It is too high by this share on average."
    )


class Provider(Model):
    """The far side. A limit or a number that is 0 or left out does not exist."""

    limit: Literal["token", "sliding", "fixed", "none"] = Field(
        default="token", description="How requests and tokens are counted."
    )
    requests_per_minute: float = Field(default=0.0, ge=0, description="Requests let through.")
    tokens_per_minute: float = Field(default=0.0, ge=0, description="Tokens let through.")
    depth_seconds: _Positive = Field(default=1.0, description="How much a token bucket holds.")
    window_seconds: _Positive = Field(default=60.0, description="Length of a window.")
    min_depth_requests: float = Field(
        default=0.0, ge=0, description="A token bucket is deep enough for so many requests."
    )
    min_window_requests: float = Field(
        default=0.0, ge=0, description="A window is long enough for so many requests."
    )
    hints: Literal["none", "retry-after", "headers"] = Field(
        default="none",
        description="Retry-After with a 429, or x-ratelimit-* with every answer as well.",
    )
    count_rejected: bool = Field(default=False, description="Refused requests count, too.")
    latency: Latency = Field(default=Latency(), description="Time an answer takes.")
    slots: int = Field(default=0, ge=0, le=100_000, description="Calls worked on at once.")
    contention: float = Field(
        default=0.0, ge=0, le=100_000, description="Concurrent calls at which it is fastest."
    )
    steps: list[Step] = Field(default=[], description="Changes of the limit on the way.")

    def limiter(self, per_minute: float) -> Limiter | None:
        """A fresh limiter of this kind; None when there is no limit. The depth and the length of
        the window are those of a limit on requests."""
        if self.limit == "none" or per_minute == 0:
            return None
        a_request = 60 / self.requests_per_minute if self.requests_per_minute else 0.0
        if self.limit == "token":
            return TokenBucket(
                per_minute, max(self.depth_seconds, self.min_depth_requests * a_request)
            )
        window = max(self.window_seconds, self.min_window_requests * a_request)
        kind = SlidingWindow if self.limit == "sliding" else FixedWindow
        return kind(per_minute, window)


class Concurrency(Model):
    """Calls in flight in one pod."""

    min: Annotated[Count, Field(le=10_000)] = 1
    max: Annotated[Count, Field(le=10_000)] = 1024


class Kill(Model):
    """A pod dies without a word."""

    at: Duration = Field(description="When.")
    pod: int = Field(default=0, ge=0, description="Which, from 0.")
    settle: Duration = Field(default=0.0, description="So long after it nothing counts.")


class Away(Model):
    """The database cannot be reached."""

    from_: Duration = Field(alias="from", description="From when.")
    to: Duration = Field(description="Until when.")


class Job(Model):
    """One of several jobs that share the provider's budget."""

    pods: _Pods | None = Field(default=None, description="As many as `pods` if left out.")
    start: Duration = Field(default=0.0, description="When it starts.")
    end: Duration | None = Field(default=None, description="When it ends, if before the others.")
    settle: Duration = Field(
        default=0.0, description="So long after its start and its end nothing counts."
    )


class Scenario(Model):
    """One run in virtual time."""

    provider: Provider = Field(description="The far side.")
    pods: _Pods = Field(default=1, description="Workers that share the limit.")
    duration: _Positive = Field(default=600.0, description="How long the run is.")
    warmup: Duration = Field(default=60.0, description="So long at the start nothing counts.")
    items: Count | None = Field(
        default=None, description="Ends when so many are accepted; everything counts then."
    )
    stated: bool | Annotated[float, Field(gt=0)] = Field(
        default=False, description="The limit stands in the manifest: as it is, or this number."
    )
    concurrency: Concurrency = Field(default=Concurrency(), description="A pod's bounds.")
    tokens: Tokens = Field(default=Tokens(), description="What a call costs.")
    kill: list[Kill] = Field(default=[], description="Pods that die.")
    database_away: list[Away] = Field(default=[], description="When pods cannot talk.")
    jobs: list[Job] = Field(default=[], description="Several jobs with one budget.")

    def mistakes(self) -> list[Mistake]:
        """What does not fit together, each with its path."""
        found = []
        pods = len(self.job_of_pod)
        if self.items is None and self.warmup >= self.duration:
            found.append(Mistake("warmup", "is not shorter than duration: nothing would count"))
        if self.concurrency.min > self.concurrency.max:
            found.append(Mistake("concurrency.min", "is more than concurrency.max"))
        for place, kill in enumerate(self.kill):
            if kill.pod >= pods:
                message = f"there is no pod {kill.pod}; they are 0 to {pods - 1}"
                found.append(Mistake(f"kill[{place}].pod", message))
        for place, away in enumerate(self.database_away):
            if away.to <= away.from_:
                found.append(Mistake(f"databaseAway[{place}].to", "is not after from"))
        for place, job in enumerate(self.jobs):
            if job.end is not None and job.end <= job.start:
                found.append(Mistake(f"jobs[{place}].end", "is not after its start"))
        return found

    @property
    def all_jobs(self) -> list[Job]:
        """The jobs; one that runs all the time where none is described."""
        return self.jobs or [Job()]

    @property
    def job_of_pod(self) -> list[int]:
        """For each pod, the place of its job among the jobs."""
        return [
            number for number, job in enumerate(self.all_jobs) for _ in range(job.pods or self.pods)
        ]
