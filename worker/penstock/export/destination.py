"""Where results go: settled and looked at before anything is paid for, written to at the end.

Whoever runs a job knows no kinds of places, only a `Destination`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from penstock.export.per_item import planned
from penstock.export.to_file import ToFile, input_test, part_test
from penstock.export.to_folder import ToFolder
from penstock.export.to_object import ToObject, ToObjects
from penstock.export.to_table import ToTable
from penstock.sources.items import Item, Kept
from penstock.spec.job import BatchJob
from penstock.store.db import Database
from penstock.store.runs import Run


class Destination(Protocol):
    """A place for the results of one job."""

    @property
    def name(self) -> str:
        """What is shown to people and kept with the run. Nothing secret is in it."""
        ...

    async def check(self) -> None:
        """Whether results can be written there later, as far as that can be told now; changes
        nothing there. Raises InputError."""
        ...

    async def write(self, db: Database, run: Run, warn: Callable[[str], object], /) -> int:
        """Write a run's results; returns the number of rows. Doing it again replaces what was
        written before. warn: told what could not be held whole. Raises ExportError."""
        ...


def destination(job: BatchJob, directory: Path, option: Path | None = None) -> Destination | None:
    """`--output`, relative to here, else `spec.output`, relative to `directory`; else None."""
    output = job.spec.output
    if option is None and output is not None and output.postgres is not None:
        return ToTable(job, output.postgres, os.environ)
    if option is None and output is not None and output.object_store is not None:
        store, template = output.object_store, output.per_item
        if template is not None:
            return ToObjects(job, store, template, os.environ)
        return ToObject(job, store, output.format, os.environ)
    return local_destination(job, directory, option)


def with_planned_paths(
    items: Iterator[Item], job: BatchJob, directory: Path, option: Path | None = None
) -> Iterator[Item]:
    """The same items; where each gets a file of its own, InputError when two would get the same, as
    far as that can be told before there are results."""
    target = destination(job, directory, option)
    if isinstance(target, ToFolder | ToObjects):
        return planned(items, target.template, target.problem)
    return items


@asynccontextmanager
async def kept_there(
    job: BatchJob, option: Path | None = None, *, force: bool = False
) -> AsyncIterator[Kept | None]:
    """Tells which items of a new run need not be done since the table of `spec.output` has them
    already, wherever results go this time, and refuses those that it could not hold; None without a
    table. force: all need to be done. Raises InputError."""
    output = job.spec.output
    if output is None or output.postgres is None:
        yield None
        return
    table = ToTable(job, output.postgres, os.environ)
    skip, is_target = not force and output.postgres.skip_where is not None, option is None
    if not skip and not is_target:
        yield None
        return
    async with table.looking(skip=skip, is_target=is_target) as kept:
        yield kept


def local_destination(
    job: BatchJob, directory: Path, option: Path | None = None
) -> ToFile | ToFolder | None:
    """The same where that is on this machine; None where it is elsewhere, too."""
    output = job.spec.output
    if option is not None:
        path, format, named_by = option.resolve(), None, "--output"
    elif output is not None and output.object_store is None and output.per_item is not None:
        folder = directory / output.file.path if output.file is not None else directory
        return ToFolder(
            folder, output.per_item, input_test(job, directory), part_test(job, directory)
        )
    elif output is not None and output.file is not None:
        path, format = directory / output.file.path, output.format
        named_by = "spec.output.file.path"
    else:
        return None
    return ToFile(path, format, named_by, input_test(job, directory))
