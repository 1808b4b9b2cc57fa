"""Progress as plain lines, for pipes, log collectors and CI: one line every few seconds. Pure."""

from __future__ import annotations

from penstock.local.figures import Glyphs, count, eta, part, rate, share
from penstock.store.progress import Progress

FIRST_LINE = 2.0
"""Seconds until the first line: a short job stays silent, a longer one says soon that it lives."""

LINE_INTERVAL = 5.0


class Pace:
    """Says when the next line is due. Times are seconds of any steady clock."""

    def __init__(self, now: float) -> None:
        self._next = now + FIRST_LINE

    def due(self, now: float) -> bool:
        """Whether a line should be written now; the one after it is due LINE_INTERVAL later."""
        if now < self._next:
            return False
        self._next = now + LINE_INTERVAL
        return True


def counts(progress: Progress, glyphs: Glyphs) -> str:
    """`✓48 ⊘0 ✗2`."""
    return " ".join(
        (
            f"{glyphs.succeeded}{count(progress.succeeded)}",
            f"{glyphs.skipped}{count(progress.skipped)}",
            f"{glyphs.failed}{count(progress.failed)}",
        )
    )


def speed(progress: Progress) -> list[str]:
    """How it goes, in parts: items a second, the share of 429s, calls in flight."""
    return [
        f"{rate(progress.items_per_second)} items/s",
        f"429 {share(progress.throttled_share)}",
        f"in flight {count(progress.in_flight)}/{count(progress.concurrency)}",
    ]


def progress_line(progress: Progress, glyphs: Glyphs) -> str:
    """Everything about a run under way, in one line."""
    done = f"{count(progress.done)}/{count(progress.total)}"
    head = f"[{progress.name}] {done} ({part(progress.done, progress.total)})"
    if progress.phase != "Running":
        return f"{head} {counts(progress, glyphs)} | {progress.phase.lower()}"
    left = f"ETA {eta(progress.eta_seconds)}"
    parts = [f"{head} {counts(progress, glyphs)}", *speed(progress), left]
    if progress.held_back:
        parts.append(progress.held_back)
    return " | ".join(parts)


def planning_line(items: int) -> str:
    """While the source is read."""
    return f"reading the source: {count(items)} items so far"
