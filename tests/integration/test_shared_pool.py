"""Two `penstock run` of one pool against one provider: its limit is halved between them, and the
one that goes on longer has all of it."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.integration.chaos_support import Place, eventually, provider
from tests.pool_shares import Two, bins, rate

RPM = 3_000
ITEMS = {"short": 550, "long": 1_500}
THROTTLED = 0.03
"""Share of refused calls, of so few: finding the limit out takes some twenty of them."""
SETTLED = 120
"""Calls of each after which they should have come to their halves: five seconds."""


@pytest.mark.slow
def test_two_runs_share_a_limit_and_the_last_one_has_it_all(tmp_path: Path) -> None:
    two = Two("short", "long", ITEMS)
    with provider(f"--rpm={RPM}", "--latency=200ms") as far_side, Place(tmp_path) as place:
        place.items(max(ITEMS.values()))
        commands = [
            place.run(place.job(far_side.url, name, **spec(far_side.url, name)), f"--limit={count}")
            for name, count in reversed(ITEMS.items())
        ]
        eventually(
            "all calls accepted, or the end",
            lambda: two.take(far_side.stats()) or not any(one.running for one in commands),
            within=100,
        )
        assert [command.ends() for command in commands] == [0, 0]
        stats = far_side.stats()
        rows = {name: place.rows(name) for name in ITEMS}

    for name, count in ITEMS.items():
        assert [row["_id"] for row in rows[name]] == [f"i{number}" for number in range(count)]
        assert {row["_status"] for row in rows[name]} == {"succeeded"}
    assert (stats["distinct"], stats["duplicates"]) == (sum(ITEMS.values()), 0)
    assert stats["refused"] <= THROTTLED * stats["requests"]

    together = two.together(SETTLED)
    share = rate(together, "short") / (rate(together, "short") + rate(together, "long"))
    assert 0.45 <= share <= 0.55
    alone = bins(two.alone(after=10), seconds=3)
    assert alone
    # Not each of them: a machine that is shared may stand still for a second or two.
    assert median(rate(stretch, "long") for stretch in alone) >= 0.9 * RPM / 60


def spec(url: str, model: str) -> dict[str, Any]:
    """A job of the pool that both share."""
    return {
        "processor": {
            "openai": {
                "operation": "chat",
                "baseURL": f"{url}/v1",
                "model": model,
                "messages": [{"role": "user", "content": "{{ item.text }}"}],
            }
        },
        "rateLimit": {"pool": "shared"},
    }
