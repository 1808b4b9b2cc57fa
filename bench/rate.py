"""Rate control in virtual time, against what is promised and beside others: `make bench-rate`.

    python -m bench.rate [--seeds 20] [--providers 200] [--from 0] [--only promises] [--algorithm X]

Three parts. promises: every scenario of tests/simulation over several seeds against targets.yaml.
population: providers drawn from bench/population.yaml, Penstock beside the peers. pictures: limit,
rate and 429s over time, to docs/images. The first two go into bench/results-rate.md when nothing
was left out. --from is the first seed of the population: figures are to be believed on seeds that
nobody has looked at while tuning.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import yaml

from bench import report
from bench.report import Row
from penstock.virtual import algorithms, draw
from penstock.virtual.engine import run
from penstock.virtual.score import Score, score

ROOT = Path(__file__).resolve().parent.parent
SCENARIOS = ROOT / "tests" / "simulation"
POPULATION = ROOT / "bench" / "population.yaml"
SLOW = ROOT / "bench" / "population-slow.yaml"
RESULTS = ROOT / "bench" / "results-rate.md"
PARTS = ("promises", "population", "pictures")
GOOD, LITTLE = 0.98, 0.01


@dataclass(frozen=True, slots=True)
class Promise:
    """Bounds on the means over the seeds; None where nothing is promised."""

    scenario: str
    pods: int
    goodput: float | None = None
    throttled: float | None = None
    seconds: float | None = None
    jobs: float | None = None

    @property
    def path(self) -> Path:
        """Its file."""
        return SCENARIOS / f"{self.scenario}.yaml"


@dataclass(frozen=True, slots=True)
class Trial:
    """One run: a file, a seed, an algorithm; pods where they are not those of the file."""

    path: Path
    seed: int
    algorithm: str
    pods: int | None = None


def promises() -> list[Promise]:
    """All of targets.yaml, one for each scenario and number of pods."""
    groups: list[dict[str, Any]] = yaml.safe_load((SCENARIOS / "targets.yaml").read_text())
    return [
        Promise(scenario, pods, **group)
        for group in groups
        for scenario, pods in _pairs(group.pop("scenarios"), group.pop("pods"))
    ]


def kept(promise: Promise, scores: Sequence[Score]) -> bool:
    """Whether the means over these runs are within the bounds."""
    return not any(
        (
            promise.goodput is not None and _mean(scores, "goodput") < promise.goodput,
            promise.throttled is not None and _mean(scores, "throttled") > promise.throttled,
            promise.seconds is not None and _seconds(scores) > promise.seconds,
            promise.jobs is not None and _uneven(scores) > promise.jobs,
        )
    )


def try_out(trial: Trial) -> Score:
    """Run one."""
    scenario = draw.load(trial.path).draw(trial.seed)
    if trial.pods is not None:
        scenario = scenario.model_copy(update={"pods": trial.pods})
    return score(run(scenario, algorithms.find(trial.algorithm), trial.seed))


def try_all(trials: Sequence[Trial]) -> list[Score]:
    """Run them on all cores; the results in their order."""
    with multiprocessing.Pool(os.cpu_count()) as pool:
        return pool.map(try_out, trials, chunksize=1)


def measure_promises(seeds: int, algorithm: str) -> list[Row]:
    """A row for each promise."""
    wanted = promises()
    trials = [
        Trial(promise.path, seed, algorithm, promise.pods)
        for promise in wanted
        for seed in range(seeds)
    ]
    scores = try_all(trials)
    rows = []
    for place, promise in enumerate(wanted):
        own = scores[place * seeds : (place + 1) * seeds]
        what = f"{promise.scenario} · {promise.pods} pod{'s' if promise.pods > 1 else ''}"
        rows.append(Row(what, _measured(promise, own), _target(promise), kept(promise, own)))
    return rows


def measure_population(names: Iterable[str], seeds: range, path: Path = POPULATION) -> str:
    """A Markdown table, a line for each algorithm."""
    lines = [
        "| | goodput p5 · p25 · median | 429s median · p95 | ≥ 98 % and ≤ 1 % |",
        "|---|---|---|---|",
    ]
    for name in names:
        scores = try_all([Trial(path, seed, name) for seed in seeds])
        lines.append(f"| {name} | {' | '.join(spread(scores))} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def spread(scores: Sequence[Score]) -> list[str]:
    """Percentiles of goodput and of 429s, and the share of providers with both good."""
    goodput = sorted(one.goodput for one in scores)
    throttled = sorted(one.throttled for one in scores)
    both = fmean(one.goodput >= GOOD and one.throttled <= LITTLE for one in scores)
    low = " · ".join(f"{100 * _percentile(goodput, share):.1f}" for share in (0.05, 0.25, 0.5))
    high = f"{100 * median(throttled):.2f} · {100 * _percentile(throttled, 0.95):.2f}"
    return [f"{low} %", f"{high} %", f"{100 * both:.0f} %"]


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _measured(promise: Promise, scores: Sequence[Score]) -> str:
    if promise.seconds is not None:
        return f"{_seconds(scores):.1f} s"
    parts = [f"{100 * _mean(scores, 'goodput'):.1f} %"]
    if promise.throttled is not None:
        parts.append(f"{100 * _mean(scores, 'throttled'):.2f} %")
    if promise.jobs is not None:
        parts.append(f"{100 * _uneven(scores):.1f} % off even")
    return " · ".join(parts)


def _target(promise: Promise) -> str:
    bounds = [
        (promise.goodput, "≥ {:g} %"),
        (promise.throttled, "≤ {:g} %"),
        (promise.jobs, "≤ {:g} % off even"),
    ]
    texts = [text.format(100 * bound) for bound, text in bounds if bound is not None]
    return " · ".join(texts) if promise.seconds is None else f"≤ {promise.seconds:g} s"


def _mean(scores: Sequence[Score], name: str) -> float:
    return fmean(getattr(one, name) for one in scores)


def _seconds(scores: Sequence[Score]) -> float:
    return fmean(float("inf") if one.seconds is None else one.seconds for one in scores)


def _uneven(scores: Sequence[Score]) -> float:
    """How far a job's part is from its even one, as a share of it: the worst run's."""
    return max(abs(part * len(one.jobs) - 1) for one in scores for part in one.jobs)


def _pairs(scenarios: Sequence[str], pods: Sequence[int]) -> list[tuple[str, int]]:
    return [(scenario, number) for scenario in scenarios for number in pods]


def page(
    rows: Sequence[Row], population: str, slow: str, providers: range, seeds: int, seconds: float
) -> str:
    """The whole file."""
    return f"""# Rate control, measured in virtual time

