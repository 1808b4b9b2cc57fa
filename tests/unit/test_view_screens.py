"""The three ways a run is shown, each to a stream that pretends to be what it is meant for."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.local.options import View
from penstock.local.view import LineView, QuietView, TerminalView, view_for
from tests.unit.test_view_blocks import DONE, JOB, PLAN, RUNNING

LOG = Path("logs/x.log")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Stream(io.TextIOWrapper):
    """Text in memory with an encoding of its own, on a terminal or not."""

    def __init__(self, encoding: str = "utf-8", *, terminal: bool = False) -> None:
        self.bytes = io.BytesIO()
        self._terminal = terminal
        super().__init__(self.bytes, encoding=encoding, errors="backslashreplace")

    def isatty(self) -> bool:
        return self._terminal

    @property
    def text(self) -> str:
        self.flush()
        return self.bytes.getvalue().decode(self.encoding)


class Clock:
    """Moves when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class ClosedPipe(Stream):
    """A reader that has gone away."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


def whole_run(view: View) -> None:
    view.notice("the database is in /state/penstock")
    view.planning(120_000)
    view.banner(JOB, PLAN, "1-64 calls in flight", LOG)
    view.progress(RUNNING)
    view.finished(DONE)


def test_lines_keep_their_pace() -> None:
    stream, clock = Stream(), Clock()
    with LineView(stream, None, clock) as view:
        for clock.now in (0.0, 1.9, 2.0, 2.25, 6.9, 7.0):
            view.progress(RUNNING)
        clock.now = 12.0
        view.planning(120_000)
    assert stream.text.count("50/201") == 2
    assert stream.text.endswith("reading the source: 120,000 items so far\n")


def test_lines_open_and_close_with_their_blocks() -> None:
    stream = Stream()
    whole_run(LineView(stream, None, Clock()))
    lines = stream.text.splitlines()
    assert lines[0] == "the database is in /state/penstock"
    assert "  log          logs/x.log" in lines
    assert lines[-1] == "  output       /data/products.xlsx"
    assert "\x1b" not in stream.text


def test_lines_in_ascii_have_no_sign_escaped() -> None:
    stream = Stream("ascii")
    whole_run(LineView(stream, None, Clock()))
    assert "\\u" not in stream.text


def test_a_reader_that_leaves_does_not_end_the_run() -> None:
    view = LineView(ClosedPipe(), None, Clock())
    whole_run(view)
    view.notice("still here")


def test_quiet_says_one_line() -> None:
    stream = Stream()
    with QuietView(stream) as view:
        whole_run(view)
    assert stream.text.count("\n") == 1
    assert stream.text.startswith("product-metafields · complete")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.usefixtures("narrow")
def test_the_bar_shows_counts_rate_throttling_and_time_left() -> None:
    stream = Stream(terminal=True)
    with TerminalView(stream) as view:
        view.progress(RUNNING)
        text = _CONTROL.sub("", stream.text)
    bar, figures = [line.rstrip() for line in text.splitlines()[:2]]
    assert bar.startswith("product-metafields ━")
    assert bar.endswith("50/201 24.9% ETA 45s")
    assert figures == "✓ 48  ⊘ 0  ✗ 2 · 3.40 items/s · 429 10.0% · in flight 12/16"
    assert len(bar) == 80


@pytest.mark.usefixtures("narrow")
def test_the_bar_is_gone_before_the_summary() -> None:
    stream = Stream(terminal=True)
    with TerminalView(stream) as view:
        whole_run(view)
    plain = _CONTROL.sub("", stream.text)
    assert "reading the source: 120,000 items so far" in plain
    assert plain.rstrip().endswith("  output       /data/products.xlsx")
    assert stream.text.count("\x1b[?25l") == stream.text.count("\x1b[?25h") == 2  # cursor is back


@pytest.mark.usefixtures("narrow")
def test_an_error_in_the_middle_leaves_the_terminal_tidy() -> None:
    stream = Stream(terminal=True)
    view = TerminalView(stream)
    view.__enter__()
    view.progress(RUNNING)
    view.__exit__(RuntimeError, RuntimeError("boom"), None)
    assert stream.text.rindex("\x1b[?25h") > stream.text.rindex("\x1b[?25l")


@pytest.mark.usefixtures("narrow")
def test_the_bar_works_without_unicode() -> None:
    stream = Stream("ascii", terminal=True)
    with TerminalView(stream) as view:
        whole_run(view)
        view.progress(replace(RUNNING, phase="Exporting"))
    assert "\\u" not in stream.text
    assert "exporting" in stream.text


@pytest.mark.parametrize(
    ("terminal", "term", "quiet", "kind"),
    [
        (True, "xterm", False, TerminalView),
        (True, "dumb", False, LineView),
        (False, "xterm", False, LineView),
        (True, "xterm", True, QuietView),
    ],
)
def test_the_view_suits_the_stream(
    terminal: bool, term: str, quiet: bool, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    assert isinstance(view_for(Stream(terminal=terminal), quiet=quiet), kind)
