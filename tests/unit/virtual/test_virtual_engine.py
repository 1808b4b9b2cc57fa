"""The clock of a run: who is asked when, what is handed over, and that a seed decides it all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from penstock.rate.bounds import CallReport, Outcome
from penstock.virtual.algorithms import ALGORITHMS, find
from penstock.virtual.draw import parse
from penstock.virtual.engine import run
from penstock.virtual.fleet import Client, FleetFactory, Setting
from penstock.virtual.score import score
from penstock.virtual.tape import Tape


def tape(text: str, factory: FleetFactory | str = "fixed-8", seed: int = 0) -> Tape:
    maker = find(factory) if isinstance(factory, str) else factory
    return run(parse(text, "s.yaml").draw(seed), maker, seed)


def total(rows: list[list[int]]) -> int:
    return sum(map(sum, rows))


@dataclass
class Spy:
    """A client that sends when told and writes down what it hears."""

    every: float = 0.1
    most: int = 1000
    next_at: float = 0.0
    asked: list[float] = field(default_factory=list)
    went: list[tuple[float, int]] = field(default_factory=list)
    heard: list[tuple[float, CallReport, int]] = field(default_factory=list)
    shout: bool = False

    @property
    def limit(self) -> int:
        return self.most

    def wait(self, now: float, in_flight: int) -> float | None:
        self.asked.append(now)
        if in_flight >= self.most:
            return None
        return max(0.0, self.next_at - now)

    def sent(self, now: float, tokens: int, jitter: float) -> None:
        assert 0.9 <= jitter <= 1.1
        self.went.append((now, tokens))
        self.next_at = now + self.every

    def ended(self, now: float, report: CallReport, in_flight: int) -> None:
        self.heard.append((now, report, in_flight))


class Spies:
    """A fleet of them that can be looked at afterwards."""

    last: ClassVar[Spies]

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.clients: dict[int, Spy] = {}
        self.joined: dict[int, float] = {}
        self.left: dict[int, float] = {}
        self.syncs: list[tuple[float, int]] = []
        Spies.last = self

    def join(self, pod: int, now: float) -> Client:
        self.joined[pod] = now
        self.clients[pod] = Spy()
        return self.clients[pod]

    def sync(self, pod: int, client: Client, now: float) -> float:
        assert client is self.clients[pod]
        self.clients[pod].shout = False
        self.syncs.append((now, pod))
        return 1.0

    def urgent(self, client: Client) -> bool:
        assert isinstance(client, Spy)
        return client.shout

    def leave(self, pod: int, now: float) -> None:
        self.left[pod] = now

    def learned(self) -> float | None:
        return 60.0


OPEN = "provider: {limit: none, latency: {median: 500ms, sigma: 0}}\n"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_seed_decides_everything(algorithm: str) -> None:
    text = (
        "provider: {requestsPerMinute: 600, tokensPerMinute: 600000, hints: headers, slots: 40}\n"
        "pods: 3\nduration: 60s\nwarmup: 20s"
    )
    first, again, other = (tape(text, algorithm, seed) for seed in (1, 1, 2))
    assert vars(first) | {"scenario": None} == vars(again) | {"scenario": None}
    assert first.accepted_by_job != other.accepted_by_job


def test_calls_go_out_when_the_client_says_so_and_come_back_in_time() -> None:
    tape(OPEN + "duration: 10s\nwarmup: 1s", Spies)
    spy = Spies.last.clients[0]
    assert [now for now, _ in spy.went] == pytest.approx([tenth / 10 for tenth in range(101)])
    assert all(now == pytest.approx(report.sent_at + 0.5) for now, report, _ in spy.heard)
    assert {report.outcome for _, report, _ in spy.heard} == {Outcome.OK}
    assert {in_flight for _, _, in_flight in spy.heard[10:]} <= {5, 6}
    assert {(report.tokens, report.used_tokens) for _, report, _ in spy.heard} == {(0, None)}


def test_a_client_that_waits_for_an_answer_is_asked_when_it_comes() -> None:
    counted = tape(OPEN + "duration: 100s", "fixed-3")
    assert total(counted.answered_by_job) == pytest.approx(3 * 100 / 0.5, abs=6)
    assert set(counted.in_flight[1:]) == {3}


def test_a_refusal_is_back_at_once_with_what_it_says() -> None:
    provider = "provider: {requestsPerMinute: 60, hints: retry-after, latency: {median: 1s}}\n"
    tape(provider + "duration: 10s\nwarmup: 1s", Spies)
    refused = [
        (now, report)
        for now, report, _ in Spies.last.clients[0].heard
        if report.outcome is Outcome.THROTTLED
    ]
    assert len(refused) == pytest.approx(90, abs=3)
    assert all(now == pytest.approx(report.sent_at + 0.08) for now, report in refused)
    assert all(report.retry_after and report.retry_after <= 1 for _, report in refused)


def test_tokens_are_reserved_by_estimate_and_reported_as_used() -> None:
    text = (
        "provider: {tokensPerMinute: 60000, depthSeconds: 1}\n"
        "tokens: {mean: 100, estimateError: 0.5}\nduration: 20s\nwarmup: 1s"
    )
    counted = tape(text, Spies)
    spy = Spies.last.clients[0]
    passed = [report for _, report, _ in spy.heard if report.outcome is Outcome.OK]
    assert any(report.tokens != report.used_tokens for report in passed)
    assert sum(report.used_tokens or 0 for report in passed) <= sum(counted.tokens)
    refused = [r for _, r, _ in spy.heard if r.outcome is Outcome.THROTTLED]
    assert refused
    # What was refused goes first, at the same cost.
    after = next(tokens for at, tokens in spy.went if at > refused[0].sent_at + 0.08)
    assert after == refused[0].tokens


def test_pods_talk_about_once_a_second_and_are_asked_afterwards() -> None:
    tape(OPEN + "pods: 4\nduration: 30s\nwarmup: 1s", Spies)
    fleet = Spies.last
    assert sorted(fleet.joined) == [0, 1, 2, 3]
    assert fleet.joined[0] == 0
    assert all(0 <= at <= 0.5 for at in fleet.joined.values())
    assert len(fleet.syncs) == pytest.approx(4 * 30, abs=8)
    assert {at for at, pod in fleet.syncs if pod == 2} <= set(fleet.clients[2].asked)


def test_what_is_urgent_is_told_at_once_and_to_all_soon_after() -> None:
    class Shouting(Spies):
        def urgent(self, client: Client) -> bool:
            assert isinstance(client, Spy)
            first = client is self.clients[0] and len(client.heard) == 20
            client.shout = client.shout or first
            return first

    tape(OPEN + "pods: 3\nduration: 6s\nwarmup: 1s", Shouting)
    fleet = Spies.last
    at = fleet.clients[0].heard[19][0]
    assert any(now == pytest.approx(at + 0.01) and pod == 0 for now, pod in fleet.syncs)
    assert {pod for now, pod in fleet.syncs if now == pytest.approx(at + 0.11)} == {1, 2}


def test_while_the_database_is_away_nobody_talks() -> None:
    text = "pods: 2\nduration: 30s\nwarmup: 1s\ndatabaseAway: [{from: 10s, to: 20s}]"
    tape(OPEN + text, Spies)
    times = [now for now, _ in Spies.last.syncs]
    assert not [now for now in times if 10 <= now < 20]
    assert [now for now in times if now > 20]


def test_a_killed_pod_is_not_heard_of_any_more() -> None:
    tape(OPEN + "pods: 2\nduration: 30s\nwarmup: 1s\nkill: [{at: 10s, pod: 1}]", Spies)
    fleet = Spies.last
    assert fleet.left == {}
    assert max(now for now, pod in fleet.syncs if pod == 1) < 10
    assert max(now for now, _, _ in fleet.clients[1].heard) <= 10
    assert max(now for now, _ in fleet.clients[0].went) > 29


def test_jobs_come_and_go() -> None:
    text = "pods: 2\nduration: 30s\nwarmup: 1s\njobs: [{end: 20s}, {pods: 1, start: 10s}]"
    counted = tape(OPEN + text, Spies)
    fleet = Spies.last
    assert fleet.setting.job_of_pod == (0, 0, 1)
    assert fleet.joined[2] == 10
    assert fleet.left == {0: 20, 1: 20}
    assert sum(counted.accepted_by_job[0][20:]) == 0
    assert sum(counted.accepted_by_job[1][:10]) == 0
    assert sum(counted.accepted_by_job[1][10:]) == pytest.approx(200, abs=2)


def test_what_is_stated_reaches_the_fleet() -> None:
    provider = "provider: {requestsPerMinute: 600, tokensPerMinute: 6000}\n"
    rest = "duration: 2s\nwarmup: 1s\nconcurrency: {min: 2, max: 3}\n"
    tape(provider + rest + "stated: true", Spies)
    told = Spies.last.setting
    assert (told.requests_per_second, told.tokens_per_second) == (10, 100)
    assert (told.min_concurrency, told.max_concurrency, told.pods) == (2, 3, 1)
    tape(provider + rest + "stated: 60", Spies)
    told = Spies.last.setting
    assert (told.requests_per_second, told.tokens_per_second) == (1, None)
    tape(provider + rest, Spies)
    assert Spies.last.setting.requests_per_second is None


def test_a_short_job_ends_with_its_last_item() -> None:
    provider = "provider: {requestsPerMinute: 600, latency: {median: 100ms}}\n"
    counted = tape(provider + "items: 50\npods: 2", Spies)
    assert total(counted.accepted_by_job) == 50
    assert score(counted).ideal_seconds == pytest.approx(5)
    assert counted.finished_at == pytest.approx(4, abs=0.5)  # the bucket holds ten at the start


def test_a_shared_backend_serves_so_many_at_once() -> None:
    slots = "provider: {limit: none, slots: 2, latency: {median: 500ms, sigma: 0.5}}\n"
    counted = tape(slots + "duration: 600s", "fixed-8")
    done = score(counted)
    assert done.goodput == pytest.approx(1, abs=0.05)
    one = score(tape(slots + "duration: 600s", "fixed-1"))
    assert one.goodput == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("best", [3, 6])
def test_a_contended_backend_is_best_where_it_is_said_to_be(best: int) -> None:
    text = f"provider: {{contention: {best}, latency: {{median: 200ms}}}}\nduration: 900s"
    goodput = {
        calls: score(tape(text, f"fixed-{calls}")).goodput
        for calls in (max(1, best // 2), best, 4 * best)
    }
    assert goodput[best] == pytest.approx(1, abs=0.03)
    assert max(goodput, key=goodput.__getitem__) == best
