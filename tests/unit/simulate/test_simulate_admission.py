"""Requests and tokens together, clients apart, and the hints a provider gives."""

from __future__ import annotations

import pytest

from penstock.simulate.admission import Admission, duration
from penstock.simulate.options import SimulatorConfig


def test_without_limits_everything_passes() -> None:
    admission = Admission(SimulatorConfig())
    assert all(admission.admit("a", 0.0, 10**9).refused_by is None for _ in range(1000))


def test_each_client_has_limits_of_its_own_until_it_is_forgotten() -> None:
    admission = Admission(SimulatorConfig(rpm=60))
    assert admission.admit("a", 0.0, 0).refused_by is None
    assert admission.admit("a", 0.0, 0).refused_by == "requests"
    assert admission.admit("b", 0.0, 0).refused_by is None
    admission.forget("a")
    assert admission.admit("a", 0.0, 0).refused_by is None


def test_a_change_of_the_limits_holds_for_those_who_are_known_and_those_who_come() -> None:
    admission = Admission(SimulatorConfig(rpm=60, tpm=600, depth=10))
    admission.admit("known", 0.0, 0)
    admission.change(0.0, 0.5)
    assert admission.per_minute() == {"requests": 30, "tokens": 300}
    for client in ("known", "new"):
        passed = [admission.admit(client, 0.0, 0).refused_by is None for _ in range(6)]
        assert passed == [True] * 5 + [False]


def test_the_limit_that_is_used_up_is_the_one_that_refuses() -> None:
    admission = Admission(SimulatorConfig(rpm=600, tpm=6000, depth=1))
    assert admission.admit("a", 0.0, 100).refused_by is None
    verdict = admission.admit("a", 0.0, 10)
    assert verdict.refused_by == "tokens"
    assert verdict.retry_after == pytest.approx(0.1)
    for _ in range(9):
        assert admission.admit("a", 0.0, 0).refused_by is None
    assert admission.admit("a", 0.0, 0).refused_by == "requests"


def test_a_refused_call_takes_nothing_from_either_limit() -> None:
    admission = Admission(SimulatorConfig(rpm=600, tpm=6000, depth=1, hints="headers"))
    admission.admit("a", 0.0, 100)
    before = admission.admit("a", 0.0, 50).headers
    after = admission.admit("a", 0.0, 50).headers
    assert before == after
    assert after["x-ratelimit-remaining-requests"] == "9"


def test_refused_calls_count_where_asked_for() -> None:
    counting = Admission(SimulatorConfig(rpm=60, limit="sliding", count_rejected=True))
    for second in range(60):
        assert counting.admit("a", float(second), 0).refused_by is None
    # One call a second goes on exactly at the limit; three at once push the next free place away.
    waits = [counting.admit("a", 59.0, 0).retry_after for _ in range(3)]
    assert waits == [2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("hints", "names"),
    [
        ("none", set()),
        ("retry-after", {"Retry-After", "retry-after-ms"}),
        (
            "headers",
            {"Retry-After", "retry-after-ms"}
            | {f"x-ratelimit-{what}-requests" for what in ("limit", "remaining", "reset")},
        ),
    ],
)
def test_hints_on_a_refusal(hints: str, names: set[str]) -> None:
    admission = Admission(SimulatorConfig(rpm=60, hints=hints))  # type: ignore[arg-type]
    passed = admission.admit("a", 0.0, 0).headers
    refused = admission.admit("a", 0.75, 0).headers
    assert set(refused) == names
    assert set(passed) == {name for name in names if name.startswith("x-ratelimit")}
    if names:
        assert (refused["Retry-After"], refused["retry-after-ms"]) == ("1", "250")


def test_headers_describe_both_limits() -> None:
    admission = Admission(SimulatorConfig(rpm=60, tpm=90_000, depth=60, hints="headers"))
    headers = admission.admit("a", 0.0, 30_000).headers
    assert headers == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "90000",
        "x-ratelimit-remaining-tokens": "60000",
        "x-ratelimit-reset-tokens": "20s",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0001, "1ms"),
        (0.02, "20ms"),
        (1, "1s"),
        (1.5, "1.5s"),
        (59.9999, "1m0s"),
        (86.4, "1m26.4s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
        (5025.25, "1h23m45.25s"),
    ],
)
def test_durations_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_it_says_what_the_limits_really_let_through() -> None:
    windows = Admission(SimulatorConfig(rpm=100, tpm=1000, limit="fixed", window=10))
    assert windows.per_minute() == {"requests": 96, "tokens": 996}
    assert Admission(SimulatorConfig(rpm=100)).per_minute() == {"requests": 100}
