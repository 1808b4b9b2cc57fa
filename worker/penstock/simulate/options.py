"""What a simulated provider is like, in one value. The command line and the tests both fill it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from penstock.errors import InputError, Mistake

LimitKind = Literal["token", "sliding", "fixed"]
LimitBy = Literal["key", "address", "connection"]
Hints = Literal["none", "retry-after", "headers"]

SHARES = (
    "error_share",
    "overloaded_share",
    "drop_share",
    "hang_share",
    "garbage_share",
)
"""The faults of which at most one happens to a call, in the order they are drawn."""


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """A provider. Durations are seconds, shares are fractions of 1, `None` and 0 mean "not at all".

    rpm, tpm: requests and tokens a minute. limit: how they are counted: a token bucket of `depth`
        seconds, or at most rpm·window/60 in a sliding or a fixed window of `window` seconds.
    latency: median of a log-normal distribution with `sigma`; `straggler_share` of the calls take
        `straggler_factor` times as long.
    slots: calls worked on at once, the others queue. contention: the number of concurrent calls at
        which the backend is fastest; each further one slows them all down more than it adds.
    poison: a body that holds this text is refused with 400, every time. quota: calls after which
        the account is empty. models: the only ones there are; none named means any.
    Raises InputError with every option that cannot be.
    """

    rpm: float | None = None
    tpm: float | None = None
    limit: LimitKind = "token"
    window: float = 60.0
    depth: float = 1.0
    limit_by: LimitBy = "key"
    count_rejected: bool = False
    hints: Hints = "none"

    latency: float = 0.0
    sigma: float = 0.0
    straggler_share: float = 0.0
    straggler_factor: float = 10.0
    slots: int = 0
    contention: float = 0.0

    error_share: float = 0.0
    overloaded_share: float = 0.0
    drop_share: float = 0.0
    hang_share: float = 0.0
    hang_seconds: float = 600.0
    garbage_share: float = 0.0
    drop_item_share: float = 0.0
    poison: str = "POISON"

    key: str | None = None
    models: tuple[str, ...] = ()
    quota: int | None = None
    honour_idempotency: bool = False
    dimensions: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        mistakes = [*self._numbers(), *self._choices()]
        if mistakes:
            raise InputError(mistakes)

    def _numbers(self) -> list[Mistake]:
        mistakes: list[Mistake] = []

        def check(name: str, fine: bool, right: str) -> None:
            if not fine:
                value = getattr(self, name)
                mistakes.append(Mistake(_option(name), f"{value!r} will not do; {right}"))

        for name in ("rpm", "tpm"):
            value = getattr(self, name)
            check(name, value is None or 0 < value < math.inf, "give a number above 0")
        for name in ("window", "depth"):
            check(name, 0 < getattr(self, name) < math.inf, "give a duration above 0")
        for name in ("latency", "sigma", "contention", "slots", "hang_seconds"):
            check(name, 0 <= getattr(self, name) < math.inf, "give 0 (for none) or more")
        for name in (*SHARES, "straggler_share", "drop_item_share"):
            check(name, 0 <= getattr(self, name) <= 1, "give a fraction between 0 and 1")
        check("straggler_factor", 0 < self.straggler_factor < math.inf, "give a number above 0")
        check("quota", self.quota is None or self.quota >= 0, "give a number of calls")
        check("dimensions", 1 <= self.dimensions <= 65_536, "give a number from 1 to 65536")
        if not mistakes and sum(getattr(self, name) for name in SHARES) > 1 + 1e-9:
            named = ", ".join(_option(name) for name in SHARES)
            mistakes.append(Mistake("", f"{named} together are more than 1"))
        return mistakes

    def _choices(self) -> list[Mistake]:
        kinds = {"limit": LimitKind, "limit_by": LimitBy, "hints": Hints}
        return [
            Mistake(_option(name), f"{getattr(self, name)!r}; choose {', '.join(get_args(kind))}")
            for name, kind in kinds.items()
            if getattr(self, name) not in get_args(kind)
        ]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
