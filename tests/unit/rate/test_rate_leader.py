"""The pool's side: counts each call once, shares the pace out, takes over and is taken over."""

from __future__ import annotations

import json
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.rate.bounds import Bounds
from penstock.rate.leader import DEAD, GAP, IDLE, Leader, Orders
from penstock.rate.member import Member
from tests.unit.rate.drive import answered, orders, refused, report, tick_on

BOUNDS = Bounds(1, 100)
Report = dict[str, Any]


def learned(rate: float, at: float = 100.0, window: float | None = None) -> dict[str, Any]:
    """The state that a leader leaves that knows a rate."""
    return {
        "at": at,
        "limits": {"requests": {"rate": rate, "window": window, "doubt": 0.02}},
        "inFlight": {"level": 8, "found": False, "latency": None},
    }


def knowing(rate: float, bounds: Bounds = BOUNDS) -> Leader:
    """The leader `a` of a pool that has learned this rate."""
    return Leader(bounds, "a", learned(rate))


def shares(told: Orders) -> dict[str, float]:
    """Calls a second of each member that has a share."""
    return {name: order["requests"] for name, order in told.orders.items() if order["active"]}


def four(now: float = 100.0) -> dict[str, Report]:
    """Members of two jobs."""
    return {name: report(now, job="xyxy"["abcd".index(name)]) for name in "abcd"}


@settings(deadline=None, max_examples=20)
@given(
    rates=st.lists(st.sampled_from([3.0, 30.0, 90.0]), min_size=1, max_size=3),
    every=st.floats(0.2, 1.0),
    lose=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 1000),
)
def test_reports_that_repeat_and_get_lost_count_each_call_once(
    rates: list[float], every: float, lose: float, seed: int
) -> None:
    random = Random(seed)
    names = "abc"[: len(rates)]
    leader = Leader(Bounds(1, 10_000), "a")
    members = {name: Member(Bounds(1, 10_000), "x") for name in names}
    for one in members.values():
        one.apply(100.0, orders(100.0, calls=10_000))
    nexts = dict(zip(names, (100 + random.random() for _ in names), strict=True))
    syncs, heard = dict.fromkeys(names, 100.0), dict.fromkeys(names, 0.0)
    seen: dict[str, tuple[Report, float]] = {}
    ends: list[tuple[float, str, float, bool]] = []
    sent = refusals = 0
    now = 100.0
    while now < 120.0:
        now += 0.01
        for name, rate in zip(names, rates, strict=True):
            if nexts[name] <= now < 118.0:
                no = random.random() < 0.05
                members[name].sent(now, 0, 1.0)
                ends.append((now + (0.05 if no else random.uniform(0.05, 3)), name, now, no))
                sent, refusals, nexts[name] = sent + 1, refusals + no, nexts[name] + 1 / rate
        for end in [end for end in ends if end[0] <= now]:
            ends.remove(end)
            told = refused(end[2]) if end[3] else answered(end[2])
            members[end[1]].ended(now, told, 1)
        for name in names:
            if syncs[name] <= now:
                syncs[name] = now + every
                said = json.loads(json.dumps(members[name].report(now)))
                if random.random() >= lose or now - heard[name] > 2:
                    heard[name], seen[name] = now, (said, now)
                if name == "a":
                    leader.tick(now, {key: (told, now - at) for key, (told, at) in seen.items()})
    leader.tick(now, {name: (one.report(now), 0.0) for name, one in members.items()})
    assert leader.limits.requests.journal.total == sent - refusals


def test_a_report_that_is_heard_twice_is_counted_once() -> None:
    leader = Leader(BOUNDS, "a")
    said = report(100.0, calls=[[99.0, 1, 0, 0], [99.5, 3, 0, 0]], completed=4, busy=2.0)
    for age in (0.0, 0.5, 1.0):
        leader.tick(100.0 + age, {"a": (said, age)})
    assert leader.limits.requests.journal.total == 4


def test_calls_are_taken_in_by_their_times_whoever_reports_first() -> None:
    leader = Leader(BOUNDS, "a")
    early = report(100.0, calls=[[99.0, 1, 0, 0], [99.4, 1, 0, 1], [99.8, 1, 0, 0]])
    late = report(100.0, calls=[[99.2, 1, 0, 1], [99.6, 1, 0, 1]])
    leader.tick(100.0, {"a": (early, 0.0), "b": (late, 0.0)})
    assert leader.limits.episodes == 1  # three refusals in a row, not one after the other's call
    assert leader.limits.requests.journal.total == 2


