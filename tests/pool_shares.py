"""How two jobs divide the limit of a provider, by the provider's own counts and its own clock.

The jobs are told apart by the model that they call. Looks may come as late as they like: each says
how many calls of each job were accepted until the last one, and when that was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CLOSE = 20
"""A job with so few calls left to make may lack work for all of its workers."""


@dataclass(frozen=True)
class Look:
    """at: seconds from the first accepted call to the last one; accepted: calls of each model."""

    at: float
    accepted: Mapping[str, int]


@dataclass
class Two:
    """A job that ends first, and the one that goes on: models, and how many items each has."""

    short: str
    long: str
    items: Mapping[str, int]
    looks: list[Look] = field(default_factory=list)

    def take(self, stats: Mapping[str, Any]) -> bool:
        """Note what a provider's /stats says. Returns whether all calls were accepted."""
        accepted = {model: stats["accepted_by_model"].get(model, 0) for model in self.items}
        self.looks.append(Look(stats["seconds"], accepted))
        return accepted == self.items

    def settled(self, calls: int) -> bool:
        """Whether each has made so many calls."""
        return min(self.looks[-1].accepted.values()) >= calls

    def together(self, settled: int) -> list[Look]:
        """From when each had made so many calls until the short one ran out of work."""
        end = self.items[self.short] - CLOSE
        return [
            look
            for look in self.looks
            if min(look.accepted.values()) >= settled and look.accepted[self.short] <= end
        ]

    def alone(self, after: float) -> list[Look]:
        """From so many seconds after the last call of the short one until the long one runs out."""
        ended = next(
            look.at for look in self.looks if look.accepted[self.short] == self.items[self.short]
        )
        end = self.items[self.long] - CLOSE
        return [
            look
            for look in self.looks
            if look.at >= ended + after and look.accepted[self.long] <= end
        ]


def rate(looks: Sequence[Look], model: str) -> float:
    """Accepted calls a second of a job between the first look and the last."""
    first, last = looks[0], looks[-1]
    return (last.accepted[model] - first.accepted[model]) / (last.at - first.at)


def bins(looks: Sequence[Look], seconds: float) -> list[Sequence[Look]]:
    """The looks in stretches of at least so long; what is left over at the end is in none."""
    found, start = [], 0
    for n, look in enumerate(looks):
        if look.at - looks[start].at >= seconds:
            found.append(looks[start : n + 1])
            start = n
    return found
