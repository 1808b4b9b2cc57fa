"""Arguments and options that several commands share, and small helpers around them."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from penstock.cli import failures

if TYPE_CHECKING:
    from penstock.local.options import Options
    from penstock.spec.job import BatchJob
    from penstock.store.progress import Progress

T = TypeVar("T")

PANEL_DATABASE = "Where it is kept"
PANEL_OUTPUT = "What is shown"

Manifest = Annotated[Path, typer.Argument(metavar="JOB.yaml", help="A BatchJob manifest.")]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The job's name, or its manifest.", show_default=False)
]
Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="A PostgreSQL to use, such as postgresql://user@host/db. Default: one of its own.",
        rich_help_panel=PANEL_DATABASE,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Folder of the database and the logs. Default: .penstock here.",
        rich_help_panel=PANEL_DATABASE,
        show_default=False,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="One JSON object on stdout, nothing else.", rich_help_panel=PANEL_OUTPUT
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Errors and the final line only.", rich_help_panel=PANEL_OUTPUT
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change the manifest for this time, e.g. source.limit=10. May be repeated.",
        show_default=False,
    ),
]


def load_job(path: Path, changes: Sequence[str] | None = None) -> BatchJob:
    """The job in a manifest, with `--set` applied. Raises InputError with every mistake."""
    from penstock.spec.load import load

    failures.about(str(path))
    return load(path, changes or ())


def load_written(
    path: Path, changes: Sequence[str] | None = None
) -> tuple[BatchJob, dict[str, Any]]:
    """The same, and the manifest as it is written."""
    from penstock.spec import load

    failures.about(str(path))
    return load.load_written(path, changes or ())


def where(database: str | None, data_dir: Path | None) -> Options:
    """Options of a command that only needs the database."""
    from penstock.local.options import Options

    return Options(database=database, data_dir=data_dir)


def wait(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end what the engine does asynchronously.

    A cancelled query begins a task that tells the server; asyncio.run ends only the tasks that are
    there when it begins to, and what came later would complain about a closed loop.
    """
    import asyncio

    async def whole() -> T:
        try:
            return await work
        finally:
            while left := asyncio.all_tasks() - {asyncio.current_task()}:
                for task in left:
                    task.cancel()
                await asyncio.gather(*left, return_exceptions=True)

    return asyncio.run(whole())


def job_name(text: str) -> str:
    """A job's name; of a manifest's path, the name that stands in the manifest."""
    if text.endswith((".yaml", ".yml")) and Path(text).is_file():
        return load_job(Path(text)).name
    return text


def can_ask() -> bool:
    """Whether a person sits at the other end."""
    return sys.stdin.isatty()


def same_command(arguments: Sequence[str] | None = None) -> str:
    """What was typed, to be typed again; passwords and keys are hidden."""
    from penstock.secrets import masker

    typed = shlex.join(["penstock", *(sys.argv[1:] if arguments is None else arguments)])
    return masker(os.environ)(typed)


def exit_code(progress: Progress) -> int:
    """What a command that saw a job to its end ends with, as `run` does."""
    match progress.phase:
        case "Complete":
            return 3 if progress.failed else 0
        case "Failed":
            return 1
        case "Paused" | "Suspended":
            return 4
        case _:
            return 130


def print_lines(lines: Sequence[str]) -> None:
    """Lines on stdout."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def width() -> int:
    """Columns of the terminal."""
    from shutil import get_terminal_size

    from penstock.local.view import WIDTH

    return get_terminal_size((WIDTH, 24)).columns


def print_json(value: object) -> None:
    """One JSON document on stdout, in UTF-8 whatever the terminal speaks."""
    from penstock import jsons

    sys.stdout.flush()
    sys.stdout.buffer.write(jsons.dumps(value).encode() + b"\n")
    sys.stdout.buffer.flush()
