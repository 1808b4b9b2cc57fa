"""Between plain iteration and asynchronous clients: who reads a server waits, and nobody else.

Sources are plain iterators, the clients of servers are asynchronous: `drawn` runs these in a loop
of their own, in a thread, as long as the iterator is used; who stops half way (a limit, an error)
closes the connection. `apart` keeps the waiting away from the loop of whoever plans.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def drawn(
    batches: AsyncGenerator[Sequence[T], None], *, ahead: bool = False
) -> Generator[T, None, None]:
    """The elements of all batches, in order. What reading raises comes out here.

    ahead: the next batch is asked for while one is used, so that two are held in memory.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="penstock-source", daemon=True)
    thread.start()

    async def following() -> Sequence[T] | None:
        return await anext(batches, None)

    def ask() -> Future[Sequence[T] | None]:
        return asyncio.run_coroutine_threadsafe(following(), loop)

    coming: Future[Sequence[T] | None] | None = None
    try:
        coming = ask()
        while (batch := coming.result()) is not None:
            if ahead:
                coming = ask()
            yield from batch
            if not ahead:
                coming = ask()
    finally:
        asyncio.run_coroutine_threadsafe(_close(batches), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _close(batches: AsyncGenerator[Sequence[T], None]) -> None:
    asked = asyncio.all_tasks() - {asyncio.current_task()}
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    await batches.aclose()


async def apart(read: Callable[[], T]) -> T:
    """What `read` returns, or raises, from a thread of its own. Who is cancelled does not wait for
    a server's answer: the thread is left to itself, and ends with the process at the latest."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if told.cancelled():
            return
        if error is not None:
            told.set_exception(error)
        else:
            told.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = read()
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name="penstock-read", daemon=True).start()
    return await told
