"""The embedding generator: movies without a vector in the table, so many at once, saved at the end.

python -m bench.scripts.with_table SERVER MOVIES IN_FLIGHT DATABASE
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import asyncpg
import httpx

from bench.scripts.calls import PATHS, body, items

SAVE = """
INSERT INTO movie (id, title, embedding) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET embedding = EXCLUDED.embedding
"""


async def main(server: str, movies: str, in_flight: str, database: str) -> None:
    """All movies that need it."""
    connection = await asyncpg.connect(database)
    rows = await connection.fetch("SELECT id FROM movie WHERE embedding IS NOT NULL")
    there = {row["id"] for row in rows}
    todo = [movie for movie in items(movies) if movie["id"] not in there]
    semaphore = asyncio.Semaphore(int(in_flight))
    async with httpx.AsyncClient(base_url=server, timeout=60) as client:

        async def one(movie: dict[str, Any]) -> tuple[str, str, str]:
            async with semaphore:
                answer = await client.post(PATHS["ollama"], json=body("ollama", movie))
                answer.raise_for_status()
                vector = answer.json()["embeddings"][0]
                return movie["id"], movie["title"], json.dumps(vector)

        done = await asyncio.gather(*(one(movie) for movie in todo))
    await connection.executemany(SAVE, done)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
