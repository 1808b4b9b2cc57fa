"""A client of the Kubernetes API whose server is a few routes on this machine: for answers that a
real server gives only in trouble."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiohttp import web
from kubernetes.aio.client import Configuration

from penstock_operator.kube import Kube


@asynccontextmanager
async def served_by(routes: Iterable[web.RouteDef]) -> AsyncIterator[Kube]:
    """A client of a server with these routes, for as long as the block runs."""
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    config: Configuration = type.__call__(Configuration)
    config.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    kube = Kube(config)
    try:
        yield kube
    finally:
        await kube.close()
        await runner.cleanup()
