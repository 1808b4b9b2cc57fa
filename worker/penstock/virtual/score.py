"""What a run came to: how much of what could be had, and at how many refusals."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.virtual.provider import best_rate
from penstock.virtual.scenario import Scenario
from penstock.virtual.tape import Tape


@dataclass(frozen=True, slots=True)
class Score:
    """Shares are fractions of 1.

    goodput: of what the far side allows, how much was had, in the seconds that count; where
        several things bound it, of the one that was used most. throttled: 429s of all requests
        after the warm-up. limit_learned: requests a minute at the end, None when nothing was.
    seconds, ideal_seconds: with `items`, when the last was accepted (None: not in time) and when
        it could have been. jobs: the part of each job while all ran.
    """

    goodput: float
    throttled: float
    episodes: int
    limit_learned: float | None
    seconds: float | None
    ideal_seconds: float | None
    jobs: tuple[float, ...]


def score(tape: Tape) -> Score:
    """The figures of a run."""
    scenario = tape.scenario
    warmup = 0 if scenario.items is not None else scenario.warmup
    after = range(round(warmup), round(scenario.duration))
    accepted, refused = _sums(tape.accepted_by_job), _sums(tape.refused_by_job)
    sent = sum(accepted[second] + refused[second] for second in after)
    ideal = _ideal_seconds(scenario)
    if scenario.items is not None:
        goodput = 0.0 if not tape.finished_at or not ideal else ideal / tape.finished_at
    else:
        goodput = _goodput(tape, accepted)
    return Score(
        goodput=goodput,
        throttled=sum(refused[second] for second in after) / sent if sent else 0.0,
        episodes=sum(at >= warmup for at in tape.episodes),
        limit_learned=tape.learned[-1] if tape.learned else None,
        seconds=tape.finished_at,
        ideal_seconds=ideal,
        jobs=_parts(tape),
    )


def counted(scenario: Scenario) -> list[int]:
    """The seconds that count for goodput: after the warm-up and not just after a disturbance."""
    jobs = scenario.all_jobs
    gaps = [(0.0, scenario.warmup)]
    gaps += [(step.at, step.at + step.settle) for step in scenario.provider.steps]
    gaps += [(kill.at, kill.at + kill.settle) for kill in scenario.kill]
    gaps += [(job.start, job.start + job.settle) for job in jobs if job.start]
    gaps += [(job.end, job.end + job.settle) for job in jobs if job.end is not None]
    return [
        second
        for second in range(int(scenario.duration))
        if not any(start < second + 1 and second < end for start, end in gaps)
    ]


def true_limit(scenario: Scenario) -> list[float]:
    """Requests a second that are let through, for each second; infinity without such a limit."""
    return _limit(scenario, scenario.provider.requests_per_minute)


def _limit(scenario: Scenario, per_minute: float) -> list[float]:
    limiter = scenario.provider.limiter(per_minute)
    seconds = range(int(scenario.duration) + 1)
    if limiter is None:
        return [float("inf") for _ in seconds]
    steps = sorted(((step.at, step.factor) for step in scenario.provider.steps), reverse=True)
    found = []
    for second in seconds:
        while steps and steps[-1][0] < second + 0.5:
            limiter.change(second, per_minute * steps.pop()[1])
        found.append(limiter.per_minute / 60)
    return found


def _goodput(tape: Tape, accepted: list[int]) -> float:
    """The share of whatever was used most: requests, tokens, or the backend's best speed."""
    scenario, provider = tape.scenario, tape.scenario.provider
    seconds = counted(scenario)
    if not seconds:
        return 0.0
    pods = len(scenario.job_of_pod)
    best = best_rate(provider, pods * scenario.concurrency.max)
    answered = _sums(tape.answered_by_job)
    uses: list[tuple[list[int], list[float]]] = [
        (accepted, true_limit(scenario)),
        (tape.tokens, _limit(scenario, provider.tokens_per_minute)),
    ]
    limited = provider.limit != "none" and (
        provider.requests_per_minute or provider.tokens_per_minute
    )
    if provider.slots or provider.contention or not limited:
        uses.append((answered, [best] * (int(scenario.duration) + 1)))
    return max(
        sum(had[second] for second in seconds) / sum(could[second] for second in seconds)
        for had, could in uses
    )


def _ideal_seconds(scenario: Scenario) -> float | None:
    if scenario.items is None:
        return None
    pods = len(scenario.job_of_pod)
    rates = [
        true_limit(scenario)[0],
        _limit(scenario, scenario.provider.tokens_per_minute)[0] / scenario.tokens.mean,
        best_rate(scenario.provider, pods * scenario.concurrency.max),
    ]
    return scenario.items / min(rates)


def _parts(tape: Tape) -> tuple[float, ...]:
    """Each job's part of what was accepted in the seconds in which all of them ran."""
    jobs = tape.scenario.all_jobs
    together = [
        second
        for second in counted(tape.scenario)
        if all(job.start <= second and (job.end is None or second + 1 <= job.end) for job in jobs)
    ]
    sums = [sum(one[second] for second in together) for one in tape.accepted_by_job]
    return tuple(one / sum(sums) if sum(sums) else 0.0 for one in sums)


def _sums(by_job: list[list[int]]) -> list[int]:
    return [sum(counts) for counts in zip(*by_job, strict=True)]
