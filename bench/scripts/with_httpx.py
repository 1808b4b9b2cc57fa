"""asyncio, httpx and a semaphore."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from bench.scripts.calls import PATHS, Job, body, job, save


async def run(job: Job) -> None:
    """All items."""
    semaphore = asyncio.Semaphore(job.in_flight)
    limits = httpx.Limits(max_connections=job.in_flight, max_keepalive_connections=job.in_flight)
    headers = {"Authorization": "Bearer sk-bench"}
    async with httpx.AsyncClient(
        base_url=job.url, headers=headers, limits=limits, timeout=60
    ) as client:

        async def one(item: dict[str, Any]) -> Any:
            async with semaphore:
                response = await client.post(PATHS[job.kind], json=body(job.kind, item))
                response.raise_for_status()
                return response.json()

        save(await asyncio.gather(*(one(item) for item in job.items)))


if __name__ == "__main__":
    asyncio.run(run(job()))
