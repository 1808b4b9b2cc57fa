"""Documents fetched with asyncio and httpx, and parsed where they arrive: on the event loop.

python -m bench.scripts.convert_on_loop SERVER ITEMS IN_FLIGHT FOLDER
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import httpx

from bench.function_work import parse
from bench.scripts.calls import items


async def main(server: str, path: str, in_flight: str, folder: str) -> None:
    """All items."""
    semaphore = asyncio.Semaphore(int(in_flight))
    limits = httpx.Limits(max_connections=int(in_flight))
    async with httpx.AsyncClient(base_url=server, limits=limits, timeout=60) as client:

        async def one(item: dict[str, Any]) -> None:
            async with semaphore:
                answer = await client.get(item["name"])
                answer.raise_for_status()
                store(Path(folder) / f"{item['n']}.txt", parse(answer.content))

        await asyncio.gather(*(one(item) for item in items(path)))


def store(path: Path, text: str) -> None:
    """A file of a few kilobytes."""
    path.write_text(text)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
