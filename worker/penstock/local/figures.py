"""How numbers are written for people: counts, durations, rates, shares. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The signs that a terminal may not know; `glyphs_for` picks the ones it does."""

    succeeded: str = "✓"
    skipped: str = "⊘"
    failed: str = "✗"
    rule: str = "─"
    dot: str = "·"
    more: str = "…"


UNICODE = Glyphs()
ASCII = Glyphs(succeeded="ok", skipped="skip", failed="fail", rule="-", dot="|", more="...")


def glyphs_for(encoding: str | None) -> Glyphs:
    """The signs that can be written in this encoding; ASCII ones when it is not known."""
    signs = "".join((UNICODE.succeeded, UNICODE.skipped, UNICODE.failed, UNICODE.rule))
    try:
        (signs + UNICODE.dot + UNICODE.more).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def count(number: int) -> str:
    """`26,562`."""
    return f"{number:,}"


def items(number: int) -> str:
    """`1 item`, `201 items`."""
    return f"{number:,} item{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """`0.4s`, `45s`, `2m05s`, `1h02m`, `2d03h`: two units at most, tenths below ten seconds."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    minutes = whole // 60
    if minutes < 24 * 60:
        return f"{minutes // 60}h{minutes % 60:02d}m"
    hours = minutes // 60
    return f"{hours // 24:,}d{hours % 24:02d}h"


def eta(seconds: float | None) -> str:
    """A duration to come, in whole seconds: `45s`; `?` when nothing can be said yet."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    return f"{math.ceil(max(0.0, seconds))}s" if seconds < 9.95 else duration(seconds)


def rate(per_second: float) -> str:
    """About three digits: `0.25`, `3.40`, `45.2`, `1,520`."""
    if per_second < 9.995:
        return f"{per_second:.2f}"
    return f"{per_second:.1f}" if per_second < 99.95 else f"{per_second:,.0f}"


def share(fraction: float) -> str:
    """`24.9%` of a fraction of 1. Only all is 100.0%, and only nothing is 0.0%."""
    if fraction <= 0:
        return "0.0%"
    if fraction >= 1:
        return "100.0%"
    return f"{min(99.9, max(0.1, fraction * 100)):.1f}%"


def part(some: int, total: int) -> str:
    """The share of `some` in `total`; of nothing, nothing."""
    return share(some / total if total else 0.0)


def cost(amount: float) -> str:
    """In the currency of `spec.price`, which nobody names: `0.1032`, `12.35`."""
    return f"{amount:.4f}" if amount < 1 else f"{amount:,.2f}"


def shortened(text: str, width: int, glyphs: Glyphs) -> str:
    """One line of at most `width` characters."""
    line = " ".join(text.split())
    if len(line) <= width:
        return line
    return line[: max(0, width - len(glyphs.more))].rstrip() + glyphs.more
