"""The operator's Lease when the API server takes its time: nobody acts on one that may be over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from penstock_operator import lease
from penstock_operator.kube import Kube
from penstock_operator.lease import NAME, Lease
from tests.integration.embedded_support import until
from tests.integration.kube_support import served_by

PATH = "/apis/coordination.k8s.io/v1/namespaces/team/leases"
DEADLINE = 2.0


class Slow:
    """Makes the Lease at once and answers late; renews none."""

    def __init__(self) -> None:
        self.made = 0.0
        self.over = asyncio.Event()

    async def look(self, _: web.Request) -> web.Response:
        missing = {"kind": "Status", "reason": "NotFound", "details": {"name": NAME}}
        return web.json_response(missing, status=404)

    async def make(self, request: web.Request) -> web.Response:
        self.made = asyncio.get_running_loop().time()
        body = await request.json()
        await asyncio.sleep(0.8 * DEADLINE)
        body["metadata"]["resourceVersion"] = "1"
        return web.json_response(body, status=201)

    async def renew(self, _: web.Request) -> web.Response:
        await self.over.wait()
        return web.Response(status=503)


@pytest.fixture
async def server() -> Slow:
    return Slow()


@pytest.fixture
async def kube(server: Slow) -> AsyncIterator[Kube]:
    routes = [
        web.get(f"{PATH}/{NAME}", server.look),
        web.post(PATH, server.make),
        web.put(f"{PATH}/{NAME}", server.renew),
    ]
    async with served_by(routes) as client:
        yield client
        server.over.set()


async def test_a_renewal_without_an_answer_ends_it_in_time(
    server: Slow, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another may begin so and so long after the Lease was written, however late that was known."""
    monkeypatch.setattr(lease, "DEADLINE", DEADLINE)
    monkeypatch.setattr(lease, "RENEW", 0.1)
    mine = Lease(kube, "team", "one")
    keeping = asyncio.create_task(mine.keep())
    async with asyncio.timeout(30):
        await mine.held.wait()
    await until(lambda: not mine.held.is_set())
    ended = asyncio.get_running_loop().time()
    keeping.cancel()
    await asyncio.wait([keeping])
    assert 0.8 * DEADLINE < ended - server.made < 1.5 * DEADLINE