def test_a_call_that_is_not_settled_holds_back_those_after_it() -> None:
    leader = knowing(200.0)
    leader.tick(99.0, {"a": (report(99.0), 0.0), "b": (report(99.0), 0.0)})
    mine = report(100.0, calls=[[99.2, 1, 0, 0], [99.8, 1, 0, 0]])
    slow = report(99.5, calls=[[99.1, 1, 0, 0], [99.6, 1, 0, -1]])
    leader.tick(100.0, {"a": (mine, 0.0), "b": (slow, 0.0)})
    assert leader.limits.requests.journal.total == 2
    known = report(100.5, calls=[[99.6, 1, 0, 1]])
    leader.tick(100.5, {"a": (report(100.5), 0.0), "b": (known, 0.0)})
    assert leader.limits.requests.journal.total == 3
    assert leader.limits.episodes == 1


@pytest.mark.parametrize("rate", [5.0, 50.0, 100.0, 1000.0])
def test_two_jobs_have_equal_shares(rate: float) -> None:
    found = shares(tick_on(knowing(rate), four(), 100.0, 3))
    ours = [share for name, share in found.items() if name in "ac"]
    theirs = [share for name, share in found.items() if name in "bd"]
    assert sum(ours) == sum(theirs) > 0
    assert sum(found.values()) == pytest.approx(rate, rel=0.02)


def test_of_three_jobs_each_has_its_part_though_one_has_many_workers() -> None:
    members = {name: report(100.0, job="x") for name in "abcdef"}
    members |= {"y1": report(100.0, job="y"), "z1": report(100.0, job="z")}
    found = shares(tick_on(knowing(30.0), members, 100.0, 3))
    assert len(found) == 3
    assert {"y1", "z1"} < set(found)
    assert len(set(found.values())) == 1


def test_a_job_without_anything_to_send_leaves_its_share_to_the_others() -> None:
    leader, members = knowing(50.0), four()
    members["b"]["starved"] = members["d"]["starved"] = True
    for name in "bd":
        members[name]["inFlight"] = 0
    leader.tick(99.0, {name: (told, 0.0) for name, told in four(99.0).items()})
    assert set(shares(leader.tick(100.0, {n: (r, 0.0) for n, r in members.items()}))) == set("ab")
    found = shares(tick_on(leader, members, 100.0, IDLE + 1))
    assert set(found) == set("ac")
    assert sum(found.values()) == pytest.approx(50.0, rel=0.02)


def test_the_share_of_a_dead_member_is_the_others_within_five_seconds() -> None:
    leader, now, gone = knowing(150.0), 100.0, None
    members = {name: report(now) for name in "abcd"}
    before = shares(tick_on(leader, members, now, 2))
    assert len(before) == 4
    died = now = 102.0
    while gone is None and now < 110:
        now += 0.5
        fresh = {name: (report(now), 0.0) for name in "acd"}
        told = leader.tick(now, fresh | {"b": (report(died), now - died)})
        if "b" not in told.orders:
            gone = now
            assert sum(shares(told).values()) == pytest.approx(150.0, rel=0.02)
    assert gone is not None
    assert gone - died <= 5
    assert gone - died >= DEAD  # and not before it may be thought dead


@pytest.mark.parametrize(
    ("rate", "members", "active"),
    [(5.0, 20, 1), (39.0, 20, 1), (41.0, 20, 2), (390.0, 20, 10), (4000.0, 20, 20)],
)
def test_as_few_members_send_as_can_carry_the_pace(rate: float, members: int, active: int) -> None:
    names = ["a", *(f"m{number}" for number in range(1, members))]
    told = tick_on(knowing(rate), {name: report(100.0) for name in names}, 100.0, 2)
    found = shares(told)
    assert len(found) == active
    assert "a" in found
    assert sum(found.values()) == pytest.approx(rate, rel=0.02)
    slots = [told.orders[name]["slot"] for name in found]
    assert sorted(slots) == list(range(active))
    assert {told.orders[name]["of"] for name in found} == {active}


