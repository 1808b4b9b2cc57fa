"""What the probes of the operator's pod and Prometheus ask, over HTTP, and nothing secret.

`/healthz`: the process answers. `/readyz`: it holds its Lease and knows the cluster; whether the
database is there is no matter of this pod, and stands in the status of the BatchJobs. `/metrics`:
metrics.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from penstock_operator.metrics import CONTENT_TYPE

PORT = 8080


@asynccontextmanager
async def serving(
    port: int, ready: Callable[[], bool], metrics: Callable[[], bytes]
) -> AsyncIterator[None]:
    """Answers within the block. Raises OSError when the port is taken."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        now = ready()
        return web.Response(text="ok\n" if now else "not yet\n", status=200 if now else 503)

    async def told(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", told)]
    )
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host=None, port=port).start()
        yield
    finally:
        await runner.cleanup()
