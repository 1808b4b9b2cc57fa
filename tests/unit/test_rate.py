"""Rate decisions: pure, with time as an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rate.controller import CallReport, Outcome, RateConfig, RateController
from penstock.rate.headers import LimitHint, parse_reset, read_hint
from penstock.rate.pace import LearnedPace
from penstock.rate.pacer import Pacer


@given(
    rate=st.floats(0.1, 1000),
    steps=st.lists(st.floats(0, 5), min_size=1, max_size=200),
)
def test_a_pacer_never_lets_more_through_than_its_rate(rate: float, steps: list[float]) -> None:
    pacer, now, passed = Pacer(rate), 0.0, 0
    for step in steps:
        now += step
        if pacer.wait(now) <= 0:
            pacer.take(now, 1.0)
            passed += 1
    assert passed <= now * rate + 1 + 1e-6


def test_a_pacer_without_a_rate_lets_everything_pass() -> None:
    pacer = Pacer()
    for _ in range(100):
        assert pacer.wait(0.0) == 0.0
        pacer.take(0.0, 1e6)


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
def test_header_nonsense_is_never_an_error(headers: dict[str, str]) -> None:
    hint = read_hint(headers, "requests")
    assert hint is None or hint.limit > 0


def ended(
    controller: RateController, now: float, outcome: Outcome, sent_at: float, **more: object
) -> None:
    controller.ended(now, CallReport(outcome, sent_at, **more), 1)  # type: ignore[arg-type]


def test_slow_start_doubles_each_round_trip_while_permits_are_used() -> None:
    controller = RateController(RateConfig(1, 64))
    seen = [controller.limit]
    for trip in range(5):
        out = controller.limit
        for _ in range(out):
            controller.sent(float(trip), 0, 1.0)
        for left in range(out, 0, -1):
            controller.ended(trip + 0.5, CallReport(Outcome.OK, float(trip)), max(left, out))
        seen.append(controller.limit)
    assert seen == [4, 8, 16, 32, 64, 64]


def test_unused_permits_do_not_grow() -> None:
    controller = RateController(RateConfig(1, 64))
    for now in range(50):
        controller.ended(float(now), CallReport(Outcome.OK, now - 0.1), 1)
    assert controller.limit == 4


def test_fixed_concurrency_is_there_from_the_first_call_and_stays() -> None:
    controller = RateController(RateConfig(10, 10))
    assert controller.limit == 10
    ended(controller, 1.0, Outcome.OVERLOADED, 0.5)
    assert controller.limit == 10


def test_a_stated_limit_is_paced_from_the_start() -> None:
    controller = RateController(RateConfig(1, 64, requests_per_second=50))
    sent, now = 0, 0.0
    while now < 10:
        wait = controller.wait(now, 0)
        assert wait is not None
        if wait == 0:
            controller.sent(now, 0, 1.0)
            sent += 1
        else:
            now += wait
    assert sent == pytest.approx(500, abs=2)


def test_a_share_divides_a_stated_limit() -> None:
    controller = RateController(RateConfig(1, 64, requests_per_second=50))
    controller.set_share(0.25)
    controller.sent(0.0, 0, 1.0)
    assert controller.wait(0.0, 0) == pytest.approx(1 / 12.5)
    assert controller.requests_per_second == pytest.approx(50)


def test_retry_after_stops_everything_until_then() -> None:
    controller = RateController(RateConfig(1, 64))
    for now in range(10):
        ended(controller, now / 10, Outcome.OK, now / 10 - 0.05)
    ended(controller, 1.0, Outcome.THROTTLED, 0.9, retry_after=7.0)
    wait = controller.wait(1.0, 0)
    assert wait is not None
    assert wait == pytest.approx(7.0)
    ended(controller, 1.1, Outcome.THROTTLED, 0.95, retry_after=8.0)
    longer = controller.wait(1.1, 0)
    assert longer is not None
    assert longer >= 8.0


def test_one_episode_is_cut_once_however_many_429s_it_has() -> None:
    pace = LearnedPace(None)
    controller = RateController(RateConfig(1, 64))
    for n in range(100):
        ended(controller, n * 0.02, Outcome.OK, n * 0.02)
    ended(controller, 2.0, Outcome.THROTTLED, 1.9)
    rate = controller.requests_per_second
    assert rate is not None
    for _ in range(30):
        ended(controller, 2.01, Outcome.THROTTLED, 1.95)
    assert controller.requests_per_second == rate
    assert pace.rate == float("inf")


def test_what_was_admitted_is_what_is_learned() -> None:
    pace = LearnedPace(None)
    for n in range(250):
        pace.admitted(n / 50)  # 50 a second for 5 s
    pause = pace.throttled(5.0, None)
    assert pace.rate == pytest.approx(0.85 * 50, rel=0.05)
    assert 0 < pause < 1


def test_overload_cuts_concurrency_and_pauses() -> None:
    controller = RateController(RateConfig(1, 64))
    for _ in range(60):
        controller.ended(0.5, CallReport(Outcome.OK, 0.1), 64)
    before = controller.limit
    controller.ended(1.0, CallReport(Outcome.OVERLOADED, 0.9), 64)
    assert controller.limit == int(before * 0.7)
    wait = controller.wait(1.0, 0)
    assert wait is not None
    assert wait > 0


def test_headers_set_the_pace() -> None:
    controller = RateController(RateConfig(1, 64))
    headers = {
        "x-ratelimit-limit-requests": "3000",
        "x-ratelimit-remaining-requests": "1500",
        "x-ratelimit-reset-requests": "30s",
    }
    ended(controller, 1.0, Outcome.OK, 0.5, headers=headers)
    assert controller.requests_per_second is not None
    assert 50 <= controller.requests_per_second <= 75


def test_a_limit_by_the_day_is_not_taken_for_one_by_the_minute() -> None:
    pace = LearnedPace(None)
    day = LimitHint(limit=14_400, remaining=7_000, reset=44_400)
    assert not pace.hinted(1.0, day, 1.0)
    assert pace.rate == float("inf")


def test_what_holds_back_is_said() -> None:
    controller = RateController(RateConfig(1, 8, requests_per_second=10))
    controller.sent(0.0, 0, 1.0)
    controller.wait(0.0, 0)
    assert controller.held_back() == "rate limit, stated: 600 requests/min"
    controller.wait(5.0, 8)
    assert controller.held_back() == "concurrency cap 8 a worker"
