"""How many items one call takes on: many quick ones, a single slow one. Pure.

A hand-over (a permit, a task, a message to another process) costs some 100 µs, which is nothing to
an item that takes a second and everything to one that takes 10 µs.
"""

from __future__ import annotations

GROWTH = 4
WEIGHT = 0.3
"""Of the newest call in what an item is thought to take."""


class Chunk:
    """The size of the next call, so that one lasts about `target` seconds; from 1 to `most`."""

    def __init__(self, target: float, most: int) -> None:
        self.size = 1
        self._target, self._most = target, most
        self._seconds: float | None = None

    def ended(self, items: int, seconds: float) -> None:
        """A call of so many items took so long."""
        each = max(seconds / items, 1e-7)
        known = each if self._seconds is None else self._seconds
        # Slower at once, faster by and by: a call that is too long holds others up.
        self._seconds = max(each, known + WEIGHT * (each - known)) if self.size > 1 else each
        self.size = max(1, min(int(self._target / self._seconds), GROWTH * self.size, self._most))

    def singly(self) -> None:
        """From now on one item a call: each is a request that a far side counts."""
        self.size = self._most = 1
