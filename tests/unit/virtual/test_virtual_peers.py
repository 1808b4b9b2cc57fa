"""The peers do roughly what is published of them; coarse bounds, for they are not the point."""

from __future__ import annotations

from statistics import fmean

import pytest

from penstock.errors import InputError
from penstock.rate.bounds import CallReport, Outcome
from penstock.virtual.algorithms import find
from penstock.virtual.draw import parse
from penstock.virtual.engine import run
from penstock.virtual.peers.base import Fixed
from penstock.virtual.peers.latency import Gradient2
from penstock.virtual.peers.loss import BatchGateway, DataDesigner, Inspect
from penstock.virtual.score import score

PROVIDERS = {
    "bucket": "limit: token, depthSeconds: 1",
    "window": "limit: sliding, hints: retry-after",
    "counted": "limit: sliding, countRejected: true",
}


# Five clients at 600 requests a minute: goodput and 429s in percent, from … to.
@pytest.mark.parametrize(
    ("algorithm", "provider", "goodput", "throttled"),
    [
        ("aimd", "bucket", (88, 100), (0.3, 3)),
        ("aimd", "window", (95, 102), (1, 5)),
        ("aimd", "counted", (30, 75), (0.1, 10)),
        ("inspect", "bucket", (95, 102), (6, 20)),
        ("inspect", "window", (95, 102), (15, 45)),
        ("inspect", "counted", (20, 80), (20, 95)),
        ("vector", "bucket", (95, 102), (5, 15)),
        ("vector", "window", (88, 102), (35, 70)),
        ("vector", "counted", (35, 75), (15, 70)),
        ("botocore", "bucket", (95, 102), (10, 25)),
        ("botocore", "window", (95, 102), (12, 30)),
        ("botocore", "counted", (55, 85), (15, 40)),
        ("llm-d", "bucket", (95, 102), (10, 40)),
        ("vegas", "bucket", (95, 102), (15, 50)),
    ],
)
def test_peers_at_an_unknown_limit(
    algorithm: str, provider: str, goodput: tuple[float, float], throttled: tuple[float, float]
) -> None:
    text = (
        f"provider: {{requestsPerMinute: 600, {PROVIDERS[provider]}, latency: {{median: 1.8s}}}}\n"
        "pods: 5\nduration: 600s"
    )
    scenario = parse(text, "s.yaml").draw(0)
    scores = [score(run(scenario, find(algorithm), seed)) for seed in (1, 2)]
    assert goodput[0] <= 100 * fmean(one.goodput for one in scores) <= goodput[1]
    assert throttled[0] <= 100 * fmean(one.throttled for one in scores) <= throttled[1]


def report(sent_at: float, *, refused: bool = False, retry: float | None = None) -> CallReport:
    return CallReport(Outcome.THROTTLED if refused else Outcome.OK, sent_at, retry)


def test_a_pause_is_as_long_as_told_or_twice_as_long_each_time() -> None:
    client = Fixed(3)
    client.ended(0.0, report(0.0, refused=True, retry=7.0), 1)
    assert client.wait(0.0, 0) == 7
    client.ended(10.0, report(9.9, refused=True), 1)
    assert client.wait(10.0, 0) == 1
    client.ended(10.1, report(9.9, refused=True), 1)  # of the same burst
    client.ended(12.2, report(12.1, refused=True), 1)
    assert client.wait(12.2, 0) == 2
    client.ended(20.0, report(19.0), 1)
    client.ended(21.0, report(20.5, refused=True), 1)
    assert client.wait(21.0, 0) == 1
    assert client.wait(25.0, 3) is None


def test_data_designer_cuts_a_quarter_once_a_burst_and_grows_after_25() -> None:
    client = DataDesigner()
    for _ in range(5):
        client.ended(1.0, report(0.5, refused=True), 5)
    assert client.limit == 24
    for call in range(24):
        client.ended(10.0 + call, report(9.0 + call), 1)
    assert client.limit == 24
    client.ended(40.0, report(39.0), 1)
    assert client.limit == 25
    for call in range(2000):
        client.ended(50.0 + call, report(49.0 + call), 1)
    assert client.limit == 35  # a tenth above the 32 that was too much


def test_inspect_doubles_then_cuts_a_fifth_and_grows_by_five_in_a_hundred() -> None:
    client = Inspect()
    for call in range(20):
        client.ended(1.0 + call, report(call), 20)
    assert client.limit == 40
    client.ended(30.0, report(29.9, refused=True), 40)
    client.ended(30.1, report(29.9, refused=True), 40)
    assert client.limit == 32
    for call in range(32):
        client.ended(50.0 + call, report(49.0 + call), 32)
    assert client.limit == 34


def test_the_batch_gateway_stays_between_five_and_ten() -> None:
    client = BatchGateway()
    for _ in range(3):
        client.ended(1.0, report(0.5, refused=True), 5)
    assert client.limit == 5
    for call in range(100):
        client.ended(2.0 + call, report(1.0 + call), 5)
    assert client.limit == 10


def test_gradient2_backs_away_from_latency_that_grows() -> None:
    client = Gradient2()
    for call in range(200):
        client.ended(call + 1.0, report(call), client.limit)
    high = client.limit
    assert high > 25
    for call in range(400):
        client.ended(1000.0 + call, report(997.0 + call), client.limit)
    assert client.limit < high


def test_a_name_that_there_is_not_gets_a_hint() -> None:
    with pytest.raises(InputError, match="did you mean 'vector'"):
        find("vectr")
    for wrong in ("fixed-", "fixed-0", "fixed-x"):
        with pytest.raises(InputError, match="--algorithm: there is no"):
            find(wrong)
