"""A worker's side: sends when it may, says what it saw, does as it is told, and copes alone."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rate.bounds import Bounds, CallReport, Outcome
from penstock.rate.explain import Hold
from penstock.rate.member import HOLD, OFTEN, REMEMBER, SELDOM, SILENCE, Member
from tests.unit.rate.drive import answered, orders, refused, sends

BOUNDS, FIXED, STATED = Bounds(1, 64), Bounds(8, 8), Bounds(1, 64, 10.0, 10.0)


def member(now: float = 100.0, **told: Any) -> Member:
    """One that has heard of a leader."""
    made = Member(BOUNDS, "a")
    made.apply(now, orders(now, **told))
    return made


def clock(at: float) -> str:
    """As it stands on the wall."""
    return time.strftime("%H:%M:%S %Z", time.localtime(at))


def test_before_it_heard_of_a_leader_it_sends_nothing() -> None:
    new = Member(BOUNDS, "a")
    assert new.wait(100.0, 0) is None
    new.apply(100.0, None)
    assert new.wait(100.0, 0) is None
    assert new.limit == 0


def test_where_concurrency_is_fixed_there_is_nothing_to_wait_for() -> None:
    new = Member(Bounds(10, 10), "a")
    new.apply(100.0, None)
    assert new.wait(100.0, 9) == 0.0
    assert new.wait(100.0, 10) is None
    assert new.claims


@pytest.mark.parametrize(
    ("told", "wait"),
    [
        ({}, 0.0),
        ({"active": False}, None),
        ({"calls": 3}, None),
        ({"calls": 4}, 0.0),
        ({"resumeAt": 107.0}, 7.0),
        ({"holdUntil": 102.0}, 2.0),
        ({"resumeAt": 90.0, "holdUntil": 99.0}, 0.0),
        ({"single": True, "calls": 1}, 0.0),
    ],
)
def test_orders_are_obeyed(told: dict[str, Any], wait: float | None) -> None:
    assert member(**told).wait(100.0, in_flight=3) == wait


def test_what_is_ordered_is_the_pace() -> None:
    sent = sends(member(requests=20.0), 100.0, 110.0)
    assert len(sent) == pytest.approx(200, abs=2)
    assert max(after - before for before, after in pairwise(sent[2:])) < 0.06


def test_members_that_take_turns_never_send_together() -> None:
    times = sorted(
        at
        for slot in range(4)
        for at in sends(member(requests=5.0, slot=slot, of=4), 100.0, 102.4)[1:]
    )
    assert min(after - before for before, after in pairwise(times)) > 0.04


Event = tuple[str, float]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ok", "429", "503", "active", "idle", "hold", "resume", "single"]),
            st.floats(0.01, 2.0),
        ),
        max_size=60,
    )
)
def test_it_never_sends_while_inactive_held_or_full(events: list[Event]) -> None:
    one, now, told = member(calls=3, requests=50.0), 100.0, orders(100.0, calls=3)
    out: list[float] = []
    for event, seconds in events:
        now += seconds
        if event in ("ok", "429", "503"):
            if out:
                sent_at = out.pop(0)
                outcome = {"ok": Outcome.OK, "429": Outcome.THROTTLED, "503": Outcome.OVERLOADED}
                one.ended(now, CallReport(outcome[event], sent_at), len(out) + 1)
        else:
            told = orders(
                now,
                calls=3,
                active=event != "idle",
                single=event == "single",
                holdUntil=now + 1.0 if event == "hold" else 0.0,
                resumeAt=now + 1.0 if event == "resume" else 0.0,
            )
            one.apply(now, told)
        may = one.wait(now, len(out)) == 0
        if may:
            assert told["active"]
            assert now >= max(told["holdUntil"], told["resumeAt"])
            assert len(out) < 3 or told["single"]
            one.sent(now, 0, 1.0)
            out.append(now)


def test_orders_older_than_the_last_are_ignored() -> None:
    one = member(now=100.0, calls=5)
    one.apply(100.5, orders(99.0, calls=50, active=False))
    assert one.limit == 5
    one.apply(100.5, orders(100.0, calls=50))
    assert one.limit == 5
    one.apply(100.6, orders(100.5, calls=50))
    assert one.limit == 50


def test_a_single_call_is_one_call() -> None:
    one = member(single=True, calls=1)
    assert sends(one, 100.0, 100.14, latency=None) == [100.0]
    again = sends(one, 100.14, 100.4, latency=None)  # it was not refused: it goes on
    assert len(again) == 2


def test_orders_that_come_while_a_single_call_is_out_send_no_second_one() -> None:
    one = member(single=True, calls=1)
    assert one.wait(100.0, 0) == 0.0
    one.sent(100.0, 0, 1.0)
    one.apply(100.05, orders(100.05, single=True, calls=1))
    wait = one.wait(100.05, 1)
    assert wait is not None
    assert wait >= 0.09
    one.ended(100.08, refused(100.0), 1)
    one.apply(100.09, orders(100.09, single=True, calls=1))
    wait = one.wait(100.09, 0)
    assert wait is not None
    assert 0 < wait < 0.1  # not as long as one that has a leader to wait for


def test_two_refusals_in_a_row_hold_it_one_does_not() -> None:
    one = member()
    for _ in range(3):
        one.sent(100.0, 0, 1.0)
    one.ended(100.1, refused(100.0), 3)
    assert one.urgent
    assert one.wait(100.1, 2) == 0.0
    one.ended(100.1, answered(100.0), 2)
    one.sent(100.2, 0, 1.0)
    one.ended(100.3, refused(100.2), 2)
    assert one.wait(100.3, 1) == 0.0
    one.sent(100.3, 0, 1.0)
    one.ended(100.4, refused(100.3), 2)
    assert one.wait(100.4, 1) == pytest.approx(HOLD)


def test_retry_after_counts_from_when_the_call_was_sent() -> None:
    one = member()
    one.sent(100.0, 0, 1.0)
    one.ended(100.4, refused(100.0, retry_after=7.0), 1)
    assert one.wait(100.4, 0) == pytest.approx(6.6)
    assert one.report(100.4)["retryAt"] == 107.0
    one.sent(100.4, 0, 1.0)
    one.ended(100.5, refused(100.4, retry_after=2.0), 1)
    assert one.wait(100.5, 0) == pytest.approx(6.5)  # the longer one stands


def test_overload_is_knocked_at_more_and_more_seldom() -> None:
    one, now, waits = member(), 100.0, []
    for _ in range(10):
        one.sent(now, 0, 1.0)
        one.ended(now + 0.1, CallReport(Outcome.OVERLOADED, now), 1)
        wait = one.wait(now + 0.1, 0)
        assert wait is not None
        waits.append(round(wait, 3))
        now += 0.1 + wait
        one.apply(now, orders(now))
    assert waits == [0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    one.sent(now, 0, 1.0)
    one.ended(now + 1, answered(now), 1)
    one.sent(now + 2, 0, 1.0)
    one.ended(now + 2.1, CallReport(Outcome.OVERLOADED, now + 2), 1)
    assert one.wait(now + 2.1, 0) == 0.0


def test_an_overload_that_says_for_how_long_is_the_whole_fleets() -> None:
    one = member()
    one.sent(100.0, 0, 1.0)
    one.ended(100.1, CallReport(Outcome.OVERLOADED, 100.0, retry_after=7.0), 1)
    assert one.urgent
    told = one.report(100.1)
    assert told["retryAt"] == 107.0
    assert [fate for _, _, _, fate in told["calls"]] == [0]  # it measures no limit


def test_a_spent_quota_is_knocked_at_seldom() -> None:
    one, now, waits = member(), 100.0, []
    for _ in range(7):
        one.sent(now, 0, 1.0)
        one.ended(now + 0.1, CallReport(Outcome.QUOTA, now), 1)
        one.ended(now + 0.1, CallReport(Outcome.QUOTA, now), 1)  # was out with it
        wait = one.wait(now + 0.1, 0)
        assert wait is not None
        waits.append(round(wait, 3))
        now += 0.1 + wait
        one.apply(now, orders(now))
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_calls_that_were_out_when_a_pause_began_do_not_lengthen_it() -> None:
    one = member()
    for _ in range(20):
        one.sent(100.0, 0, 1.0)
    for left in range(20, 0, -1):
        one.ended(100.1, CallReport(Outcome.OVERLOADED, 100.0), left)
    assert one.wait(100.1, 0) == pytest.approx(0.5)


def test_tokens_that_were_not_used_are_given_back() -> None:
    one = member(tokens=100.0)
    one.sent(100.0, 1000, 1.0)
    before = one.wait(100.0, 1)
    one.ended(100.0, answered(100.0, tokens=1000, used_tokens=400), 1)
    after = one.wait(100.0, 0)
    assert before is not None
    assert after is not None
    assert before - after == pytest.approx(6.0)
    assert one.report(100.5)["calls"] == [[100.0, 1, 400, 0]]


def test_in_silence_it_goes_on_at_what_was_safe_and_slows_down() -> None:
    one = member(requests=100.0, safe=[90.0, None], calls=1000)
    assert len(sends(one, 100.0, 100.0 + SILENCE)) == pytest.approx(100 * SILENCE, abs=8)
    begin = 100.0 + SILENCE
    counts = [len(sends(one, begin + 30 * n, begin + 30 * (n + 1))) for n in range(4)]
    assert counts == [pytest.approx(30 * 90 * 0.9**n, rel=0.01) for n in range(4)]
    later = begin + 120
    one.apply(later, orders(later, requests=100.0, calls=1000))
    assert len(sends(one, later, later + 1)) == pytest.approx(100, abs=7)


def test_in_silence_nothing_that_a_leader_would_have_ended_holds_it() -> None:
    one = member(single=True, holdUntil=1e6)
    one.wait(100.0 + SILENCE, 0)
    assert len(sends(one, 110.0, 111.0)) > 10


def test_in_silence_each_refusal_slows_it_down() -> None:
    one = member(requests=100.0, safe=[90.0, None])
    one.wait(110.0, 0)
    for number in range(20):
        at = 110.0 + number
        one.sent(at, 0, 1.0)
        one.ended(at + 0.1, refused(at), 1)
    assert len(sends(one, 150.0, 160.0)) < 700


def test_reports_overlap_and_forget() -> None:
    one = member()
    one.sent(100.0, 0, 1.0)
    one.sent(101.0, 0, 1.0)
    first = one.report(102.0)
    one.sent(103.0, 0, 1.0)
    second = one.report(103.5)
    assert [entry[0] for entry in first["calls"]] == [100.0, 101.0]
    assert [entry[0] for entry in second["calls"]] == [100.0, 101.0, 103.0]
    assert [entry[0] for entry in one.report(101.5 + REMEMBER)["calls"]] == [103.0]


def test_what_is_not_yet_known_is_told_as_such_and_stops_the_account() -> None:
    one = member()
    one.sent(100.0, 0, 1.0)
    one.sent(101.0, 0, 1.0)
    told = one.report(101.05)
    assert [entry[3] for entry in told["calls"]] == [0, -1]  # a refusal would have been fast
    assert 100.0 < told["until"] < 101.0
    one.ended(101.08, refused(101.0), 2)
    told = one.report(101.1)
    assert [entry[3] for entry in told["calls"]] == [0, 1]
    assert told["until"] > 101.0


def test_it_waits_longer_for_refusals_where_they_take_longer() -> None:
    one = member()
    one.sent(100.0, 0, 1.0)
    one.ended(100.8, refused(100.0), 1)
    one.sent(101.0, 0, 1.0)
    assert one.report(101.5)["calls"][-1][3] == -1
    assert one.report(103.0)["calls"][-1][3] == 0


@given(
    rate=st.sampled_from([30.0, 120.0, 700.0]),
    syncs=st.lists(st.floats(0.05, 1.5), min_size=3, max_size=12),
)
def test_each_call_is_in_some_report_and_settled_once(rate: float, syncs: list[float]) -> None:
    one, now, sent, settled, seen = member(calls=10_000), 100.0, 0, 0.0, float("-inf")
    next_call = now
    for pause in [*syncs, 0.5, 0.5]:
        now += pause
        while next_call < now and len(syncs) > 0:
            one.sent(next_call, 0, 1.0)
            sent += 1
            next_call += 1 / rate
        told = one.report(now)
        settled += sum(calls for at, calls, _, _ in told["calls"] if seen < at <= told["until"])
        seen = max(seen, told["until"])
        assert len(told["calls"]) < 500
    told = one.report(now + 0.5)
    settled += sum(calls for at, calls, _, _ in told["calls"] if seen < at <= told["until"])
    assert settled == sent


def test_a_report_is_json_and_says_how_it_stands() -> None:
    one = Member(BOUNDS, "job")
    one.holding = lambda: 7
    one.apply(100.0, orders(100.0, calls=2))
    one.wait(100.0, 0)
    one.sent(100.0, 0, 1.0)
    one.ended(100.5, answered(100.0), 1)
    one.wait(100.5, 0)
    told = json.loads(json.dumps(one.report(100.6), allow_nan=False))
    assert told["job"] == "job"
    assert told["holding"] == 7
    assert told["completed"] == 1
    assert told["busy"] == pytest.approx(0.5)
    assert told["inFlight"] == 0
    assert told["starved"] is False  # it asked, so it has something to send
    assert one.report(100.7)["starved"] is True


def test_headers_are_passed_on() -> None:
    one = member()
    one.sent(100.0, 0, 1.0)
    headers = {
        "x-ratelimit-limit-requests": "3000",
        "x-ratelimit-remaining-requests": "2999",
        "x-ratelimit-reset-requests": "20ms",
    }
    one.ended(100.2, answered(100.0, headers=headers), 1)
    assert one.report(100.3)["hints"] == {"requests": 50.0}


def test_it_asks_often_while_something_is_found_out() -> None:
    assert Member(BOUNDS, "a").next_sync(0.0) == OFTEN
    assert member(tense=True).next_sync(100.0) == OFTEN
    assert member(tense=False).next_sync(100.0) == SELDOM


def test_who_waits_for_orders_hears_of_them() -> None:
    heard: list[bool] = []
    one = Member(BOUNDS, "a")
    one.changed = lambda: heard.append(one.claims)
    one.apply(100.0, orders(100.0, claim=True))
    one.apply(100.0, orders(99.0, claim=False))
    one.apply(101.0, orders(101.0, claim=False))
    assert heard == [True, False]


KNEE = "knee at 6: more calls at once make the far side slower (8: by 3.1 %)"


@pytest.mark.parametrize(
    ("bounds", "told", "in_flight", "held", "says"),
    [
        (BOUNDS, {"requests": 1.0, "rate": 50.0}, 0, Hold.PACE, "learned: 3,000 requests/min"),
        (BOUNDS, {"requests": 1.0}, 0, Hold.PACE, "still finding out how fast calls may come"),
        (STATED, {"requests": 1.0, "rate": 9.9}, 0, Hold.PACE, "stated: 600 requests/min"),
        (STATED, {"requests": 1.0, "rate": 5.0}, 0, Hold.PACE, "learned: 300 requests/min"),
        (BOUNDS, {"tokens": 5.0, "of": 2, "rate": 1.0}, 0, Hold.PACE, "learned: 600 tokens/min"),
        (STATED, {"tokens": 9.95, "rate": 1.0}, 0, Hold.PACE, "stated: 600 tokens/min"),
        (BOUNDS, {"why": KNEE, "calls": 6, "rate": 50.0}, 6, Hold.CALLS, KNEE),
        (BOUNDS, {"why": KNEE, "calls": 64}, 64, Hold.CALLS, "scaling.concurrency.max: 64 in"),
        (FIXED, {"calls": 8}, 8, Hold.CALLS, "scaling.concurrency: fixed at 8 in flight"),
        (BOUNDS, {"resumeAt": 102.0}, 0, Hold.PAUSE, f"pause until {clock(102)}: the far side ref"),
        (BOUNDS, {"resumeAt": 110.0}, 0, Hold.PAUSE, f"pause until {clock(110)}: the far side ask"),
        (BOUNDS, {"resumeAt": 110.0, "rate": 5.0}, 0, Hold.PAUSE, f"pause until {clock(110)}: "),
        (BOUNDS, {"resumeAt": 102.0, "rate": 5.0}, 0, Hold.PACE, "learned: 300 requests/min"),
        (BOUNDS, {"active": False}, 0, Hold.REST, "other workers do all"),
    ],
)
def test_what_holds_it_back_is_said(
    bounds: Bounds, told: dict[str, Any], in_flight: int, held: Hold, says: str
) -> None:
    one = Member(bounds, "a")
    one.apply(100.0, orders(100.0, **told))
    while one.wait(100.0, in_flight) == 0:
        one.sent(100.0, 10, 1.0)
    assert one.held is held
    assert says in one.explain(held)


@pytest.mark.parametrize("held", Hold)
@pytest.mark.parametrize("resume_at", [0.0, 1e300])
def test_all_can_be_said_at_any_time(held: Hold, resume_at: float) -> None:
    assert Member(BOUNDS, "a").explain(held)
    assert member(resumeAt=resume_at).explain(held)


@pytest.mark.parametrize(
    ("outcome", "retry_after", "says"),
    [
        (Outcome.THROTTLED, 30.0, f"until {clock(130)}: the far side asks for it (Retry-After)"),
        (Outcome.OVERLOADED, 20.0, f"until {clock(120)}: the far side is overloaded (503)"),
    ],
)
def test_a_pause_is_said_with_its_reason(outcome: Outcome, retry_after: float, says: str) -> None:
    one = member()
    assert one.wait(100.0, 0) == 0
    one.sent(100.0, 0, 1.0)
    one.ended(100.0, CallReport(outcome, 100.0, retry_after), 1)
    one.wait(100.0, 0)
    assert one.held is Hold.PAUSE
    assert says in one.explain(one.held)


def test_no_more_calls_than_the_jobs_own_maximum() -> None:
    """Who leads may be of a job with other bounds."""
    member = Member(Bounds(1, 2), "job")
    member.apply(100.0, orders(100.0, calls=40))
    assert member.limit == 2


def test_no_faster_than_the_jobs_own_limit() -> None:
    member = Member(Bounds(1, 40, requests_per_second=0.5), "job")
    member.apply(100.0, orders(100.0, calls=40, requests=20.0))
    assert member.wait(100.0, 0) == 0.0
    member.sent(100.0, 0, 1.0)
    wait = member.wait(100.0, 1)
    assert wait is not None
    assert wait > 1.5


def test_a_fixed_number_of_calls_waits_for_orders_where_a_limit_is_stated() -> None:
    stated = Member(Bounds(10, 10, requests_per_second=1 / 60), "job")
    stated.apply(100.0, None)
    assert stated.limit == 0
    free = Member(Bounds(10, 10), "job")
    free.apply(100.0, None)
    assert free.limit == 10


def test_a_call_that_was_not_made_tells_nothing() -> None:
    member = Member(Bounds(1, 10), "job")
    member.apply(100.0, orders(100.0, calls=10))
    member.sent(100.5, 0, 1.0)
    member.sent(100.6, 0, 1.0)
    member.withdrawn(100.5)
    member.ended(100.7, CallReport(Outcome.TIMEOUT, 100.6, reached=False), 1)
    told = member.report(103.0)
    assert told["calls"] == []
    assert told["inFlight"] == 0


def test_an_overload_without_end_is_knocked_at_without_end() -> None:
    member, now = Member(Bounds(1, 10), "job"), 100.0
    member.apply(now, orders(now))
    for _ in range(2000):
        now += 40.0
        member.sent(now, 0, 1.0)
        member.ended(now + 0.1, CallReport(Outcome.OVERLOADED, now), 1)
    assert member.wait(now + 0.2, 0) is not None


def test_a_wait_at_a_low_rate_is_not_kept_at_a_higher_one() -> None:
    member = Member(Bounds(1, 10), "job")
    member.apply(100.0, orders(100.0, requests=0.001))
    member.sent(100.0, 0, 1.0)
    member.apply(101.0, orders(101.0, requests=5.0))
    wait = member.wait(101.0, 0)
    assert wait is not None
    assert wait <= 0.2
