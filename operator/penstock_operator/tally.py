"""What the operator did in the last minute, as one line of its log."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two lines."""


class Tally:
    """Counts looks and calls. calls: of the API, by verb and kind, ever growing."""

    def __init__(self, calls: Mapping[tuple[str, str], int]) -> None:
        self._calls = calls
        self._before: Counter[tuple[str, str]] = Counter()
        self._seconds: list[float] = []

    def looked(self, seconds: float) -> None:
        """A look at a BatchJob took so long."""
        self._seconds.append(seconds)

    def line(self, batchjobs: int, queued: int) -> str:
        """What there was since the last line; empty when there was nothing to do."""
        if not self._seconds:
            return ""
        seconds, self._seconds = sorted(self._seconds), []
        calls = Counter(self._calls)
        new, self._before = calls - self._before, calls
        made = ", ".join(f"{verb} {kind} {n}" for (verb, kind), n in sorted(new.items()))
        return (
            f"{batchjobs} BatchJob(s), {queued} queued: {len(seconds)} looks, half of them within"
            f" {_share(seconds, 0.5):.3f} s, 99 % within {_share(seconds, 0.99):.3f} s;"
            f" API calls: {made}"
        )


def _share(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
