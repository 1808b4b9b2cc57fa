"""What a BatchJob's status says of its run, as the same `Progress` that a local run is shown by.

Pure. What it lacks (where the time went) stays at zero, and is then not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from penstock.store.progress import Progress


def progress_of(raw: Mapping[str, Any], now: float) -> Progress:
    """A BatchJob as it stands. now: seconds since the epoch."""
    status = raw.get("status") or {}
    counts, usage = status.get("itemCounts") or {}, status.get("usage") or {}
    throttling, throughput = status.get("throttling") or {}, status.get("throughput") or {}
    phase = status.get("phase") or "Pending"
    reason, message = _why(status, phase)
    ends = _seconds(status.get("estimatedCompletionTime"))
    return Progress(
        name=raw["metadata"]["name"],
        run=status.get("currentRun") or 0,
        phase=phase,
        total=counts.get("total", 0),
        skipped=counts.get("skipped", 0),
        succeeded=counts.get("succeeded", 0),
        failed=counts.get("failed", 0),
        seconds=_elapsed(status, now),
        requests=usage.get("requests", 0),
        throttled=usage.get("throttled", 0),
        retries=usage.get("retries", 0),
        prompt_tokens=usage.get("promptTokens", 0),
        completion_tokens=usage.get("completionTokens", 0),
        cost=usage.get("cost"),
        workers=throttling.get("parallelism") or 0,
        in_flight=counts.get("running", 0),
        concurrency=throttling.get("effectiveConcurrency") or 0,
        items_per_second=throughput.get("itemsPerSecond", 0.0),
        requests_per_second=throughput.get("requestsPerSecond", 0.0),
        throttled_share=throttling.get("ratio", 0.0),
        eta_seconds=max(0.0, ends - now) if ends is not None else None,
        held_back=throttling.get("reason") or "",
        reason=reason,
        message=message,
        failures=tuple((one["reason"], one["count"]) for one in status.get("failures") or ()),
    )


def condition(raw: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """A condition of the status; empty when it is not there."""
    found = (raw.get("status") or {}).get("conditions") or ()
    return next((one for one in found if one.get("type") == kind), {})


def is_over(raw: Mapping[str, Any]) -> bool:
    """Whether the run that the status tells of has ended."""
    return (raw.get("status") or {}).get("phase") in ("Complete", "Failed")


def _why(status: Mapping[str, Any], phase: str) -> tuple[str, str]:
    """Reason and message of a phase that wants explaining."""
    kind = {"Failed": "Failed", "Paused": "Progressing"}.get(phase, "")
    found = condition({"status": status}, kind)
    return found.get("reason") or "", found.get("message") or ""


def _elapsed(status: Mapping[str, Any], now: float) -> float:
    since = _seconds(status.get("activeSince"))
    return float(status.get("activeSeconds") or 0.0) if since is None else max(0.0, now - since)


def _seconds(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
