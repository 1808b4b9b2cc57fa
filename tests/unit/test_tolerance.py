"""When failed items fail the job: one table."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.spec.running import FailurePolicy
from penstock.spec.tolerance import exceeded

COUNT, SHARE = "toleratedFailureCount", "toleratedFailurePercentage"


@pytest.mark.parametrize(
    ("policy", "total", "failed", "message"),
    [
        ({}, 5, 5, None),
        ({COUNT: 0}, 5, 0, None),
        ({COUNT: 0}, 5, 1, "1 item has failed, 0 are tolerated"),
        ({COUNT: 1}, 5, 1, None),
        ({COUNT: 1}, 5000, 1200, "1,200 items have failed, 1 is tolerated"),
        ({SHARE: 0}, 5, 0, None),
        ({SHARE: 0}, 5, 1, "1 item has failed of 5, 0% are tolerated"),
        ({SHARE: 20}, 5, 1, None),
        ({SHARE: 20}, 5, 2, "2 items have failed of 5, 20% are tolerated"),
        ({SHARE: 12.5}, 7, 1, "1 item has failed of 7, 12.5% are tolerated"),
        ({SHARE: 100}, 5, 5, None),
        ({SHARE: 0.57}, 10_000, 57, None),  # 56.99… as a float
        ({SHARE: 0.57}, 10_000, 58, "58 items have failed of 10,000, 0.57% are tolerated"),
        ({COUNT: 9, SHARE: 10}, 20, 3, "3 items have failed of 20, 10% are tolerated"),
        ({COUNT: 2, SHARE: 50}, 20, 3, "3 items have failed, 2 are tolerated"),
        ({COUNT: 3, SHARE: 15}, 20, 3, None),
        ({COUNT: 0, SHARE: 0}, 0, 0, None),
    ],
)
def test_exceeded(policy: dict[str, Any], total: int, failed: int, message: str | None) -> None:
    assert exceeded(FailurePolicy.model_validate(policy), total, failed) == message
