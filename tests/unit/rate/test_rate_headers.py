"""What servers say in headers: read once, and over time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rate.headers import LimitHint, ResetReader, parse_reset, read_hint
from penstock.simulate.limits import FixedWindow, Limiter, SlidingWindow, TokenBucket


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("12", 12.0),
        ("0.5", 0.5),
    ],
)
def test_reset_times_as_servers_write_them(text: str, seconds: float) -> None:
    assert parse_reset(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "inf", "1x", "s1"])
def test_what_is_no_reset_time_is_ignored(text: str) -> None:
    assert parse_reset(text) is None


@given(st.dictionaries(st.sampled_from(
    [f"x-ratelimit-{word}-requests" for word in ("limit", "remaining", "reset")]
), st.text(max_size=12)))  # fmt: skip
def test_nonsense_is_never_an_error(headers: dict[str, str]) -> None:
    hint = read_hint(headers, "requests")
    if hint is not None:
        assert hint.limit > 0
        ResetReader().read(hint, 0.0)


def hear(limiter: Limiter, rate: float, seconds: float, start: float) -> float | None:
    """What a reader makes of the headers that come with calls at this rate."""
    reader, told = ResetReader(), None
    for number in range(round(seconds * rate)):
        now = start + number / rate
        if limiter.wait(now, 1) == 0:
            limiter.take(now, 1)
        hint = LimitHint(limiter.limit, limiter.remaining(now), limiter.reset(now))
        told = reader.read(hint, now)
    return told


@pytest.mark.parametrize("start", [0.0, 1000.7, 1037.2])
@pytest.mark.parametrize(
    ("kind", "span", "seconds"),
    [
        pytest.param(TokenBucket, 1, 20, id="bucket, 1 s deep"),
        pytest.param(TokenBucket, 60, 20, id="bucket, a minute deep"),
        pytest.param(SlidingWindow, 60, 20, id="sliding minute"),
        pytest.param(FixedWindow, 60, 5, id="a minute, its beginning not seen"),
        pytest.param(FixedWindow, 60, 130, id="a minute, seen whole"),
        pytest.param(FixedWindow, 10, 30, id="ten seconds, seen whole"),
    ],
)
def test_the_rate_of_a_limit_by_the_minute(
    kind: Callable[[float, float], Limiter], span: float, seconds: float, start: float
) -> None:
    told = hear(kind(3000, span), 40, seconds, start)
    assert told == pytest.approx(50, rel=0.1)


@pytest.mark.parametrize("remaining", [0, 7000, 14_399])
def test_a_limit_by_the_day_is_none_to_be_paced_by(remaining: float) -> None:
    reader = ResetReader()
    for second in range(10):
        day = LimitHint(limit=14_400, remaining=remaining, reset=44_400 - second)
        assert reader.read(day, float(second)) is None


def test_a_limit_of_next_to_nothing_is_no_hint() -> None:
    told = {"limit": "1e-322", "remaining": "0", "reset": "1s"}
    headers = {f"x-ratelimit-{word}-requests": value for word, value in told.items()}
    assert read_hint(headers, "requests") is None
