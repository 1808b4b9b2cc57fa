"""Threads and the openai SDK as it comes: two retries of its own, what then fails is given up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import openai

from bench.live_peers.calls import KEY, Task, Until, body, say, task


def run(given: Task) -> None:
    """Until the time is up."""
    client = openai.OpenAI(base_url=f"{given.url}/v1", api_key=KEY)
    items = Until(given)

    def work() -> int:
        got = 0
        for item in items:
            try:
                answer = client.chat.completions.create(**body(item))
            except openai.OpenAIError:
                continue
            got += bool(answer.choices)
        return got

    with ThreadPoolExecutor(given.in_flight) as pool:
        threads = [pool.submit(work) for _ in range(given.in_flight)]
        got = sum(thread.result() for thread in threads)
    say(items.begun, got)


if __name__ == "__main__":
    run(task())
