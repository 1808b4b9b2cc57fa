"""The live view of a run on a terminal: a bar and one line of figures, drawn with rich."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from penstock.local.figures import Glyphs, count, eta, part
from penstock.local.lines import planning_line, speed
from penstock.store.progress import Progress


def planning_view(items: int) -> RenderableType:
    """While the source is read."""
    return Text(planning_line(items), style="dim")


def progress_view(progress: Progress, glyphs: Glyphs) -> RenderableType:
    """Two rows, each cut to the width of the terminal."""
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(no_wrap=True, overflow="ellipsis", max_width=32)
    row.add_column(ratio=1, min_width=8)
    row.add_column(no_wrap=True, justify="right")
    bar = ProgressBar(total=max(1, progress.total), completed=progress.done)
    row.add_row(Text(progress.name, style="bold"), bar, Text(_position(progress)))
    figures = Text(no_wrap=True, overflow="ellipsis")
    figures.append(f"{glyphs.succeeded} {count(progress.succeeded)}", "green")
    figures.append(f"  {glyphs.skipped} {count(progress.skipped)}", "cyan")
    figures.append(
        f"  {glyphs.failed} {count(progress.failed)}", "red" if progress.failed else "dim"
    )
    if progress.phase == "Running":
        rest = speed(progress)
        if progress.held_back:
            rest.append(progress.held_back)
    else:
        rest = [progress.phase.lower()]
    for one in rest:
        figures.append(f" {glyphs.dot} ", "dim")
        figures.append(one)
    return Group(row, figures)


def _position(progress: Progress) -> str:
    done = f"{count(progress.done)}/{count(progress.total)}"
    position = f"{done} {part(progress.done, progress.total)}"
    if progress.phase == "Running" and progress.pending:
        position += f" ETA {eta(progress.eta_seconds)}"
    return position
