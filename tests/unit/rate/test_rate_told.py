"""What others wrote into a shared pool: read if it makes sense, left aside if not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.rate.bounds import Bounds
from penstock.rate.leader import Leader
from penstock.rate.member import Member
from penstock.rate.told import (
    FORMAT,
    LEAST,
    LONGEST,
    MOST,
    MOST_DOUBT,
    Learned,
    Seen,
    read,
    read_orders,
    read_state,
)
from tests.unit.rate.drive import orders, report

VALUES: list[Any] = [
    None, True, "", "x", -1, 0, 0.5, 7, 10**400, 1e308, float("inf"), float("nan"), [], [1], [[1]],
    [[1, 1, 1]], [[1, 0, 5, 0]], [[None, 1, 1, 1]], {}, {"requests": 0}, {"requests": -1.0},
]  # fmt: skip
IN_FLIGHT = {"level": 12, "found": True, "latency": 0.4}
LIMIT = {"rate": 5.0, "window": 60.0, "doubt": 0.02}
STATE = {"at": 1.0, "limits": {"requests": LIMIT}, "inFlight": IN_FLIGHT}


def test_what_members_and_leaders_write_is_read_as_it_was_written() -> None:
    calls = [[1.5, 2, 300, 0], [1.6, 1, 0, -1]]
    told = read(
        json.loads(json.dumps(report(2.0, calls=calls, hints={"tokens": 5.0}, busy=1.5))), 2.0
    )
    assert told is not None
    assert told.until == 2.0
    assert told.calls == (Seen(1.5, 2, 300, 0), Seen(1.6, 1, 0, -1))
    assert told.hints == {"tokens": 5.0}
    wanted = read_orders(json.loads(json.dumps(orders(2.0, requests=5.0, safe=[4.5, None]))), 2.0)
    assert wanted is not None
    assert wanted.requests == 5.0
    assert wanted.tokens is None
    assert wanted.safe == (4.5, None)
    assert read_state(STATE) == Learned(1.0, {"requests": LIMIT}, IN_FLIGHT)
    assert read_state(None) == Learned()
    assert read_orders(None, 2.0) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("until", None),
        ("until", float("nan")),
        ("calls", 5),
        ("calls", [[1, 1, 1]]),
        ("calls", [[1, 0, 5, 0]]),
        ("completed", float("inf")),
        ("inFlight", "many"),
        ("retryAt", 10**400),
        ("hints", {"requests": 0}),
        ("hints", []),
    ],
)
def test_a_report_that_makes_no_sense_is_none(field: str, value: Any) -> None:
    assert read(report(2.0), 2.0) is not None
    assert read(report(2.0) | {field: value}, 2.0) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("rate", 0), ("rate", None), ("window", 0), ("window", -3), ("doubt", "x")],
)
def test_a_state_that_makes_no_sense_is_nothing_learned(field: str, value: Any) -> None:
    assert read_state({**STATE, "limits": {"requests": LIMIT | {field: value}}}) == Learned()


@pytest.mark.parametrize(
    ("field", "value"),
    [("level", None), ("level", float("inf")), ("latency", 0), ("latency", "long")],
)
def test_calls_in_flight_that_make_no_sense_are_nothing_learned(field: str, value: Any) -> None:
    assert read_state({**STATE, "inFlight": IN_FLIGHT | {field: value}}) == Learned()


@settings(deadline=None, max_examples=150)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from([*report(0.0), "extra"]), st.sampled_from(VALUES)), max_size=4
    ),
    state=st.sampled_from([STATE, None, *VALUES]),
)
def test_no_report_and_no_state_stops_the_leader(
    changes: list[tuple[str, Any]], state: Any
) -> None:
    leader = Leader(Bounds(1, 10), "a", state)
    for now in (100.0, 100.5, 101.0):
        mine = report(now, calls=[[now - 0.3, 1, 0, 0]])
        broken = report(now) | dict(changes)
        told = leader.tick(now, {"a": (mine, 0.0), "b": (broken, 0.0)})
        assert told.orders["a"]["active"]
        assert leader.limits.calls_a_second > 0


@given(st.sampled_from([*orders(0.0)]), st.sampled_from(VALUES))
def test_no_orders_break_a_member(field: str, value: Any) -> None:
    one = Member(Bounds(1, 10), "x")
    one.apply(100.0, orders(100.0, calls=3))
    one.apply(101.0, orders(101.0, calls=4) | {field: value})
    assert one.limit >= 0
    one.wait(101.0, 0)
    one.report(101.0)


YEAR = 365 * 86_400.0


@pytest.mark.parametrize(
    ("said", "read_as"),
    [
        ({"until": 100.0 + YEAR}, {"until": 101.0}),
        ({"retryAt": 100.0 + YEAR}, {"retry_at": 100.0 + LONGEST}),
        ({"retryAt": 160.0}, {"retry_at": 160.0}),
        ({"calls": [[100.0 + YEAR, 1, 0, 1]]}, {"calls": (Seen(101.0, 1, 0, 1),)}),
    ],
)
def test_what_lies_far_ahead_is_believed_for_a_while(
    said: dict[str, Any], read_as: dict[str, Any]
) -> None:
    told = read(report(99.0) | said, 100.0)
    assert {name: getattr(told, name) for name in read_as} == read_as


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("calls", [[99.0, 1e300, 0, 0]]),
        ("calls", [[99.0, 1, 1e300, 0]]),
        ("completed", 1e300),
        ("busy", 1e300),
        ("inFlight", 1e300),
    ],
)
def test_totals_that_would_swallow_all_others_are_not_read(field: str, value: Any) -> None:
    assert read(report(99.0) | {field: value}, 100.0) is None


def test_orders_for_ever_are_obeyed_for_a_while() -> None:
    wanted = read_orders(
        orders(100.0 + YEAR, resumeAt=100.0 + YEAR, holdUntil=100.0 + YEAR, requests=1e-300), 100.0
    )
    assert wanted is not None
    assert (wanted.at, wanted.resume_at, wanted.hold_until) == (101.0, 100.0 + LONGEST, 110.0)
    assert wanted.requests == LEAST
    one = Member(Bounds(1, 10), "x")
    one.apply(100.0, orders(100.0 + YEAR, calls=0, active=False, holdUntil=100.0 + YEAR))
    one.apply(101.5, orders(101.5, calls=3))
    assert one.limit == 3
    assert one.wait(101.5, 0) == 0.0


def test_orders_of_more_than_any_limit_are_obeyed_as_far_as_one_goes() -> None:
    wanted = read_orders(orders(100.0, requests=1e12, tokens=5.0, safe=[1e12, None], rate=1e300), 0)
    assert wanted is not None
    assert (wanted.requests, wanted.tokens, wanted.rate) == (MOST, 5.0, MOST)
    assert wanted.safe == (MOST, None)


@pytest.mark.parametrize("rate", [1.0, 2 * MOST])
def test_however_high_a_limit_is_stated_calls_are_sent(rate: float) -> None:
    bounds = Bounds(1, 10, requests_per_second=rate, tokens_per_second=rate)
    leader, one = Leader(bounds, "a"), Member(bounds, "x")
    one.apply(100.0, leader.tick(100.0, {"a": (one.report(100.0), 0.0)}).orders["a"])
    assert one.wait(100.0, 0) == 0.0


@pytest.mark.parametrize(("rate", "read_as"), [(1e-300, LEAST), (2.0, 2.0)])
def test_a_state_of_nearly_nothing_a_second_is_no_end(rate: float, read_as: float) -> None:
    limit = STATE["limits"]["requests"] | {"rate": rate, "doubt": 1e300}  # type: ignore[index]
    limits = read_state({**STATE, "limits": {"requests": limit}}).limits
    assert limits["requests"]["rate"] == read_as
    assert limits["requests"]["doubt"] == MOST_DOUBT


def test_a_change_of_what_is_told_is_a_new_format() -> None:
    """Raise FORMAT when this fails: workers of two versions would misread each other."""
    state = Leader(Bounds(1, 10), "a", STATE).tick(1.0, {"a": (report(1.0), 0.0)})
    fields = {
        "report": [*Member(Bounds(1, 10), "a").report(1.0)],
        "orders": [*state.orders["a"]],
        "state": [
            *state.state,
            *state.state["limits"]["requests"],
            *state.state["inFlight"],
        ],
    }
    assert FORMAT == 1
    assert {name: " ".join(sorted(found)) for name, found in fields.items()} == {
        "report": "busy calls completed hints holding inFlight job retryAt starved until",
        "orders": "active at calls claim holdUntil of rate requests resumeAt safe single slot"
        " tense tokens why",
        "state": "at doubt found inFlight latency level limits rate window",
    }


def test_what_one_says_for_ever_is_over_when_it_says_so_no_more() -> None:
    leader, later = Leader(Bounds(1, 10), "a", STATE | {"at": 100.0 + YEAR}), 100.0 + YEAR
    lies = report(later, retryAt=later, calls=[[later, 1, 0, 1]], job="b")
    told = leader.tick(100.0, {"a": (report(100.0), 0.0), "b": (lies, 0.0)})
    assert told.orders["a"]["resumeAt"] <= 100.0 + LONGEST + 11
    now = 100.0 + LONGEST + 20
    for step in range(10):
        at = now + 0.5 * step
        mine = report(at, calls=[[at - 0.3, 1, 0, 0]])
        told = leader.tick(at, {"a": (mine, 0.0)})
    assert told.orders["a"]["resumeAt"] == 0.0
    assert not told.orders["a"]["single"]
    assert leader.limits.blocked == 0


def test_what_no_leader_could_reckon_with_is_bounded() -> None:
    huge = LIMIT | {"rate": 1.7e308}
    assert read_state({**STATE, "limits": {"requests": huge}}) == Learned()
    told = read(report(0.0), 100.0)
    assert told is not None
    assert told.until == 96.0
