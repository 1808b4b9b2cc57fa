"""What docs and README promise of rate control, each over twenty seeds in virtual time.

The scenarios are the files beside this one, the bounds targets.yaml; `make bench-rate` prints them.
"""

from __future__ import annotations

import pytest

from bench.rate import SCENARIOS, Promise, Trial, kept, promises, try_out
from penstock.virtual.algorithms import DEFAULT

SEEDS = 20


@pytest.mark.slow
@pytest.mark.parametrize("promise", promises(), ids=lambda one: f"{one.scenario}-{one.pods}")
def test_a_promise_is_kept(promise: Promise) -> None:
    trials = (Trial(promise.path, seed, DEFAULT, promise.pods) for seed in range(SEEDS))
    scores = [try_out(trial) for trial in trials]
    assert kept(promise, scores), scores


def test_every_scenario_has_a_target() -> None:
    files = {path.stem for path in SCENARIOS.glob("*.yaml")}
    assert {promise.scenario for promise in promises()} == files - {"targets"}
