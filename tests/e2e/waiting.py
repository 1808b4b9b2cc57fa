"""Waits for something to become true, and says what it was instead when it does not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# A machine that is five times slower than usual is no reason to fail.
SECONDS = 180.0
_LOOK = 0.2
_SHOWN = 3_000


def until(
    look: Callable[[], T],
    good: Callable[[T], bool],
    wanted: str,
    *,
    seconds: float = SECONDS,
) -> T:
    """Looks until what is seen is good, and returns that. `good` may raise to give up at once.

    Raises AssertionError with `wanted` and what was seen last.
    """
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if good(seen):
            return seen
        late = time.monotonic() > deadline
        assert not late, f"not within {seconds:.0f} s: {wanted}; last seen: {shown(seen)}"
        time.sleep(_LOOK)


def shown(seen: object) -> str:
    """What was seen, short enough to be read."""
    text = seen if isinstance(seen, str) else json.dumps(seen, indent=1, default=repr)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} … ({len(text)} characters)"
