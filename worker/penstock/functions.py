"""What functions may use: `from penstock import Context, Permanent, Throttled`.

Nothing here is needed: a plain `def f(item)` that returns something or raises works as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import httpx2
    import openai

T = TypeVar("T")


class Throttled(Exception):
    """The far side asks to slow down: the item is tried again later, at no cost of an attempt, and
    rate control hears of it. retry_after: seconds that it asked to wait."""

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Permanent(Exception):
    """The item fails at once, with this reason: another try would not help."""


class Context(Protocol):
    """What an `async def f(item, ctx)` is handed beside its item.

    http, openai: clients whose calls wait for the rate limit, teach it and are counted. id: the
    item's. attempt: 1 for the first. idempotency_key: the same text each time this item is tried.
    """

    @property
    def http(self) -> httpx2.AsyncClient: ...
    @property
    def openai(self) -> openai.AsyncOpenAI: ...
    @property
    def id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def idempotency_key(self) -> str: ...

    def process(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
        """Call a function of a module in a process of its own, beside the event loop."""
        ...

    async def read(self, path: str) -> bytes:
        """The bytes of a file: a path, or the address of an object in the job's object store."""
        ...
