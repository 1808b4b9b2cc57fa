"""Whether so many items failed that the whole job counts as failed. Pure.

Asked by workers as items fail, so that a hopeless run stops early, and once more at the end, where
nothing has been missed: rows that could not be read and the last failures included.
"""

from __future__ import annotations

from decimal import Decimal

from penstock.spec.running import FailurePolicy

REASON = "FailurePolicyExceeded"
"""Why such a run is Failed."""


def exceeded(policy: FailurePolicy, total: int, failed: int) -> str | None:
    """What is told when more items failed than the policy tolerates; None while it does not.

    total: all items of the run, those that were skipped included. failed: among them, bad rows
    included. Either bound is enough.
    """
    count, share = policy.tolerated_failure_count, policy.tolerated_failure_percentage
    items = f"{failed:,} item{' has' if failed == 1 else 's have'} failed"
    if count is not None and failed > count:
        return f"{items}, {count:,} {'is' if count == 1 else 'are'} tolerated"
    # As written, not as a float holds it: 0.57 % of 10,000 are 57.
    if share is not None and failed * 100 > total * Decimal(repr(share)):
        return f"{items} of {total:,}, {share:g}% are tolerated"
    return None
