"""LiteLLM's Router, told the limit, with the strategy that heeds limits and its own retries."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm

from bench.live_peers.calls import KEY, Task, Until, body, say, task


async def run(given: Task) -> None:
    """Until the time is up."""
    first = body(given.items[0])["model"]
    told: dict[str, Any] = {"rpm": given.rpm} if given.rpm else {}
    call = {"model": f"openai/{first}", "api_base": f"{given.url}/v1", "api_key": KEY, **told}
    router = litellm.Router(
        model_list=[{"model_name": first, "litellm_params": call}],
        routing_strategy="usage-based-routing-v2",
    )
    items = Until(given)

    async def work() -> int:
        got = 0
        for item in items:
            try:
                answer = await router.acompletion(**body(item))
            except Exception:  # of many kinds: whatever it gives up on is lost
                continue
            got += bool(answer.choices)
        return got

    found = await asyncio.gather(*(work() for _ in range(given.in_flight)))
    say(items.begun, sum(found))


if __name__ == "__main__":
    asyncio.run(run(task()))
