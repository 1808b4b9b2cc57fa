"""The life of a simulated provider: from the first call it takes until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from penstock import jsons
from penstock.errors import InputError
from penstock.simulate.options import SimulatorConfig


async def serve(
    config: SimulatorConfig,
    host: str = "127.0.0.1",
    port: int = 8000,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then print what `GET /stats` would say, as one line of JSON.

    ready: called with the base address as soon as calls are taken. Raises InputError when the
    address cannot be had.
    """
    from penstock.simulate.server import Simulator, listening

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    simulator = Simulator(config)
    try:
        async with listening(simulator, host, port) as address:
            if ready is not None:
                ready(address)
            await stop.wait()
    except OSError as error:
        where = f"--host {host} --port {port}"
        raise InputError.at(where, f"cannot listen there: {error.strerror or error}") from error
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    print(jsons.dumps(simulator.report()), flush=True)
