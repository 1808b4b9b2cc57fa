"""What the driver tells the person, in the three ways there are to show it.

On a terminal a live bar, elsewhere a plain line every few seconds, with `--quiet` one line at the
end. `view_for` chooses. The driver calls these methods from its event loop, about four times a
second; each is quick and keeps no history.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from penstock.local.banner import banner_lines
from penstock.local.figures import Glyphs, glyphs_for
from penstock.local.lines import Pace, planning_line, progress_line
from penstock.local.options import View
from penstock.local.summary import final_line, summary_lines
from penstock.plan.summary import PlanSummary
from penstock.spec.job import BatchJob
from penstock.store.progress import Progress

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

WIDTH = 80
"""Columns to write for when nobody says how many there are."""


class Screen(View, Protocol):
    """A view that is entered for the time of a run, so that the terminal is left tidy."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class LineView:
    """Plain lines. command: what makes an interrupted run go on. where: see summary_lines."""

    def __init__(
        self,
        stream: TextIO,
        command: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        width: int = WIDTH,
        where: str = "",
    ) -> None:
        self._stream, self._command, self._clock, self._width = stream, command, clock, width
        self._where = where
        self._glyphs = glyphs_for(stream.encoding)
        self._pace = Pace(clock())
        self._read = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Every line was flushed."""

    def notice(self, text: str) -> None:
        """One line."""
        self._write(text)

    def banner(self, job: BatchJob, plan: PlanSummary, concurrency: str, log: Path) -> None:
        """The opening block."""
        self._write(*banner_lines(job, plan, concurrency, log, self._glyphs, self._width))

    def planning(self, items: int) -> None:
        """A line when one is due."""
        if self._pace.due(self._clock()):
            self._write(planning_line(items))

    def progress(self, progress: Progress) -> None:
        """A line when one is due."""
        if self._pace.due(self._clock()):
            self._write(progress_line(progress, self._glyphs))

    def finished(self, progress: Progress) -> None:
        """The closing block."""
        lines = summary_lines(progress, self._glyphs, self._width, self._command, self._where)
        self._write(*lines)

    def _write(self, *lines: str) -> None:
        """A reader that goes away (`| head`) ends the lines, never the run."""
        if not self._read:
            return
        try:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
        except BrokenPipeError:
            self._read = False


class TerminalView:
    """A live bar between the opening and the closing block. Same arguments as LineView."""

    def __init__(self, stream: TextIO, command: str | None = None, where: str = "") -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._command, self._where = command, where
        self._glyphs: Glyphs = glyphs_for(stream.encoding)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def notice(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(text, style="yellow", soft_wrap=True)

    def banner(self, job: BatchJob, plan: PlanSummary, concurrency: str, log: Path) -> None:
        """The opening block, in place of what was shown while planning."""
        self._stop()
        self._block(banner_lines(job, plan, concurrency, log, self._glyphs, self._console.width))

    def planning(self, items: int) -> None:
        """The number of items read, counting up in place."""
        from penstock.local.bar import planning_view

        self._show(planning_view(items))

    def progress(self, progress: Progress) -> None:
        """The bar, drawn again in place."""
        from penstock.local.bar import progress_view

        self._show(progress_view(progress, self._glyphs))

    def finished(self, progress: Progress) -> None:
        """The closing block, in place of the bar."""
        self._stop()
        width = self._console.width
        self._block(summary_lines(progress, self._glyphs, width, self._command, self._where))

    def _show(self, what: RenderableType) -> None:
        """Draw in place. No thread of its own: the driver's calls are the clock."""
        from rich.live import Live

        if self._live is None:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._live.update(what, refresh=True)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _block(self, lines: list[str]) -> None:
        from rich.text import Text

        rule = self._glyphs.rule * 3
        for line in lines:
            text = Text(line, style="dim" if line.startswith(rule) else "")
            text.highlight_regex(r"^  [a-z]+( [a-z]+)?(?=  )", "dim")
            for sign, colour in (
                (self._glyphs.succeeded, "green"),
                (self._glyphs.skipped, "cyan"),
                (self._glyphs.failed, "red"),
            ):
                text.highlight_regex(rf"(?<=  ){sign} +[1-9][\d,]*", colour)
            self._console.print(text, soft_wrap=True)


class QuietView:
    """Nothing until the end, and then one line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to tidy."""

    def notice(self, text: str) -> None:
        """Not shown."""

    def banner(self, job: BatchJob, plan: PlanSummary, concurrency: str, log: Path) -> None:
        """Not shown."""

    def planning(self, items: int) -> None:
        """Not shown."""

    def progress(self, progress: Progress) -> None:
        """Not shown."""

    def finished(self, progress: Progress) -> None:
        """One line."""
        self._stream.write(final_line(progress, glyphs_for(self._stream.encoding)) + "\n")


def view_for(stream: TextIO, *, quiet: bool, command: str | None = None, where: str = "") -> Screen:
    """The view that suits where the output goes. command: what makes an interrupted run go on.
    where: see summary_lines."""
    if quiet:
        return QuietView(stream)
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return TerminalView(stream, command, where)
    return LineView(stream, command, where=where)
