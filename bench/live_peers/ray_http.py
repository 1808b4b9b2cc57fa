"""Ray Data's HTTP stage, with as many workers as are asked for, and retries, which it has not."""

from __future__ import annotations

import time

import ray
from ray.data.llm import HttpRequestProcessorConfig, build_processor

from bench.live_peers.calls import KEY, Task, body, say, task

RETRIES = 5
"""Without any, one 429 ends the whole pipeline."""


def run(given: Task) -> None:
    """Until the time is up; what is still in the pipeline then is neither got nor lost."""
    ray.init(num_cpus=given.in_flight + 2, include_dashboard=False, log_to_driver=False)
    stage = HttpRequestProcessorConfig(
        url=f"{given.url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {KEY}"},
        concurrency=given.in_flight,
        batch_size=16,
        max_retries=RETRIES,
    )
    processor = build_processor(
        stage,
        preprocess=lambda row: {"payload": body(row)},
        postprocess=lambda row: {"choices": len(row["http_response"]["choices"])},
    )
    end = time.monotonic() + given.seconds
    got = 0
    for row in processor(ray.data.from_items(given.items)).iter_rows():
        got += bool(row["choices"])
        if time.monotonic() > end:
            break
    say(got, got)


if __name__ == "__main__":
    run(task())
