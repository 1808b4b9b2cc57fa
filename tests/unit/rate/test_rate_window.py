"""Windows show themselves; buckets are not taken for one."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.rate import window
from penstock.rate.episodes import Episode, Mark, account
from penstock.rate.journal import Journal
from penstock.simulate.limits import Limiter, SlidingWindow, TokenBucket


def overrun(limiter: Limiter, paces: list[float], seconds: float) -> tuple[Journal, list[Mark]]:
    """Calls at these paces in turn, each until one was refused; marks at the resumptions."""
    journal, marks = Journal(), list[Mark]()
    now, refusals, turn = 0.0, 0, 0
    while now < seconds:
        if limiter.wait(now, 1) == 0:
            limiter.take(now, 1)
            if refusals:
                marks.append(Mark(now, journal.total, long=False, began=now))
                refusals, turn = 0, turn + 1
            journal.admit(now, 1)
        else:
            refusals += 1
        now += 1 / paces[turn % len(paces)]
    return journal, marks


def uneven(seed: int, rate: float) -> list[float]:
    """Paces above a limit, as guesses are: some by far."""
    random = Random(seed)
    return [rate * random.uniform(1.05, 2.5) for _ in range(50)]


def burst_and_echo(seconds: float, calls: int, grain: float) -> tuple[Journal, list[Mark]]:
    """A sliding window whose first calls came in a burst, which comes back a window later."""
    limiter = SlidingWindow(60 * calls * grain / seconds, seconds)
    journal, marks, now, blocked = Journal(), list[Mark](), 0.0, False
    while now < 4 * seconds:
        if limiter.wait(now, grain) == 0:
            limiter.take(now, grain)
            if blocked and (not marks or now - marks[-1].at > seconds / 5):
                marks.append(Mark(now, journal.total, long=False, began=now))
            journal.admit(now, grain)
            blocked = False
        else:
            blocked = True
        times = 3.0 if now < 0.2 * seconds else 0.5 if now < 0.9 * seconds else 1.1
        now += seconds / calls / times
    return journal, marks


@settings(deadline=None, max_examples=25)
@given(seconds=st.floats(1.5, 31), calls=st.integers(150, 600), grain=st.sampled_from([1.0, 700.0]))
def test_the_window_of_a_sliding_limit_is_found(seconds: float, calls: int, grain: float) -> None:
    journal, marks = burst_and_echo(seconds, calls, grain)
    found = window.find(journal, marks, grain)
    assert found is not None
    assert found.seconds == pytest.approx(seconds, rel=0.02)
    assert found.units == pytest.approx(calls * grain, rel=0.01)


@settings(deadline=None, max_examples=40)
@given(
    rate=st.floats(2, 100),
    depth=st.floats(0.05, 60),
    seed=st.integers(0, 1000),
)
def test_a_bucket_is_no_window(rate: float, depth: float, seed: int) -> None:
    bucket = TokenBucket(rate * 60, depth)
    bucket.take(0.0, bucket.capacity)
    journal, marks = overrun(bucket, uneven(seed, rate), 400 / rate)
    assert len(marks) >= 6
    for count in range(1, len(marks) + 1):
        assert window.find(journal, marks[max(0, count - 6) : count], 1.0) is None


def test_few_marks_show_nothing() -> None:
    journal, marks = burst_and_echo(10.0, 300, 1.0)
    assert window.find(journal, marks, 1.0) is not None
    assert window.find(journal, marks[-3:], 1.0) is None
    assert window.find(Journal(), marks, 1.0) is None


def test_an_account_is_the_line_through_the_marks_and_how_far_they_stray() -> None:
    marks = [
        Mark(0, 0, long=False, began=0),
        Mark(5, 40, long=False, began=5),
        Mark(10, 100, long=False, began=10),
    ]
    rate, stray = account(marks)
    assert rate == pytest.approx(10.0)
    assert stray == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("seconds", "pace", "grain", "long"),
    [
        (2.9, 100, 1, False),
        (3.1, 100, 1, True),
        (3.1, 1, 1, False),  # six calls at that pace have to fail
        (6.1, 1, 1, True),
        (6.1, 500, 1000, False),
        (12.1, 500, 1000, True),
        (59.0, 0.01, 1, False),
        (61.0, 0.01, 1, True),
    ],
)
def test_when_a_block_is_longer_than_a_bucket_takes(
    seconds: float, pace: float, grain: float, long: bool
) -> None:
    assert Episode(100.0, 100.0 + seconds, 100.0 + seconds, 5, 50.0, pace).is_long(grain) is long
