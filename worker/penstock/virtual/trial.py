"""A scenario file tried with many seeds: the figures for programs, and a few lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from penstock.spec.types import format_duration
from penstock.virtual.draw import Population
from penstock.virtual.engine import run
from penstock.virtual.fleet import FleetFactory
from penstock.virtual.scenario import Scenario
from penstock.virtual.score import Score, score

_KINDS = {"token": "token bucket", "sliding": "sliding window", "fixed": "fixed window"}


def run_all(population: Population, factory: FleetFactory, seeds: Iterable[int]) -> list[Score]:
    """One run a seed; each seed also draws what the file leaves open."""
    return [score(run(population.draw(seed), factory, seed)) for seed in seeds]


def figures(scores: Sequence[Score]) -> dict[str, Any]:
    """Means over the seeds, ready for JSON.

    goodput, throttled: fractions of 1. limitLearned: requests a minute, null when no run learned
    one. With `items` also seconds (null when a run did not get through) and idealSeconds; with
    several jobs, each one's part while all ran.
    """
    learned = [one.limit_learned for one in scores if one.limit_learned is not None]
    found: dict[str, Any] = {
        "goodput": fmean(one.goodput for one in scores),
        "throttled": fmean(one.throttled for one in scores),
        "episodes": fmean(one.episodes for one in scores),
        "limitLearned": fmean(learned) if learned else None,
    }
    ideal = [one.ideal_seconds for one in scores if one.ideal_seconds is not None]
    if ideal:
        seconds = [one.seconds for one in scores if one.seconds is not None]
        found["seconds"] = fmean(seconds) if len(seconds) == len(scores) else None
        found["idealSeconds"] = fmean(ideal)
    jobs = {len(one.jobs) for one in scores}
    if jobs != {1} and len(jobs) == 1:
        found["jobs"] = [fmean(parts) for parts in zip(*(one.jobs for one in scores), strict=True)]
    return found


def lines(
    population: Population, scores: Sequence[Score], seeds: Sequence[int], algorithm: str
) -> list[str]:
    """What was run and what came of it."""
    told = figures(scores)
    what = "many providers" if population.varies else described(population.draw(seeds[0]))
    rows = [
        f"{what} · {algorithm} · {len(seeds)} {'seeds' if len(seeds) > 1 else 'seed'}",
        "",
        f"{'':14}{'mean':>9}{'lowest':>9}{'highest':>9}",
        _row("goodput", [100 * one.goodput for one in scores], "%"),
        _row("429s", [100 * one.throttled for one in scores], "%"),
        _row("episodes", [float(one.episodes) for one in scores], ""),
    ]
    learned = [one.limit_learned for one in scores if one.limit_learned is not None]
    rows.append(_row("limit learned", learned, "/min") if learned else "limit learned   none")
    if "idealSeconds" in told:
        through = [one.seconds for one in scores if one.seconds is not None]
        rows.append(_row("seconds", through, "s") if through else "seconds         not in time")
        rows.append(f"{'ideal':14}{told['idealSeconds']:>9.1f} s")
    if "jobs" in told:
        rows.append(f"{'jobs':14}" + " · ".join(f"{100 * part:.1f} %" for part in told["jobs"]))
    return rows


def described(scenario: Scenario) -> str:
    """A scenario in a few words."""
    provider = scenario.provider
    words = []
    if provider.limit != "none":
        limits = [
            f"{amount:,.0f} {unit}/min"
            for amount, unit in (
                (provider.requests_per_minute, "requests"),
                (provider.tokens_per_minute, "tokens"),
            )
            if amount
        ]
        span = provider.depth_seconds if provider.limit == "token" else provider.window_seconds
        kind = f"{_KINDS[provider.limit]} {format_duration(span)}"
        words += [f"{', '.join(limits)} ({kind})"] if limits else []
    words += [f"{provider.slots} slots"] if provider.slots else []
    words += [f"contention {provider.contention:g}"] if provider.contention else []
    pods = len(scenario.job_of_pod)
    words.append(f"{pods} pod{'s' if pods > 1 else ''}")
    return " · ".join([*words, format_duration(scenario.duration)])


def _row(name: str, values: Sequence[float], unit: str) -> str:
    mean, low, high = fmean(values), min(values), max(values)
    return (
        f"{name:14}"
        + "".join(f"{_short(value):>9}" for value in (mean, low, high))
        + f" {unit}".rstrip()
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"
