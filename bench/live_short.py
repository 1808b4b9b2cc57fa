"""A short job in real time: 201 chats at a limit that is unknown, told in headers, or stated."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench.live_rig import LATENCY, LONGEST, RPM, SIGMA, load, place, results, start
from bench.report import Row
from bench.rig import provider
from bench.tally import Watcher, busy

COUNT, ROUNDS = 201, 3
UNKNOWN, KNOWN = 8.0, 5.5
"""Seconds that are promised from the first call until the last is let through; 4 are needed at the
limit, a full bucket saves one of them."""


def measure() -> list[Row]:
    """A row for each way to know the limit."""
    stated = {"rateLimit": {"requestsPerMinute": RPM}}
    return [
        _row("unknown", (), {}, UNKNOWN),
        _row("with x-ratelimit-* headers", ("--hints", "headers"), {}, KNOWN),
        _row("stated in the manifest", (), stated, KNOWN),
    ]


def _row(title: str, options: tuple[str, ...], spec: dict[str, Any], target: float) -> Row:
    runs = [_run(options, spec) for _ in range(ROUNDS)]
    sent, calls, command, refused, lost = (median(column) for column in zip(*runs, strict=True))
    return Row(
        f"**{COUNT} items** at {RPM:,} a minute, {title} (median of {ROUNDS})",
        f"last let through after **{sent:.1f} s**, answered after {calls:.1f} s, the whole command "
        f"{command:.1f} s · {refused:.0f} 429s · {lost:.0f} lost · load {load():.1f}",
        f"≤ {target:g} s, none lost",
        sent <= target and not lost,
    )


def _run(options: tuple[str, ...], spec: dict[str, Any]) -> tuple[float, ...]:
    limit = ("--rpm", f"{RPM}", "--latency", f"{LATENCY}", "--sigma", f"{SIGMA}")
    with (
        TemporaryDirectory(prefix="penstock-live-") as name,
        provider(*limit, *options) as server,
        place(Path(name)) as one,
    ):
        with Watcher(server.stats) as seen:
            started = time.monotonic()
            command = start(one, server.url, COUNT, 1, **spec)
            command.ends(LONGEST)
            seconds = time.monotonic() - started
        counted = server.stats()
        begun, sent = busy(seen.samples, "accepted")
        _, ended = busy(seen.samples, "served")
        return sent - begun, ended - begun, seconds, counted["refused"], COUNT - results(one)
