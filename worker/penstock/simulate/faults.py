"""What goes wrong with a call that the limits let through, drawn from the configured shares."""

from __future__ import annotations

from enum import StrEnum
from random import Random

from penstock.simulate.options import SHARES, SimulatorConfig


class Fault(StrEnum):
    """Everything but a good answer that /stats counts under `faults`."""

    ERROR = "error"  # 500
    OVERLOADED = "overloaded"  # 503
    DROPPED = "dropped"  # the work is done, the connection closes without an answer
    HUNG = "hung"  # no answer until the client goes
    GARBAGE = "garbage"  # 200 with a body that is not the promised JSON
    POISON = "poison"  # 400, by content
    INVALID = "invalid"  # 400, a request that makes no sense
    ACCESS = "access"  # 401, wrong key
    MODEL = "model"  # 404, unknown model
    QUOTA = "quota"  # 429, the account is empty
    ITEMS_LEFT_OUT = "items_left_out"  # items missing in an otherwise good list


_DRAWN = (Fault.ERROR, Fault.OVERLOADED, Fault.DROPPED, Fault.HUNG, Fault.GARBAGE)


class FaultDraw:
    """Draws at most one fault a call; the same seed gives the same sequence."""

    def __init__(self, config: SimulatorConfig) -> None:
        shares = [getattr(config, name) for name in SHARES]
        self._any = any(shares)
        self._upto = [
            (sum(shares[: place + 1]), fault) for place, fault in enumerate(_DRAWN) if shares[place]
        ]

    def draw(self, rng: Random) -> Fault | None:
        """The fault that befalls the next call, or None."""
        if not self._any:
            return None
        value = rng.random()
        for upto, fault in self._upto:
            if value < upto:
                return fault
        return None
