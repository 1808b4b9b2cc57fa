"""Events on their way to an API server that takes its time: nobody waits for them, none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from penstock_operator import events
from penstock_operator.actions import Notice
from penstock_operator.events import Announcer
from penstock_operator.names import Owner
from tests.integration.kube_support import served_by

OWNER = Owner("job", "team", "uid-1")


class Server:
    """Takes Events, and answers once `open` is set."""

    def __init__(self) -> None:
        self.open, self.asked = asyncio.Event(), asyncio.Event()
        self.taken: list[str] = []

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.set()
        await self.open.wait()
        self.taken.append(body["reason"])
        return web.json_response(body, status=201)


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def announcer(server: Server) -> AsyncIterator[Announcer]:
    async with served_by([web.post("/api/v1/namespaces/team/events", server.take)]) as kube:
        yield Announcer(kube)


def notices(*reasons: str) -> list[Notice]:
    return [Notice("Normal", reason, "so") for reason in reasons]


async def test_what_waits_at_the_end_is_posted_then(server: Server, announcer: Announcer) -> None:
    keeping = asyncio.create_task(announcer.keep())
    announcer.announce(OWNER, notices("One", "Two"), 0.0)
    await asyncio.wait_for(server.asked.wait(), 10.0)
    announcer.announce(OWNER, notices("Three", "One"), 1.0)  # One was said a second ago
    keeping.cancel()
    server.open.set()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    # The first was cut off on its way, and may have arrived: by its name it is one all the same.
    assert server.taken[-3:] == ["One", "Two", "Three"]


async def test_a_server_that_does_not_answer_does_not_hold_up_the_end(
    server: Server, announcer: Announcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "FAREWELL", 0.05)
    announcer.announce(OWNER, notices("One"), 0.0)
    keeping = asyncio.create_task(announcer.keep())
    await asyncio.wait_for(server.asked.wait(), 10.0)
    keeping.cancel()
    await asyncio.wait([keeping], timeout=10.0)
    assert keeping.done()
    assert server.taken == []
    server.open.set()


async def test_only_so_many_wait(
    server: Server, announcer: Announcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST", 2)
    server.open.set()
    announcer.announce(OWNER, notices("One", "Two", "Three"), 0.0)
    await announcer.post()
    assert server.taken == ["Two", "Three"]
