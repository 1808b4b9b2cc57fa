"""asyncio, the openai SDK's AsyncOpenAI and a semaphore."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai

from bench.scripts.calls import MODEL, RESPONSE_FORMAT, Job, job, messages, save, text


async def run(job: Job) -> None:
    """All items."""
    semaphore = asyncio.Semaphore(job.in_flight)
    client = openai.AsyncOpenAI(base_url=f"{job.url}/v1", api_key="sk-bench")

    async def chat(item: dict[str, Any]) -> Any:
        async with semaphore:
            answer: Any = await client.chat.completions.create(
                model=MODEL,
                messages=messages(item),
                response_format=RESPONSE_FORMAT,  # type: ignore[call-overload]
            )
            return json.loads(answer.choices[0].message.content)

    async def embed(item: dict[str, Any]) -> Any:
        async with semaphore:
            answer = await client.embeddings.create(
                model=MODEL, input=text(item), encoding_format="float"
            )
            return answer.data[0].embedding

    one = chat if job.kind == "chat" else embed
    save(await asyncio.gather(*(one(item) for item in job.items)))


if __name__ == "__main__":
    asyncio.run(run(job()))
