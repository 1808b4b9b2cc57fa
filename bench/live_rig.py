"""What the measurements in real time share: a job of chats, and `penstock run` of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.rig import write_items
from bench.scripts.calls import MODEL, SYSTEM
from tests.integration.chaos_support import Command, Place, eventually

RPM, LATENCY, SIGMA = 3_000, 0.4, 0.5
ITEMS = 5_000
"""100 seconds of RPM."""
LONGEST = 400.0
"""Seconds after which a job of about a hundred counts as stuck."""
NAME = "live"


@dataclass(frozen=True, slots=True)
class Run:
    """Items that were begun, and those with a result. ended: False when it was stopped for length.

    got is None where only the provider can tell.
    """

    begun: int
    got: int | None
    ended: bool = True


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """A folder with a database of its own, which has been started before, as users' have."""
    os.environ["OPENAI_API_KEY"] = "sk-bench"  # commands inherit it
    with Place(folder) as one:
        one.start("status", "nothing").ends()
        yield one
    eventually("the database has stopped", one.server_down)


def start(one: Place, url: str, count: int, workers: int, **spec: Any) -> Command:
    """`penstock run` of so many chats, as the scripts of the others make them."""
    write_items(one.path / "items.jsonl", count)
    text = "Title: {{ item.title }}\nDescription: {{ item.description }}"
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    manifest = one.job(
        url,
        NAME,
        source={"file": {"path": "items.jsonl"}, "idField": "sku"},
        processor={"openai": {"baseURL": f"{url}/v1", "model": MODEL, "messages": messages}},
        **spec,
    )
    return one.run(manifest, "--workers", f"{workers}")


def results(one: Place) -> int:
    """Items that were exported with a result."""
    return sum(row["_status"] == "succeeded" for row in one.rows(NAME))


def penstock(folder: Path, url: str, count: int, workers: int, **spec: Any) -> Run:
    """The whole job."""
    with place(folder) as one:
        command = start(one, url, count, workers, **spec)
        if command.lives_for(LONGEST):
            return Run(count, None, ended=False)
        code = command.ends()
        if code not in (0, 3):
            raise RuntimeError(f"penstock run ended with code {code}:\n{command.output[-3000:]}")
        return Run(count, results(one))


def load() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]
