"""What a provider counted over time: goodput, share of 429s, and how fast a rate came back.

Pure but for `Watcher`, which asks a provider five times a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

INTERVAL = 0.2
Counter = Literal["accepted", "refused", "served"]


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters at a time, in seconds of a monotonic clock."""

    at: float
    accepted: int
    refused: int
    served: int


def grown(samples: Sequence[Sample], counter: Counter, start: float, end: float) -> float:
    """How much a counter grew from one time to another; in between samples a straight line."""
    return _value(samples, counter, end) - _value(samples, counter, start)


def rate(samples: Sequence[Sample], counter: Counter, start: float, end: float) -> float:
    """Its growth a second."""
    return grown(samples, counter, start, end) / (end - start)


def busy(samples: Sequence[Sample], counter: Counter) -> tuple[float, float]:
    """When it began and ended to grow; twice the same time if it never did."""
    changes = [
        (before.at, after.at)
        for before, after in pairwise(samples)
        if getattr(after, counter) > getattr(before, counter)
    ]
    return (changes[0][0], changes[-1][1]) if changes else (0.0, 0.0)


def refused_share(samples: Sequence[Sample], start: float, end: float) -> float:
    """429s of all requests in that time."""
    accepted, refused = (grown(samples, name, start, end) for name in ("accepted", "refused"))
    return refused / (accepted + refused) if accepted + refused else 0.0


def bins(samples: Sequence[Sample], counter: Counter, start: float, end: float) -> list[float]:
    """Its growth in each whole second from `start` on."""
    return [
        grown(samples, counter, start + second, start + second + 1)
        for second in range(int(end - start))
    ]


def back_after(
    samples: Sequence[Sample], wanted: float, since: float, end: float, over: float = 5.0
) -> float | None:
    """Seconds after `since` from which on `over` seconds together were accepted at that rate.

    None when that did not happen before `end`.
    """
    times = [one.at for one in samples if since <= one.at <= end - over]
    for at in (since, *times):
        if rate(samples, "accepted", at, at + over) >= wanted:
            return at - since
    return None


def _value(samples: Sequence[Sample], counter: Counter, at: float) -> float:
    before = samples[0]
    for after in samples:
        if after.at >= at:
            if after.at == before.at:
                return float(getattr(after, counter))
            part = max(0.0, (at - before.at) / (after.at - before.at))
            low, high = getattr(before, counter), getattr(after, counter)
            return float(low + (high - low) * part)
        before = after
    return float(getattr(before, counter))


class Watcher:
    """`with Watcher(provider.stats) as seen:` gathers samples for as long as the block runs."""

    def __init__(self, stats: Callable[[], dict[str, Any]]) -> None:
        self.samples: list[Sample] = []
        self._stats = stats
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watcher:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._over.wait(INTERVAL):
            self._sample()

    def _sample(self) -> None:
        counted = self._stats()
        numbers = (counted["accepted"], counted["refused"], counted["served"])
        self.samples.append(Sample(time.monotonic(), *numbers))
