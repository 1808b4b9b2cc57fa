"""How numbers read: thousands, durations, rates, shares."""

from __future__ import annotations

import pytest

from penstock.local import figures


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0s"),
        (0, "0.0s"),
        (0.44, "0.4s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (125, "2m05s"),
        (3599.6, "1h00m"),
        (3720, "1h02m"),
        (86_399, "23h59m"),
        (86_400 * 2 + 3 * 3600, "2d03h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (float("inf"), "?"), (float("nan"), "?"), (-3, "0s"), (0.2, "1s"), (45, "45s")],
)
def test_time_to_come_is_told_in_whole_seconds(seconds: float | None, text: str) -> None:
    assert figures.eta(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0, "0.00"),
        (0.254, "0.25"),
        (3.4, "3.40"),
        (9.999, "10.0"),
        (45.23, "45.2"),
        (1520, "1,520"),
    ],
)
def test_rates_have_about_three_digits(rate: float, text: str) -> None:
    assert figures.rate(rate) == text


@pytest.mark.parametrize(
    ("some", "total", "text"),
    [
        (0, 0, "0.0%"),
        (0, 5, "0.0%"),
        (50, 201, "24.9%"),
        (1, 100_000, "0.1%"),
        (99_999, 100_000, "99.9%"),
        (201, 201, "100.0%"),
    ],
)
def test_only_all_is_a_hundred_percent_and_only_nothing_is_none(
    some: int, total: int, text: str
) -> None:
    assert figures.part(some, total) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0.0000"), (0.10324, "0.1032"), (12.346, "12.35"), (1234.5, "1,234.50")],
)
def test_small_costs_show_small_change(amount: float, text: str) -> None:
    assert figures.cost(amount) == text


def test_counts_have_thousands() -> None:
    assert figures.count(26_562) == "26,562"
    assert figures.items(1) == "1 item"
    assert figures.items(26_562) == "26,562 items"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", None, "no-such-encoding"])
def test_terminals_that_lack_a_sign_get_ascii(encoding: str | None) -> None:
    glyphs = figures.glyphs_for(encoding)
    assert glyphs is figures.ASCII
    assert all(text.isascii() for text in (glyphs.succeeded, glyphs.rule, glyphs.dot, glyphs.more))


def test_utf8_gets_the_real_signs() -> None:
    assert figures.glyphs_for("utf-8") is figures.UNICODE


def test_long_text_is_cut_to_one_line() -> None:
    assert figures.shortened("a\n b", 10, figures.UNICODE) == "a b"
    assert figures.shortened("x" * 30, 10, figures.UNICODE) == "x" * 9 + "…"
    assert figures.shortened("x" * 30, 10, figures.ASCII) == "x" * 7 + "..."
