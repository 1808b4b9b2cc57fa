"""All jobs at a glance, for `penstock status`: one line a job. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.local.figures import count, eta, part, rate, share
from penstock.store.progress import Progress

_HEADS = ("NAME", "PHASE", "PROGRESS", "SUCCEEDED", "SKIPPED", "FAILED", "RATE", "429", "ETA")
_LEFT = 2
"""The first columns hold words and stand to the left; the others hold numbers."""


def table_lines(jobs: Sequence[Progress]) -> list[str]:
    """A heading and a line a job, in columns as wide as they need to be."""
    rows = [_HEADS, *(_row(job) for job in jobs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    return [
        "  ".join(
            f"{cell:<{width}}" if column < _LEFT else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _row(job: Progress) -> tuple[str, ...]:
    running = job.phase == "Running"
    return (
        job.name,
        job.phase,
        f"{count(job.done)}/{count(job.total)} {part(job.done, job.total)}",
        count(job.succeeded),
        count(job.skipped),
        count(job.failed),
        f"{rate(job.items_per_second)}/s" if running else "-",
        share(job.throttled_share) if running else part(job.throttled, job.requests),
        eta(job.eta_seconds) if running and job.pending else "-",
    )
