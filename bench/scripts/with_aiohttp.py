"""asyncio, aiohttp and a semaphore."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from bench.scripts.calls import PATHS, Job, body, job, save


async def run(job: Job) -> None:
    """All items."""
    semaphore = asyncio.Semaphore(job.in_flight)
    headers = {"Authorization": "Bearer sk-bench"}
    async with aiohttp.ClientSession(job.url, headers=headers) as session:

        async def one(item: dict[str, Any]) -> Any:
            async with (
                semaphore,
                session.post(PATHS[job.kind], json=body(job.kind, item)) as response,
            ):
                response.raise_for_status()
                return await response.json()

        save(await asyncio.gather(*(one(item) for item in job.items)))


if __name__ == "__main__":
    asyncio.run(run(job()))
