"""The status as the API server takes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from penstock_operator.crd.status import BatchJobStatus, Condition, FailureCount, ItemCounts

NOON = datetime(2025, 6, 1, 14, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))


def test_names_are_those_of_the_manifest_and_what_is_unknown_is_left_out() -> None:
    status = BatchJobStatus(
        phase="Running",
        observed_generation=3,
        start_time=NOON,
        item_counts=ItemCounts(total=5, succeeded=2),
        failures=[FailureCount(reason="HTTP 400", count=1)],
        conditions=[
            Condition(
                type="Planned",
                status="True",
                reason="Planned",
                message="5 items",
                last_transition_time=NOON,
            )
        ],
    )
    assert status.as_json() == {
        "observedGeneration": 3,
        "phase": "Running",
        "startTime": "2025-06-01T12:00:00Z",
        "itemCounts": {
            **{"total": 5, "skipped": 0, "pending": 0, "running": 0},
            **{"succeeded": 2, "failed": 0},
        },
        "failures": [{"reason": "HTTP 400", "count": 1}],
        "conditions": [
            {
                "type": "Planned",
                "status": "True",
                "reason": "Planned",
                "message": "5 items",
                "lastTransitionTime": "2025-06-01T12:00:00Z",
            }
        ],
    }


def test_nothing_known_is_nothing_told() -> None:
    assert BatchJobStatus().as_json() == {}


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        BatchJobStatus(start_time=NOON.replace(tzinfo=None))


def test_a_reason_is_one_word() -> None:
    with pytest.raises(ValidationError, match="reason"):
        Condition(
            type="Failed",
            status="True",
            reason="it broke",
            message="",
            last_transition_time=datetime.now(UTC),
        )


def test_there_are_at_most_ten_reasons() -> None:
    with pytest.raises(ValidationError, match="failures"):
        BatchJobStatus(failures=[FailureCount(reason=str(n), count=1) for n in range(11)])
