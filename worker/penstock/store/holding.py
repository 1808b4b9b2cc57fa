"""What holds a run back: from the seconds that its workers spent on each thing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

CPU, REST = "cpu", "rest"
"""Computing; having nothing to do because other workers do it all."""
BUSY = 0.8
"""Who computes for this part of the time is held back by that: on a machine that is shared nobody
gets all of a core."""


def most(seconds: Mapping[str, float]) -> str:
    """What took the most of the time: CPU only where it took nearly all, since something else is
    waited for meanwhile. Empty when nothing took any."""
    told = {reason: spent for reason, spent in seconds.items() if reason != REST and spent > 0}
    computing = told.pop(CPU, 0.0)
    if not told or computing >= BUSY * (computing + sum(told.values())):
        return CPU if computing else ""
    return max(told, key=lambda reason: told[reason])


def over_all(workers: Iterable[Mapping[str, Any]]) -> str:
    """What held a run back most of the time, in the words of the worker that it held longest.

    workers: what each said last; `held`: for each thing its seconds, and the words.
    """
    held = [one.get("held") or {} for one in workers]
    seconds: dict[str, float] = {}
    for one in held:
        for reason, (spent, _) in one.items():
            seconds[reason] = seconds.get(reason, 0.0) + spent
    reason = most(seconds)
    told = [one[reason] for one in held if reason in one]
    return str(max(told, key=lambda entry: entry[0])[1]) if told else ""
