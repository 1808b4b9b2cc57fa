"""A thread pool and the openai SDK, as it comes: two retries, and what still fails stays empty."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import openai

from bench.scripts.calls import MODEL, RESPONSE_FORMAT, Job, job, messages, save


def run(job: Job) -> None:
    """All items."""
    client = openai.OpenAI(base_url=f"{job.url}/v1", api_key="sk-bench")

    def one(item: dict[str, Any]) -> Any:
        answer: Any = client.chat.completions.create(
            model=MODEL,
            messages=messages(item),
            response_format=RESPONSE_FORMAT,  # type: ignore[call-overload]
        )
        return json.loads(answer.choices[0].message.content)

    answers: list[Any] = [{} for _ in job.items]
    with ThreadPoolExecutor(max_workers=job.in_flight) as executor:
        futures = {executor.submit(one, item): place for place, item in enumerate(job.items)}
        for future in as_completed(futures):
            try:
                answers[futures[future]] = future.result()
            except openai.OpenAIError as error:
                print(f"product {futures[future]}: {error}")
    save(answers)


if __name__ == "__main__":
    run(job())
