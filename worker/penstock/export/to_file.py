"""Results in one file of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from penstock.errors import InputError
from penstock.export.rows import ExportRow
from penstock.export.stored import export
from penstock.export.target import check_place, real
from penstock.export.write import format_of, write_rows
from penstock.sources.file_items import would_match
from penstock.sources.files import data_files
from penstock.spec.job import API_VERSION, BatchJob, OutputFormat
from penstock.store.db import Database
from penstock.store.runs import Run


@dataclass(frozen=True, slots=True)
class ToFile:
    """A file to write.

    stated: its format; None goes by the suffix. named_by: the option or field that names it.
    is_input: whether a file is one that items are read from.
    """

    path: Path
    stated: OutputFormat | None
    named_by: str
    is_input: Callable[[Path], bool]

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    @property
    def format(self) -> OutputFormat:
        """Its format. Raises InputError when nothing tells."""
        return format_of(self.path, self.stated)

    async def check(self) -> None:
        """Raises InputError: it cannot be written, has no known format, or is the input."""
        await asyncio.to_thread(self._check)

    async def write(self, db: Database, run: Run, warn: Callable[[str], object], /) -> int:
        """Write all rows. The file is there whole or not at all. Raises ExportError."""
        return await export(db, run, self.path, self.format, warn=warn)

    async def write_rows(
        self, rows: AsyncIterator[Sequence[ExportRow]], warn: Callable[[str], object], /
    ) -> int:
        """The same with rows that come from elsewhere."""
        return await write_rows(rows, self.path, self.format, warn=warn)

    def _check(self) -> None:
        check_place(self.path, self.named_by)
        if self.is_input(self.path):
            raise InputError.at(self.named_by, input_message(self.path))
        format_of(self.path, self.stated)


def input_test(job: BatchJob, directory: Path) -> Callable[[Path], bool]:
    """Tells whether a file is one that items are read from, or would be in the next run.

    Which files a pattern matches is looked up once, when that is first asked.
    """
    source = job.spec.source

    @cache
    def inputs() -> frozenset[tuple[int, int]]:
        try:
            found = [_known(file.path) for file in data_files(source, directory)]
        except InputError:
            return frozenset()  # planning says what is wrong; a run that goes on does not need them
        return frozenset(one for one in found if one is not None)

    def is_input(path: Path) -> bool:
        if source.file is None:
            return False
        if source.format == "files":
            return would_match(source, directory, path)
        known = _known(path)
        return known is not None and known in inputs()

    return is_input


def part_test(job: BatchJob, directory: Path) -> Callable[[Path], bool]:
    """A test whether a file is one that the job is made of: a manifest, or a module of the user's
    function, in the folder that paths are relative to."""
    python = job.spec.processor.python
    folder = real(directory)
    package = folder / python.entrypoint.partition(":")[0].partition(".")[0] if python else None

    def is_part(path: Path) -> bool:
        place = real(path)
        if not place.is_file():
            return False
        if place.parent == folder and place.suffix in (".yaml", ".yml"):
            return API_VERSION.encode() in place.read_bytes()
        beside = place.parent == folder and place.suffix == ".py"
        return package is not None and (beside or place.is_relative_to(package))

    return is_part


def _known(path: Path) -> tuple[int, int] | None:
    """What tells a file from all others, by whatever name; None when there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def input_message(path: Path) -> str:
    """What is said when it is."""
    return f"{path} is the input; the results would replace it, or be among the next run's items"