def test_slow_calls_need_more_members() -> None:
    leader = knowing(20.0, Bounds(1, 40))
    members = {name: report(100.0, inFlight=10) for name in "abcdefgh"}
    assert len(shares(tick_on(leader, members, 100.0, 2))) == 1
    for name in members:
        members[name] |= {"completed": 50, "busy": 50 * 10.0}  # ten seconds each
    assert len(shares(tick_on(leader, members, 103.0, 2))) == 7  # 1.3 · 20 · 10 / 40


def test_who_has_items_in_hand_ends_them_and_takes_no_more() -> None:
    members = {name: report(100.0) for name in "abc"}
    members["c"]["holding"] = 5
    told = tick_on(knowing(10.0), members, 100.0, 2)
    assert set(shares(told)) == {"a", "c"}
    assert told.orders["a"]["claim"]
    assert not told.orders["c"]["claim"]
    assert sum(shares(told).values()) == pytest.approx(10.0, rel=0.02)


def test_all_may_have_together_what_is_allowed_in_flight() -> None:
    leader = Leader(Bounds(10, 10), "a")
    told = tick_on(leader, {name: report(100.0) for name in "abc"}, 100.0, 1)
    assert [told.orders[name]["calls"] for name in "abc"] == [10, 10, 10]


def blocked(**other: Any) -> tuple[Leader, Orders]:
    """After two refusals in a row that nothing followed."""
    leader = knowing(80.0)
    leader.tick(100.0, {name: (report(100.0), 0.0) for name in "ab"})
    calls = [[100.1, 1, 0, 0], [100.2, 1, 0, 1], [100.3, 1, 0, 1]]
    told = report(100.5, calls=calls, **other)
    return leader, leader.tick(100.5, {"a": (report(100.5), 0.0), "b": (told, 0.0)})


def test_while_nothing_passes_one_call_at_a_time_by_the_leader() -> None:
    leader, told = blocked()
    assert told.orders["a"]["single"]
    assert not told.orders["b"]["single"]
    assert told.orders["b"]["holdUntil"] > 101.0
    assert told.orders["a"]["tense"]
    passed = report(101.0, calls=[[100.8, 1, 0, 0]])
    told = leader.tick(101.0, {"a": (passed, 0.0), "b": (report(101.0), 0.0)})
    assert not told.orders["a"]["single"]
    assert told.orders["b"]["holdUntil"] == 0.0


def test_it_knocks_more_and_more_seldom() -> None:
    leader, told = blocked()
    now, knocks = 100.5, [told.orders["a"]["resumeAt"]]
    while now < 115:
        now += 0.1
        at = knocks[-1]
        calls = [[at, 1, 0, 1]] if now >= at + 0.1 else []
        heard = {"a": (report(now, calls=calls), 0.0), "b": (report(now), 0.0)}
        resume = leader.tick(now, heard).orders["a"]["resumeAt"]
        if resume > at:
            knocks.append(resume)
    gaps = [after - before for before, after in pairwise(knocks)]
    assert max(gaps) <= 1.5
    assert gaps[-1] >= 0.9
    assert gaps[0] < 0.5


def test_what_one_member_is_told_to_wait_all_wait() -> None:
    _, told = blocked(retryAt=130.0)
    assert all(order["resumeAt"] >= 130.0 for order in told.orders.values())
    times = [told.orders[name]["resumeAt"] for name in "ab"]
    assert times[0] < times[1]  # and do not come back all at once


def test_a_leader_after_a_gap_starts_from_what_was_learned() -> None:
    leader = knowing(80.0)
    tick_on(leader, {"a": report(100.0)}, 100.0, 2)
    limits = leader.limits
    late = 102.0 + GAP + 1
    told = leader.tick(late, {"a": (report(late, calls=[[late - 1, 1, 0, 0]]), 0.0)})
    assert leader.limits is not limits  # accounts over the gap would be wrong
    assert leader.limits.rate == limits.rate == 80.0
    assert sum(shares(told).values()) == pytest.approx(80.0, rel=0.02)


def test_a_leader_that_goes_on_in_time_keeps_its_accounts() -> None:
    leader = knowing(80.0)
    leader.tick(100.0, {"a": (report(100.0), 0.0)})
    limits = leader.limits
    leader.tick(100.0 + GAP - 0.1, {"a": (report(102.9), 0.0)})
    assert leader.limits is limits


