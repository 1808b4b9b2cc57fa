"""The two sides of a pool as its loop (work/pooling.py) sees them: a member's, and the leader's.

Pure, like all of `rate`: time is an argument, in seconds of the fleet's clock, the database's. What
is told goes through the database: small, with nothing in it but what JSON can say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Told = Mapping[str, Any]


class Decided(Protocol):
    """What follows from a tick."""

    @property
    def state(self) -> Told:
        """What was learned, for the next leader and the next job."""

    @property
    def orders(self) -> Mapping[str, Told]:
        """What is wanted of each member, by member ID."""


class Member(Protocol):
    """One worker's side of its pool."""

    def next_sync(self, now: float) -> float:
        """Seconds until it wants to report and to hear again."""

    def report(self, now: float) -> Told:
        """What it saw of late. May overlap with the report before: a lost one harms nothing."""

    def apply(self, now: float, orders: Told | None) -> None:
        """Do what the leader wants; None: it does not know this member yet."""

    def pause(self, now: float, until: float) -> None:
        """Send nothing before, as somebody in the pool was told."""


class Leader(Protocol):
    """The one member that shares the budget out; made from the state its predecessor left."""

    def tick(self, now: float, reports: Mapping[str, tuple[Told, float]]) -> Decided:
        """Decide anew. reports: by member ID, each with its age in seconds."""
