"""What an `async def f(item, ctx)` gets: `penstock.Context`, as a worker provides it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from penstock.rate.bounds import Outcome
from penstock.work.functions.current import Current
from penstock.work.functions.pool import Pool
from penstock.work.gate import Gate

if TYPE_CHECKING:
    import httpx2
    import openai

T = TypeVar("T")
CONNECT = 10.0
"""Seconds for a connection to come about; a server that answers slowly still does that quickly."""


class Services:
    """What all items of a worker share; each is made when it is first asked for.

    timeout: seconds a request may take. read: for `ctx.read`. pool: makes the processes for
    `ctx.process`.
    """

    def __init__(
        self,
        gate: Gate,
        on_call: Callable[[Outcome, float], None],
        *,
        connections: int,
        timeout: float,
        read: Callable[[str], Awaitable[bytes]],
        pool: Callable[[], Pool],
    ) -> None:
        self._gate, self._on_call = gate, on_call
        self._connections, self._timeout = connections, timeout
        self._new_pool = pool
        self._pool: Pool | None = None
        self._http: httpx2.AsyncClient | None = None
        self._openai: openai.AsyncOpenAI | None = None
        self.read = read

    @property
    def http(self) -> httpx2.AsyncClient:
        """The client that all items use."""
        if self._http is None:
            import httpx2

            from penstock.work.functions.gated import GatedTransport

            transport = GatedTransport(self._gate, self._connections, self._on_call)
            connect = min(CONNECT, self._timeout)
            timeout = httpx2.Timeout(self._timeout, connect=connect, pool=None)
            self._http = httpx2.AsyncClient(transport=transport, timeout=timeout)
        return self._http

    @property
    def openai(self) -> openai.AsyncOpenAI:
        """On top of it. The key and the address come from OPENAI_API_KEY and OPENAI_BASE_URL; it
        tries nothing again by itself, which is what the item's retry is for."""
        if self._openai is None:
            import openai

            self._openai = openai.AsyncOpenAI(
                http_client=self.http,  # type: ignore[arg-type, unused-ignore]
                max_retries=0,
                timeout=self._timeout,
            )
        return self._openai

    @property
    def pool(self) -> Pool:
        """The processes; they start when there is work for them."""
        if self._pool is None:
            self._pool = self._new_pool()
        return self._pool

    async def aclose(self) -> None:
        """Close the connections, end the processes."""
        if self._pool is not None:
            await self._pool.close()
        if self._http is not None:
            await self._http.aclose()


def import_clients(function: Callable[..., Any]) -> None:
    """Import what `ctx.http` and `ctx.openai` need, as far as the function names them: on the event
    loop, with the first item, half a second of it would hold up all the others."""
    names = getattr(inspect.unwrap(function), "__code__", None)
    for name in set(names.co_names if names is not None else ()) & {"http", "openai"}:
        importlib.import_module("penstock.work.functions.gated")
        if name == "openai":
            importlib.import_module(name)


class ItemContext:
    """The context of one attempt at one item."""

    __slots__ = ("_current", "_services", "attempt", "id")

    def __init__(self, services: Services, item_id: str, attempt: int, current: Current) -> None:
        self._services, self._current = services, current
        self.id, self.attempt = item_id, attempt

    @property
    def idempotency_key(self) -> str:
        """See `penstock.Context`."""
        return self._current.idempotency_key

    @property
    def http(self) -> httpx2.AsyncClient:
        """See `penstock.Context`."""
        return self._services.http

    @property
    def openai(self) -> openai.AsyncOpenAI:
        """See `penstock.Context`."""
        return self._services.openai

    def process(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
        """See `penstock.Context`."""
        return self._services.pool.call(function, args, kwargs, self._current.waiting)

    async def read(self, path: str) -> bytes:
        """See `penstock.Context`."""
        return await self._services.read(path)