@pytest.mark.parametrize("state", [None, {}])
def test_without_a_state_it_begins_to_learn(state: dict[str, Any] | None) -> None:
    leader = Leader(BOUNDS, "a", state)
    told = leader.tick(100.0, {"a": (report(100.0), 0.0)})
    assert leader.limits.starting
    assert told.orders["a"]["rate"] is None
    assert told.state["limits"] == {}


def test_the_state_is_small_and_whoever_leads_next_starts_from_it() -> None:
    told = tick_on(Leader(BOUNDS, "a", learned(123.456789, window=59.123456789)), four(), 100.0, 5)
    text = json.dumps(told.state, allow_nan=False)
    assert len(text) < 2000
    again = tick_on(Leader(BOUNDS, "b", json.loads(text)), four(105.0), 106.0, 1)
    known = again.state["limits"]["requests"]
    assert known["rate"] == pytest.approx(123.456789)
    assert known["window"] == pytest.approx(59.123456789)
    assert json.loads(json.dumps(again.orders, allow_nan=False)) == again.orders


@pytest.mark.parametrize(("age", "sure"), [(5.0, True), (600.0, False)])
def test_what_is_old_is_doubted(age: float, sure: bool) -> None:
    leader = Leader(BOUNDS, "a", learned(50.0, at=1000.0))
    leader.tick(1000.0 + age, {"a": (report(1000.0 + age), 0.0)})
    limit = leader.limits.requests.limit
    assert limit.rate == 50.0
    assert (limit.doubt < 0.1) is sure


def test_headers_that_others_saw_long_ago_are_not_believed() -> None:
    hints = {"requests": 50.0}
    leader = Leader(BOUNDS, "a")
    leader.tick(100.0, {"a": (report(100.0), 0.0), "b": (report(100.0, hints=hints), 0.0)})
    assert leader.limits.rate is None
    leader.tick(100.5, {"a": (report(100.5, hints=hints), 0.0)})
    assert leader.limits.rate == 50.0


def test_what_is_known_of_the_knee_is_said() -> None:
    told = tick_on(Leader(BOUNDS, "a", learned(50.0)), {"a": report(100.0)}, 100.0, 1)
    assert "8 calls in flight" in told.orders["a"]["why"]


def test_what_the_gone_had_not_settled_is_forgotten() -> None:
    """Two refusals that a member told of before it left do not stop the others for good."""
    leader = knowing(50.0)
    late = report(99.0, calls=[[99.5, 1, 0, 1], [99.6, 1, 0, 1]])
    leader.tick(100.0, {"a": (report(100.0), 0.0), "b": (late, 0.0)})
    told = tick_on(leader, {"a": report(100.0)}, 100.0, 5)
    assert not told.orders["a"]["single"]


def test_what_a_late_member_had_done_before_is_not_of_now() -> None:
    leader = knowing(50.0)
    tick_on(leader, {"a": report(100.0)}, 100.0, 2)
    late = report(102.5, completed=90_000, busy=40_000.0)
    leader.tick(102.5, {"a": (report(102.5), 0.0), "b": (late, 0.0)})
    assert leader._in_flight.latency is None


def test_a_job_that_has_nothing_to_send_has_no_part_and_gets_it_back() -> None:
    """With real members: one that rests cannot know whether there is something to send."""
    leader, now = knowing(30.0), 100.0
    members = {name: Member(BOUNDS, "busy" if name < "c" else "idle") for name in "abcd"}
    idle_asks = False
    got: dict[str, float] = {}
    for step in range(200):
        now += 0.2
        told = leader.tick(now, {name: (one.report(now), 0.0) for name, one in members.items()})
        for name, one in members.items():
            one.apply(now, told.orders[name])
            if one.job == "busy" or (idle_asks and one.claims):
                one.wait(now, 0)
        got = shares(told)
        if step == 100:
            assert set(got) <= {"a", "b"}
            assert sum(got.values()) == pytest.approx(30.0, rel=0.02)
            idle_asks = True
    assert {members[name].job for name in got} == {"busy", "idle"}


def test_one_worker_never_has_more_calls_than_its_maximum() -> None:
    leader = knowing(10.0, Bounds(1, 2))
    names = [f"{number:02}" for number in range(20)]
    told = tick_on(
        leader, {name: report(100.0, completed=5, busy=30.0) for name in ["a", *names]}, 100.0, 5
    )
    assert sum(order["active"] for order in told.orders.values()) >= 2
