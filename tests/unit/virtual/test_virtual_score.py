"""What a run came to, worked out by hand from tapes that are written by hand."""

from __future__ import annotations

import pytest

from penstock.virtual.draw import parse
from penstock.virtual.score import Score, counted, score, true_limit
from penstock.virtual.tape import Tape
from penstock.virtual.trial import described, figures, lines


def blank(text: str) -> Tape:
    return Tape(parse(text, "s.yaml").draw(0))


def evenly(
    tape: Tape, rate: int, seconds: range, job: int = 0, refused: int = 0, tokens: int = 0
) -> None:
    for second in seconds:
        for call in range(rate):
            tape.accepted(second + call / (rate + 1), job, tokens)
            tape.answered(second + call / (rate + 1), job)
        for call in range(refused):
            tape.refused(second + call / (refused + 1), job)


MINUTES = "provider: {requestsPerMinute: 600}\nduration: 100s\nwarmup: 20s\n"


def test_goodput_and_429s_count_after_the_warm_up() -> None:
    tape = blank(MINUTES)
    evenly(tape, 2, range(20), refused=50)
    evenly(tape, 9, range(20, 100), refused=1)
    found = score(tape)
    assert found.goodput == pytest.approx(0.9)
    assert found.throttled == pytest.approx(0.1)
    assert found.seconds is None
    assert found.jobs == (1.0,)


def test_429s_close_together_are_one_episode() -> None:
    tape = blank(MINUTES)
    for at in (5.0, 30.0, 31.0, 32.9, 40.0, 50.0, 51.0):
        tape.refused(at, 0)
    assert score(tape).episodes == 3


def test_what_was_learned_is_what_is_thought_at_the_end() -> None:
    tape = blank(MINUTES)
    for learned in (None, 500.0, 590.0):
        tape.sample(learned, 3)
    assert score(tape).limit_learned == 590


def test_after_steps_kills_and_jobs_nothing_counts_until_they_settled() -> None:
    text = (
        "provider: {requestsPerMinute: 600, steps: [{at: 10s, factor: 2, settle: 5s}]}\n"
        "duration: 60s\nwarmup: 5s\npods: 2\nkill: [{at: 20s, settle: 2.5s}]\n"
        "jobs: [{end: 40s, settle: 3s}, {start: 30s, settle: 1s}]"
    )
    left = {*range(10, 15), *range(20, 23), *range(40, 43), 30}
    assert counted(blank(text).scenario) == [at for at in range(5, 60) if at not in left]


def test_goodput_follows_the_limit() -> None:
    text = "provider: {requestsPerMinute: 600, steps: [{at: 50s, factor: 0.5}]}\nduration: 100s"
    tape = blank(f"{text}\nwarmup: 0s")
    assert true_limit(tape.scenario)[48:52] == [10, 10, 5, 5]
    evenly(tape, 10, range(50))
    evenly(tape, 5, range(50, 100))
    assert score(tape).goodput == pytest.approx(1)


def test_windows_let_whole_requests_through() -> None:
    text = "provider: {limit: fixed, requestsPerMinute: 130, windowSeconds: 1}\nduration: 100s"
    tape = blank(text)
    evenly(tape, 2, range(100))
    assert score(tape).goodput == pytest.approx(1)


@pytest.mark.parametrize(("tokens", "goodput"), [(10, 0.5), (100, 0.5), (180, 0.9)])
def test_of_two_limits_the_one_that_binds_is_judged(tokens: int, goodput: float) -> None:
    tape = blank("provider: {requestsPerMinute: 600, tokensPerMinute: 60000}\nduration: 100s")
    evenly(tape, 5, range(100), tokens=tokens)
    assert score(tape).goodput == pytest.approx(goodput)


def test_a_backend_is_judged_by_its_answers() -> None:
    tape = blank("provider: {slots: 4, latency: {median: 1s, sigma: 0}}\nduration: 100s")
    evenly(tape, 3, range(100))
    for second in range(100):
        tape.accepted(float(second), 0, 0)  # taken into the queue, not answered
    assert score(tape).goodput == pytest.approx(0.75)


def test_a_backend_behind_a_limit_is_judged_by_what_is_smaller() -> None:
    text = "provider: {requestsPerMinute: 120, slots: 4, latency: {median: 1s, sigma: 0}}"
    tape = blank(text + "\nduration: 100s")
    evenly(tape, 2, range(100))
    assert score(tape).goodput == pytest.approx(1)


def test_two_jobs_have_their_parts_of_the_time_they_both_ran() -> None:
    tape = blank(MINUTES + "jobs: [{}, {start: 50s, end: 90s}]")
    evenly(tape, 9, range(50))
    evenly(tape, 6, range(50, 90), job=0)
    evenly(tape, 2, range(50, 90), job=1)
    assert score(tape).jobs == pytest.approx((0.75, 0.25))


def test_a_short_job_is_held_to_its_ideal() -> None:
    tape = blank("provider: {requestsPerMinute: 600}\nitems: 40\nduration: 30s")
    evenly(tape, 8, range(4), refused=8)
    for call in range(8):
        tape.accepted(4.9 + call / 100, 0, 0)
    found = score(tape)
    assert found.seconds == pytest.approx(4.97)
    assert found.ideal_seconds == pytest.approx(4)
    assert found.goodput == pytest.approx(4 / 4.97)
    assert found.throttled == pytest.approx(32 / 72)


def test_a_short_job_that_did_not_get_through_says_so() -> None:
    tape = blank("provider: {requestsPerMinute: 600}\nitems: 40\nduration: 30s")
    evenly(tape, 1, range(30))
    found = score(tape)
    assert (found.seconds, found.goodput) == (None, 0)
    assert figures([found])["seconds"] is None


def a_score(goodput: float, learned: float | None = None, jobs: tuple[float, ...] = (1,)) -> Score:
    return Score(goodput, goodput / 100, 3, learned, None, None, jobs)


def test_figures_are_means_over_the_seeds() -> None:
    assert figures([a_score(0.9, 500), a_score(1.0)]) == {
        "goodput": pytest.approx(0.95),
        "throttled": pytest.approx(0.0095),
        "episodes": 3,
        "limitLearned": 500,
    }
    assert figures([a_score(1)])["limitLearned"] is None
    assert figures([a_score(1, jobs=(0.4, 0.6))])["jobs"] == [0.4, 0.6]


def test_people_get_a_small_table() -> None:
    population = parse(MINUTES, "s.yaml")
    found = lines(population, [a_score(0.9, 1234.5), a_score(1.0)], range(2), "penstock")
    assert found == [
        "600 requests/min (token bucket 1s) · 1 pod · 1m40s · penstock · 2 seeds",
        "",
        "                   mean   lowest  highest",
        "goodput           95.00    90.00   100.00 %",
        "429s               0.95     0.90     1.00 %",
        "episodes           3.00     3.00     3.00",
        "limit learned     1,234    1,234    1,234 /min",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{provider: {slots: 4}, pods: 5}", "4 slots · 5 pods · 10m"),
        ("{provider: {contention: 6, limit: none}}", "contention 6 · 1 pod · 10m"),
        (
            "{provider: {limit: sliding, requestsPerMinute: 300, tokensPerMinute: 90000}}",
            "300 requests/min, 90,000 tokens/min (sliding window 1m) · 1 pod · 10m",
        ),
    ],
)
def test_a_scenario_in_a_few_words(text: str, words: str) -> None:
    assert described(parse(text, "s.yaml").draw(0)) == words
