"""The item that a coroutine works on: its deadline, its usage, and how its calls are told apart."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Coroutine, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from penstock.work.types import Usage


@dataclass(slots=True)
class Current:
    """One attempt at an item. deadline: of the whole function; it stands still while a call waits
    for the rate limit, or a function for a free process, which is not the function's doing. over:
    the function has come back; what it has left behind makes no more calls."""

    idempotency_key: str
    deadline: asyncio.Timeout
    usage: Usage = field(default_factory=Usage)
    over: bool = False
    _waiting: int = 0
    _since: float = 0.0
    _until: float | None = None

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent here does not count against the deadline. Also entered by tasks that the
        function has left behind, when there is no deadline any more."""
        loop = asyncio.get_running_loop()
        if not self._waiting and not self.over:
            self._since, self._until = loop.time(), self.deadline.when()
            self.deadline.reschedule(None)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            lasts = not (self.over or self.deadline.expired())
            if not self._waiting and self._until is not None and lasts:
                self.deadline.reschedule(self._until + loop.time() - self._since)

    def key(self, method: str, url: str, body: bytes) -> str:
        """For one of the item's calls, the same each time the item is tried."""
        said = b"\0".join((method.encode(), url.encode(), body))
        digest = hashlib.blake2b(said, digest_size=8).hexdigest()
        return f"{self.idempotency_key[:230]}/{digest}"

    def used(self, usage: Usage) -> None:
        """A call took so many tokens."""
        self.usage = Usage(
            self.usage.prompt_tokens + usage.prompt_tokens,
            self.usage.completion_tokens + usage.completion_tokens,
        )


CURRENT: ContextVar[Current | None] = ContextVar("penstock_item", default=None)
INSIDE: ContextVar[bool] = ContextVar("penstock_inside", default=False)
"""Whether this is the user's code: true in the task of an item's attempt and in what it starts."""


def contain_subtasks() -> None:
    """Let `sys.exit` in a task that a function starts be an error like any other: asyncio hands
    it on out of the event loop, and the worker would end as if all were done."""
    asyncio.get_running_loop().set_task_factory(_task)


def _task(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Future[Any]:
    inside = INSIDE.get() and asyncio.iscoroutine(work)
    return asyncio.Task(_contained(work) if inside else work, loop=loop, **more)


async def _contained(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"{type(error).__name__} in a task: {error}") from error
