"""Options that cannot be are named, all at once; faults and counts follow the configuration."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from penstock.errors import InputError
from penstock.simulate.faults import Fault, FaultDraw
from penstock.simulate.options import SimulatorConfig
from penstock.simulate.stats import Stats, work_identity


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"rpm": 0}, "--rpm"),
        ({"tpm": -1}, "--tpm"),
        ({"rpm": float("nan")}, "--rpm"),
        ({"window": 0}, "--window"),
        ({"latency": -1}, "--latency"),
        ({"slots": -1}, "--slots"),
        ({"error_share": 1.5}, "--error-share"),
        ({"drop_item_share": -0.1}, "--drop-item-share"),
        ({"straggler_factor": 0}, "--straggler-factor"),
        ({"quota": -1}, "--quota"),
        ({"dimensions": 0}, "--dimensions"),
        ({"limit": "leaky"}, "--limit"),
        ({"limit_by": "moon"}, "--limit-by"),
        ({"hints": "all"}, "--hints"),
        ({"error_share": 0.6, "drop_share": 0.6}, "together"),
    ],
)
def test_an_option_that_cannot_be_is_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        SimulatorConfig(**wrong)


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(InputError) as caught:
        SimulatorConfig(rpm=0, sigma=-1, limit="leaky")  # type: ignore[arg-type]
    assert [mistake.where for mistake in caught.value.mistakes] == ["--rpm", "--sigma", "--limit"]


def test_faults_come_in_the_stated_shares_and_the_same_order_for_a_seed() -> None:
    config = SimulatorConfig(
        error_share=0.05, overloaded_share=0.1, drop_share=0.03, hang_share=0.01, garbage_share=0.02
    )
    drawn = [FaultDraw(config).draw(Random(3)) for _ in range(3)]
    assert drawn[0] == drawn[1] == drawn[2]
    rng, draw = Random(3), FaultDraw(config)
    counts = Counter(draw.draw(rng) for _ in range(20_000))
    expected = {
        Fault.ERROR: 0.05,
        Fault.OVERLOADED: 0.1,
        Fault.DROPPED: 0.03,
        Fault.HUNG: 0.01,
        Fault.GARBAGE: 0.02,
        None: 0.79,
    }
    assert set(counts) == set(expected)
    for fault, share in expected.items():
        assert counts[fault] / 20_000 == pytest.approx(share, abs=0.01)


def test_without_shares_nothing_goes_wrong_and_with_all_of_them_everything() -> None:
    assert FaultDraw(SimulatorConfig()).draw(Random(1)) is None
    always = FaultDraw(SimulatorConfig(error_share=0.5, drop_share=0.5))
    assert all(always.draw(Random(seed)) is not None for seed in range(100))


def test_work_is_the_same_by_key_or_by_path_and_body() -> None:
    assert work_identity("k", "/a", b"1") == work_identity("k", "/b", b"2")
    assert work_identity(None, "/a", b"1") == work_identity(None, "/a", b"1")
    different = {
        work_identity(None, "/a", b"1"),
        work_identity(None, "/a", b"2"),
        work_identity(None, "/b", b"1"),
        work_identity("k", "/a", b"1"),
    }
    assert len(different) == 4


def test_stats_tell_work_served_again_from_work_served_once() -> None:
    stats = Stats()
    for identity in (1, 2, 2, 2, 3, 3):
        stats.served(identity)
    report = stats.report()
    assert (report["served"], report["distinct"]) == (6, 3)
    assert (report["served_twice"], report["duplicates"]) == (2, 3)


def test_the_rate_is_that_between_the_first_and_the_last_accepted_call() -> None:
    stats = Stats()
    assert stats.report()["per_second"] == 0.0
    for now in (100.0, 100.5, 101.0):
        stats.admitted(now, None)
    assert (stats.report()["seconds"], stats.report()["per_second"]) == (1.0, 2.0)
