"""Pictures of rate control over time, for the documentation: `make bench-rate` draws them anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

from penstock.virtual import algorithms, draw
from penstock.virtual.engine import run
from penstock.virtual.score import true_limit
from penstock.virtual.tape import Tape

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
SMOOTH = 5
"""Seconds that rates are averaged over."""
SEED = 1
HIGHEST = 1.6
"""Times the limit that is shown."""

# Told apart by their lightness, too: pictures are printed in grey, and not everybody sees colours.
LIMIT, RATE, LEARNED, REFUSED = "#888888", "#0b6e99", "#e08a00", "#b3261e"

PICTURES = {
    "rate-token-1s": ("token-1s", "An unknown limit: a token bucket one second deep, five workers"),
    "rate-sliding-60s": ("sliding-60s", "An unknown limit: a sliding window of a minute"),
    "rate-halves": ("halves-3000", "The limit halves after five minutes"),
    "rate-doubles": ("doubles-3000", "The limit doubles after five minutes"),
}
"""File name: scenario, title."""


def draw_all(folder: Path = IMAGES) -> list[Path]:
    """Write every picture into the folder; returns where."""
    return [draw_one(name, folder) for name in PICTURES]


def draw_one(name: str, folder: Path) -> Path:
    """Write the picture of this name; the same run gives the same file."""
    from matplotlib import pyplot

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "penstock", "svg.fonttype": "none"})
    scenario, title = PICTURES[name]
    path = ROOT / "tests" / "simulation" / f"{scenario}.yaml"
    tape = run(draw.load(path).draw(SEED), algorithms.find(algorithms.DEFAULT), SEED)
    figure, (above, below) = pyplot.subplots(
        2, 1, sharex=True, figsize=(8, 4.2), height_ratios=(3, 1), layout="constrained"
    )
    _rates(above, tape)
    above.set_title(title, loc="left", fontsize=11)
    _refusals(below, tape)
    target = folder / f"{name}.svg"
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)
    return target


def _rates(axes: Any, tape: Tape) -> None:
    seconds = range(int(tape.scenario.duration))
    accepted = [sum(job[second] for job in tape.accepted_by_job) for second in seconds]
    learned = [None if rate is None else rate / 60 for rate in tape.learned][: len(seconds)]
    axes.plot(seconds, _smooth(accepted), color=RATE, linewidth=1, label="accepted")
    axes.plot(
        range(len(learned)),
        [float("nan") if rate is None else rate for rate in learned],
        color=LEARNED,
        linewidth=1,
        label="learned",
    )
    limit = true_limit(tape.scenario)[: len(seconds)]
    axes.plot(
        seconds,
        limit,
        color=LIMIT,
        linestyle="--",
        linewidth=1,
        label="true limit",
    )
    # The first burst into an untouched limit may be a great deal higher and is not of interest.
    axes.set_ylim(0, HIGHEST * max(limit))
    axes.set_ylabel("requests/s")
    axes.legend(loc="upper right", bbox_to_anchor=(1, 1), fontsize=8, frameon=False, ncols=3)
    _plain(axes)


def _refusals(axes: Any, tape: Tape) -> None:
    seconds = range(int(tape.scenario.duration))
    refused = [sum(job[second] for job in tape.refused_by_job) for second in seconds]
    axes.fill_between(seconds, refused, step="post", color=REFUSED, linewidth=0)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("429s/s")
    axes.set_xlabel("seconds")
    axes.set_xlim(0, len(seconds))
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _smooth(values: list[int]) -> list[float]:
    """Means over the last few seconds."""
    found = []
    for place in range(len(values)):
        last = values[max(0, place - SMOOTH + 1) : place + 1]
        found.append(sum(last) / len(last))
    return found
