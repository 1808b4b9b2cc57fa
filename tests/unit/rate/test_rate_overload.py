"""Before an overloaded far side: as much as it takes; and not slower where that is no use."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from penstock.rate.overload import Overload
from penstock.rate.pacer import Pacer

FREE = 100.0
"""Calls a second that are sent where nothing holds them back."""


def driven(refuses: Callable[[float], bool], seconds: float) -> tuple[Overload, float, float]:
    """The control after so long, and what passed and was refused a second in the second half."""
    one, now, counts = Overload(), 0.0, [0, 0]
    while now < seconds:
        refused = refuses(now)
        one.sent(now)
        one.ended(now, refused=refused)
        if now > seconds / 2:
            counts[refused] += 1
        now += max(1 / FREE, one.wait(now))
    return one, counts[0] / (seconds / 2), counts[1] / (seconds / 2)


def test_it_settles_at_what_passes() -> None:
    room = Pacer(20.0)

    def full(now: float) -> bool:
        if room.wait(now) > 0.5:
            return True
        room.take(now, 1.0)
        return False

    one, passed, refused = driven(full, 240.0)
    assert one.slow
    assert passed > 0.93 * 20.0
    assert refused < 0.08 * passed


@pytest.mark.parametrize("share", [0.02, 0.05, 0.2, 0.5])
def test_what_does_not_come_of_the_pace_does_not_slow_it(share: float) -> None:
    draw = Random(f"{share}").random
    _, passed, refused = driven(lambda _: draw() < share, 240.0)
    assert passed + refused > 0.85 * FREE


def test_after_an_overload_it_is_as_fast_as_before() -> None:
    one, passed, _ = driven(lambda now: 10.0 < now < 30.0, 120.0)
    assert not one.slow
    assert passed > 0.97 * FREE


def test_what_was_found_before_a_pause_counts_no_more() -> None:
    one = Overload()
    for step in range(39):
        one.ended(step * 0.01, refused=False)
    one.ended(600.0, refused=True)
    for step in range(60):
        one.sent(600.1 + step * 0.02)
        one.ended(600.1 + step * 0.02, refused=False)
    assert not one.slow


def test_a_few_by_chance_do_not_slow_it() -> None:
    random = Random(0)
    one, now, slow = Overload(), 0.0, 0
    for _ in range(2000):
        one.sent(now)
        one.ended(now, refused=random.random() < 0.05)
        slow += one.slow
        now += max(0.2, one.wait(now))
    assert slow < 20
