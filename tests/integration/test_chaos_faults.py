"""A bad day of the provider: exactly the items it will never take fail, all others succeed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.chaos_support import Place, provider

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 1_000
BAD_DAY = (
    *("--error-share", "0.05", "--drop-share", "0.03"),
    *("--garbage-share", "0.02", "--hang-share", "0.005"),
)
# One call in ten fails by chance. Of 1,000 items one may be hit five times in a row, hardly ten.
RETRY = {"requestTimeout": "2s", "maxAttempts": 10}
REASON = "HTTP 400"


def poisoned(number: int) -> bool:
    """3 % of the items, some of them neighbours."""
    return number % 100 in (7, 8, 61)


@pytest.mark.parametrize("batch", [1, 10])
def test_exactly_the_poisoned_fail(place: Place, batch: int) -> None:
    place.items(COUNT, poisoned)
    with provider("--latency", "20ms", *BAD_DAY) as far_side:
        http: dict[str, Any] = {"url": f"{far_side.url}/chaos"}
        if batch > 1:
            http |= {"itemsBody": {"items": "{{ items }}"}, "responsePath": "results"}
            http["idPath"] = "id"
        manifest = place.job(
            far_side.url,
            processor={"http": http},
            batching={"maxItemsPerRequest": batch},
            retry=RETRY,
            scaling={"concurrency": {"min": 16, "max": 16}},
        )
        command = place.run(manifest, "--json")
        code = command.ends()
        stats = far_side.stats()
    answer = json.loads(command.output.splitlines()[-1])
    print(f"{batch} a call: {answer}\n{stats['faults']}")
    assert code == 3, command.output
    rows = place.rows()
    expected = ["failed" if poisoned(number) else "succeeded" for number in range(COUNT)]
    assert [row["_position"] for row in rows] == list(range(COUNT))
    assert [row["_status"] for row in rows] == expected
    failed = [row for row in rows if row["_status"] == "failed"]
    assert all(row["_error"].startswith(REASON) for row in failed)
    assert all(row["text"].startswith("POISON") for row in failed)
    assert (answer["succeeded"], answer["failed"]) == (COUNT - len(failed), len(failed))
    # The day was as bad as it was meant to be.
    assert all(stats["faults"][fault] > 0 for fault in ("error", "dropped", "garbage", "poison"))
