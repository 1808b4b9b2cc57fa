"""Observe: one `Progress` from what the database knows of a run."""

from __future__ import annotations

from collections import deque
from typing import Any

from penstock.store import holding, runs
from penstock.store.db import Database
from penstock.store.progress import Progress, TimeSplit
from penstock.store.runs import Run

RATE_SPAN = 10.0
"""Seconds over which rates are taken."""


class Observer:
    """Looks at one run again and again; rates come from what changed between looks."""

    def __init__(self, db: Database, run: Run) -> None:
        self._db, self._run = db, run
        job = runs.manifest_of(run)
        self._price = job.spec.price
        self._samples: deque[tuple[float, int, int, int]] = deque()

    async def look(
        self, now: float, *, seconds: float | None = None, failures: bool = False
    ) -> Progress:
        """The run as it stands. now: monotonic seconds. seconds: working time so far, if the caller
        knows it better than the database. failures: group the failed items by reason as well."""
        known, run = self._run, await runs.watched(self._db, self._run.id)
        stats, fresh = run.workers, run.fresh if run.phase == "Running" else []
        requests, throttled = _sum(stats, "requests"), _sum(stats, "throttled")
        done = run.succeeded + run.failed
        item_rate, request_rate, share = self._rates(now, done, requests, throttled)
        seconds = run.active_seconds if seconds is None else seconds
        failed = run.failed + run.bad
        pending = run.total - run.skipped - run.succeeded - failed
        return Progress(
            name=known.job,
            run=known.number,
            phase=run.phase,
            total=run.total,
            skipped=run.skipped,
            succeeded=run.succeeded,
            failed=failed,
            seconds=seconds,
            requests=requests,
            throttled=throttled,
            retries=_sum(stats, "retries"),
            prompt_tokens=run.prompt_tokens,
            completion_tokens=run.completion_tokens,
            cost=self._cost(run.prompt_tokens, run.completion_tokens),
            workers=len(fresh),
            in_flight=_sum(fresh, "inFlight"),
            concurrency=_sum(fresh, "concurrency"),
            items_per_second=item_rate,
            requests_per_second=request_rate,
            throttled_share=share,
            eta_seconds=pending / item_rate if item_rate > 0 and pending > 0 else None,
            held_back=_most_common(fresh) or holding.over_all(stats),
            reason=run.reason,
            message=run.message,
            time=TimeSplit(
                provider=_sum(stats, "providerSeconds"),
                gate=_sum(stats, "gateSeconds"),
                cpu=_sum(stats, "cpuSeconds"),
                checkpoint=_sum(stats, "checkpointSeconds"),
            ),
            failures=await self._failures() if failures else (),
            output=run.output or None,
        )

    async def _failures(self) -> tuple[tuple[str, int], ...]:
        # Planning may have moved the results since this observer first saw the run.
        return await runs.failures(self._db, await runs.get(self._db, self._run.id))

    def _rates(
        self, now: float, done: int, requests: int, throttled: int
    ) -> tuple[float, float, float]:
        samples = self._samples
        samples.append((now, done, requests, throttled))
        while len(samples) > 2 and samples[1][0] <= now - RATE_SPAN:
            samples.popleft()
        then, done0, requests0, throttled0 = samples[0]
        span = now - then
        if span <= 0:
            return 0.0, 0.0, 0.0
        asked = requests - requests0
        share = (throttled - throttled0) / asked if asked else 0.0
        return (done - done0) / span, asked / span, share

    def _cost(self, prompt: int, completion: int) -> float | None:
        return None if self._price is None else self._price.of(prompt, completion)


def _sum(entries: list[dict[str, Any]], key: str) -> Any:
    return sum(entry.get(key) or 0 for entry in entries)


def _most_common(entries: list[dict[str, Any]]) -> str:
    phrases = [entry["heldBack"] for entry in entries if entry.get("heldBack")]
    return max(phrases, key=phrases.count) if phrases else ""