By `make bench-rate` in {seconds / 60:.0f} min. The code that runs is the one that workers use; only
the clock, the providers and the pods are simulated (`penstock simulate --virtual`).

## What is promised

Means over {seeds} seeds. Goodput is what was accepted of what the provider allows over that time
(with slots or contention: of the best fixed concurrency), after the first minute; then 429s of all
requests.

{report.table(rows)}

## Providers nobody listed

{len(providers)} drawn from [population.yaml](population.yaml), seeds {providers[0]} to
{providers[-1]}. The others are uncoordinated clients with their published defaults
(`worker/penstock/virtual/peers`). These cap the calls in flight; some of the providers would take
more.

{population}

Slower ones, 3 to 120 requests a minute ([population-slow.yaml](population-slow.yaml)), are not
judged: too few requests to learn from.

{slow}
"""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=20, help="runs of each promise")
    parser.add_argument("--providers", type=int, default=200, help="how many to draw")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one's seed")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--algorithm", nargs="+", help="instead of Penstock and all the others")
    given = parser.parse_args()
    names = given.algorithm or list(algorithms.ALGORITHMS)
    providers = range(given.first, given.first + given.providers)
    started = time.monotonic()
    rows: list[Row] = []
    population = slow = ""
    if "promises" in given.only:
        rows = measure_promises(given.seeds, names[0])
        print(report.table(rows), flush=True)
    if "population" in given.only:
        population = measure_population(names, providers)
        slow = measure_population(names[:1], providers, SLOW)
        print(f"{population}\n\nslow ones:\n\n{slow}", flush=True)
    if "pictures" in given.only:
        from bench import rate_pictures

        rate_pictures.draw_all()
    if given.only == PARTS and not given.algorithm:
        spent = time.monotonic() - started
        RESULTS.write_text(page(rows, population, slow, providers, given.seeds, spent))
    missed = [row.what for row in rows if row.met is False]
    if missed:
        print(f"short of its target: {'; '.join(missed)}", file=sys.stderr)


if __name__ == "__main__":
    main()
