"""What the probes of the operator's pod ask, over HTTP, and nothing secret.

`/healthz`: the process answers. `/readyz`: it holds its Lease and knows the cluster; whether the
database is there is no matter of this pod, and stands in the status of the BatchJobs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

PORT = 8080


@asynccontextmanager
async def serving(port: int, ready: Callable[[], bool]) -> AsyncIterator[None]:
    """Answers probes within the block. Raises OSError when the port is taken."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        now = ready()
        return web.Response(text="ok\n" if now else "not yet\n", status=200 if now else 503)

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host=None, port=port).start()
        yield
    finally:
        await runner.cleanup()
