"""What the scripts of the peers share: what they are asked to do, and how they say how it went."""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.scripts.calls import MODEL, messages

KEY = "sk-bench"


@dataclass(frozen=True, slots=True)
class Task:
    """in_flight: calls at once. rpm: the limit, for who can be told; 0 where there is none."""

    url: str
    items: list[dict[str, Any]]
    in_flight: int
    seconds: float
    rpm: int


def task() -> Task:
    """The command line's."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("items", type=Path)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rpm", type=int, default=0)
    given = parser.parse_args()
    items = [json.loads(line) for line in given.items.read_text().splitlines()]
    return Task(given.url, items, given.in_flight, given.seconds, given.rpm)


def body(item: dict[str, Any]) -> dict[str, Any]:
    """A chat about an item."""
    return {"model": MODEL, "messages": messages(item)}


class Until:
    """The items, one after the other, until the time is up; several threads may take from it."""

    def __init__(self, given: Task) -> None:
        self._items = iter(given.items)
        self._end = time.monotonic() + given.seconds
        self._lock = threading.Lock()
        self.begun = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        with self._lock:
            if time.monotonic() > self._end:
                raise StopIteration
            item = next(self._items)
            self.begun += 1
            return item


def say(begun: int, got: int) -> None:
    """The last line of output: items that were begun, items with a result."""
    print(json.dumps({"begun": begun, "got": got}))
