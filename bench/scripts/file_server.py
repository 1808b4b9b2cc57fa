"""Serves the files of a folder over HTTP, each after a while, as a server far away does.

    python -m bench.scripts.file_server FOLDER SECONDS

prints its address first.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiohttp import web


async def main(folder: str, seconds: str) -> None:
    """Until it is ended."""
    files = contents(Path(folder))

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(float(seconds))
        content = files.get(request.path)
        return web.Response(body=content) if content else web.Response(status=404)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


def contents(folder: Path) -> dict[str, bytes]:
    """The files by the paths they are asked for."""
    return {f"/{path.name}": path.read_bytes() for path in folder.iterdir()}


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
