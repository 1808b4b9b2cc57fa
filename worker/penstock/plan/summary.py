"""What plan found out before anything is called: how much there is to do, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """Counts of items, by what the result set already knows of them.

    new: never succeeded or failed before. changed: succeeded before, with other content or another
    processor. failed_before: runs again. unchanged: succeeded before, or in the table already that
    results go to; will be skipped. bad: records that cannot be read, kept in their place as failed.
    resumed: an interrupted run goes on. run: its number, counted from 1 within the job.
    """

    total: int
    new: int
    changed: int
    failed_before: int
    unchanged: int
    bad: int
    resumed: bool
    run: int
