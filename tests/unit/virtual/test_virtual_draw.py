"""A scenario file: what it may say, what is drawn from it, and how mistakes are told."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InputError
from penstock.virtual.draw import Population, load, parse
from penstock.virtual.scenario import Scenario

ROOT = Path(__file__).resolve().parents[3]
POPULATION = ROOT / "bench" / "population.yaml"
FILES = [
    POPULATION,
    ROOT / "bench" / "population-slow.yaml",
    *(
        path
        for path in sorted((ROOT / "tests" / "simulation").glob("*.yaml"))
        if path.name != "targets.yaml"
    ),
]

SEEDS = st.integers(0, 2**32)


def one(text: str, seed: int = 0) -> Scenario:
    return parse(text, "s.yaml").draw(seed)


def mistakes(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse(text, "s.yaml")
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenarios_that_come_along_are_valid(path: Path) -> None:
    population = load(path)
    assert all(population.draw(seed).duration > 0 for seed in range(50))


def test_what_is_left_out_has_a_default() -> None:
    scenario = one("provider: {requestsPerMinute: 60}")
    assert (scenario.pods, scenario.duration, scenario.warmup) == (1, 600, 60)
    assert (scenario.provider.limit, scenario.provider.hints) == ("token", "none")
    assert scenario.job_of_pod == [0]


def test_jobs_have_their_own_pods_or_as_many_as_the_others() -> None:
    assert one("{provider: {}, pods: 2, jobs: [{}, {pods: 3}]}").job_of_pod == [0, 0, 1, 1, 1]


@given(SEEDS, st.floats(0.001, 1e6), st.floats(0.001, 1e6))
def test_a_range_is_never_left(seed: int, one_end: float, other_end: float) -> None:
    low, high = sorted((one_end, other_end))
    population = Population({"provider": {"requestsPerMinute": [low, high]}})
    assert low <= population.draw(seed).provider.requests_per_minute <= high


@given(SEEDS)
def test_a_range_of_whole_numbers_gives_whole_numbers(seed: int) -> None:
    pods: Any = Population({"provider": {}, "pods": [1, 20]}).draw(seed).pods
    assert isinstance(pods, int)
    assert 1 <= pods <= 20


def test_a_range_is_drawn_evenly_on_a_logarithmic_scale() -> None:
    population = parse("provider: {requestsPerMinute: [1, 10000]}", "s.yaml")
    drawn = [population.draw(seed).provider.requests_per_minute for seed in range(2000)]
    for bound, share in ((10, 0.25), (100, 0.5), (1000, 0.75)):
        assert sum(rate < bound for rate in drawn) / 2000 == pytest.approx(share, abs=0.05)


def test_a_range_from_nothing_is_drawn_evenly() -> None:
    population = parse("provider: {latency: {sigma: [0, 1]}}", "s.yaml")
    drawn = [population.draw(seed).provider.latency.sigma for seed in range(1000)]
    assert sum(drawn) / 1000 == pytest.approx(0.5, abs=0.05)


def test_durations_have_ranges_too() -> None:
    latency = one("provider: {latency: {median: [200ms, 6s]}}", seed=3).provider.latency
    assert 0.2 <= latency.median <= 6


def test_choices_are_taken_as_often_as_they_stand_there() -> None:
    text = "provider: {limit: {oneOf: [token, token, sliding, fixed]}}"
    population = parse(text, "s.yaml")
    kinds = [population.draw(seed).provider.limit for seed in range(2000)]
    shares = {kind: kinds.count(kind) / 2000 for kind in set(kinds)}
    assert shares == pytest.approx({"token": 0.5, "sliding": 0.25, "fixed": 0.25}, abs=0.05)


def test_a_choice_may_be_of_whole_parts_and_of_ranges() -> None:
    text = "provider: {oneOf: [{slots: 4}, {requestsPerMinute: [5, 6]}]}\npods: {oneOf: [1, 3]}"
    drawn = [one(text, seed) for seed in range(50)]
    assert {(run.provider.slots, run.provider.requests_per_minute) for run in drawn} == {
        *((4, 0.0), (0, 5.0), (0, 6.0))
    }
    assert {run.pods for run in drawn} == {1, 3}


@given(SEEDS)
def test_a_seed_always_draws_the_same(seed: int) -> None:
    assert load(POPULATION).draw(seed) == load(POPULATION).draw(seed)


def test_a_field_that_is_added_changes_nothing_else() -> None:
    without = one("provider: {requestsPerMinute: [1, 1000000]}\npods: [1, 1000]")
    added = one(
        "provider: {depthSeconds: [1, 9], requestsPerMinute: [1, 1000000]}\npods: [1, 1000]"
    )
    assert added.pods == without.pods
    assert added.provider.requests_per_minute == without.provider.requests_per_minute


def test_a_population_holds_its_providers_to_the_least_they_need() -> None:
    population = load(POPULATION)
    for seed in range(300):
        provider = population.draw(seed).provider
        limiter = provider.limiter(provider.requests_per_minute)
        assert limiter is not None
        least = 3 if provider.limit == "token" else 10
        assert limiter.remaining(0.0) >= least - 1e-6


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("provider: {limt: token}", "s.yaml:1 provider.limt: there is no field 'limt' here; did"),
        ("pods: 3", "s.yaml:1 provider: is missing: The far side."),
        ("provider: {}\npods: 0", "s.yaml:2 pods: wanted at least 1, given the number 0"),
        ("provider: {}\npods: 1.5", "s.yaml:2 pods: wanted a whole number"),
        ("provider: {limit: leaky}", "provider.limit: wanted one of token, sliding, fixed, none"),
        ("provider: {}\nduration: soon", "s.yaml:2 duration: 'soon' is not a duration"),
        ("provider: {}\nduration: [9s, soon]", "duration: a range is [low, high]; 'soon' is not"),
        ("provider: {}\nduration: [9s, 1s]", "duration: a range is [low, high]; this one begins"),
        ("provider: {}\npods: [0, 5]", "s.yaml:2 pods: wanted at least 1, given the number 0"),
        ("provider: {}\npods: [1, 5000]", "s.yaml:2 pods: wanted at most 1000"),
        ("provider: {}\npods: {oneOf: [1, 2, -1]}", "s.yaml:2 pods: wanted at least 1"),
        ("provider: {}\npods: {oneOf: []}", "pods: oneOf wants a list of values, and stands alone"),
        ("provider: {}\npods: {oneOf: [1], twoOf: 2}", "pods: oneOf wants a list of values"),
        ("provider: {}\nwarmup: 10m", "s.yaml:2 warmup: is not shorter than duration"),
        ("provider: {}\nkill: [{at: 3s, pod: 1}]", "s.yaml:2 kill[0].pod: there is no pod 1"),
        ("provider: {}\nkill:\n- {pod: 0}", "s.yaml:3 kill[0].at: is missing: When."),
        ("provider: {}\nconcurrency: {min: 3, max: 2}", "concurrency.min: is more than"),
        ("provider: {}\ndatabaseAway: [{from: 3s, to: 3s}]", "databaseAway[0].to: is not after"),
        ("provider: {}\njobs: [{end: 3s, start: 4s}]", "jobs[0].end: is not after its start"),
        ("provider: {}\npods: 2\npods: 3", "s.yaml:3: the key 'pods' stands here twice"),
        ("- provider", "s.yaml:1: not a scenario: wanted provider, pods, duration"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, found: str) -> None:
    assert any(found in mistake for mistake in mistakes(text)), mistakes(text)


def test_mistakes_are_told_together() -> None:
    assert len(mistakes("provider: {limt: 1, slots: -1}\npod: 3")) == 3


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml")


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False), st.text(max_size=5)
)
NAMES = st.sampled_from(
    ["provider", "pods", "duration", "oneOf", "limit", "latency", "steps", "at", "jobs", "x"]
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, TREES, max_size=4))
def test_whatever_a_file_says_it_is_a_scenario_or_a_mistake(value: dict[str, Any]) -> None:
    with suppress(InputError):
        parse(yaml.safe_dump(value), "s.yaml").draw(0)
