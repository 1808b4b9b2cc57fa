"""Items that wait for their call: fresh ones in order, and those to try again at their time.

Waiting here holds no permit, so an item that backs off never keeps another from going out. Pure.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence

from penstock.work.batch import Former
from penstock.work.types import WorkItem


class Backlog:
    """Fresh items, and groups to try again. `former` makes calls of several items where allowed."""

    def __init__(self, former: Former) -> None:
        self._former = former
        self._fresh: deque[WorkItem] = deque()
        self._again: list[tuple[float, int, list[WorkItem]]] = []
        self._sequence = 0
        self._waiting = 0
        self._popped = 0

    def __len__(self) -> int:
        return len(self._fresh) + self._waiting + self._popped

    @property
    def waiting(self) -> int:
        """Items that wait to be tried again."""
        return self._waiting

    @property
    def fresh(self) -> int:
        """Items that have not been tried yet."""
        return len(self._fresh)

    def add(self, items: Iterable[WorkItem]) -> None:
        """Fresh items, in input order."""
        self._fresh.extend(items)

    def again(self, items: Sequence[WorkItem], at: float) -> None:
        """Try these together again, not before `at`."""
        self._sequence += 1
        self._waiting += len(items)
        heapq.heappush(self._again, (at, self._sequence, list(items)))

    def pop(self, now: float) -> list[WorkItem] | None:
        """The items of the next call: what is due first, then fresh ones. None: nothing yet.

        They count as here until the next call of `pop`: by then the call has started.
        """
        self._popped = 0
        group: list[WorkItem] | None = None
        if self._again and self._again[0][0] <= now:
            group = heapq.heappop(self._again)[2]
            self._waiting -= len(group)
        elif self._fresh:
            group = self._former.take(self._fresh)
        self._popped = len(group or ())
        return group

    def next_due(self) -> float | None:
        """When the next group may be tried again; None when none waits."""
        return self._again[0][0] if self._again else None

    def drop_shard(self, shard: int) -> None:
        """Forget the items of a shard that has a newer owner."""
        self._fresh = deque(item for item in self._fresh if item.shard != shard)
        kept = []
        for at, sequence, group in self._again:
            left = [item for item in group if item.shard != shard]
            if left:
                kept.append((at, sequence, left))
        heapq.heapify(kept)
        self._again = kept
        self._waiting = sum(len(group) for _, _, group in kept)
