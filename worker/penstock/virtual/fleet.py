"""What the engine needs of rate control: a client in each pod and what they have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from penstock.rate.bounds import CallReport
from penstock.virtual.scenario import Scenario


class Client(Protocol):
    """Rate control in one pod. Times are seconds of one clock."""

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        ...

    def wait(self, now: float, in_flight: int) -> float | None:
        """Seconds until the next call may go: 0 for now, None when a call has to end first."""
        ...

    def sent(self, now: float, tokens: int, jitter: float) -> None:
        """A call goes out now that is thought to cost so many tokens."""
        ...

    def ended(self, now: float, report: CallReport, in_flight: int) -> None:
        """A call ended. in_flight: calls still out, this one included."""
        ...


class Fleet(Protocol):
    """What the pods share: the pool in the database."""

    def join(self, pod: int, now: float) -> Client:
        """A pod starts."""
        ...

    def sync(self, pod: int, client: Client, now: float) -> float:
        """The pod and the pool tell each other what they know; seconds until the next time."""
        ...

    def urgent(self, client: Client) -> bool:
        """Whether this client, after a call that ended, has something the others must know now."""
        ...

    def leave(self, pod: int, now: float) -> None:
        """A pod ends in good order (one that is killed just is not heard of any more)."""
        ...

    def learned(self) -> float | None:
        """Requests a minute that the limit is thought to be; None while nothing is known."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What a fleet is told, as a manifest would. Rates are a second, None where not stated.

    job_of_pod: for each pod the number of its job; all jobs share one pool.
    """

    job_of_pod: tuple[int, ...]
    min_concurrency: int
    max_concurrency: int
    requests_per_second: float | None
    tokens_per_second: float | None
    seed: int

    @property
    def pods(self) -> int:
        """How many there are, of all jobs."""
        return len(self.job_of_pod)


FleetFactory = Callable[[Setting], Fleet]


def setting_of(scenario: Scenario, seed: int) -> Setting:
    """What the manifest of this scenario says."""
    provider, stated = scenario.provider, scenario.stated
    requests = provider.requests_per_minute if stated is True else float(stated)
    tokens = provider.tokens_per_minute if stated is True else 0.0
    return Setting(
        job_of_pod=tuple(scenario.job_of_pod),
        min_concurrency=scenario.concurrency.min,
        max_concurrency=scenario.concurrency.max,
        requests_per_second=requests / 60 if requests else None,
        tokens_per_second=tokens / 60 if tokens else None,
        seed=seed,
    )
