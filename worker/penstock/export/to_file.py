"""Results in one file of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import InputError
from penstock.export.stored import export
from penstock.export.target import check_place
from penstock.export.write import format_of
from penstock.sources.files import data_files
from penstock.spec.job import BatchJob, OutputFormat
from penstock.store.db import Database
from penstock.store.runs import Run


@dataclass(frozen=True, slots=True)
class ToFile:
    """A file to write.

    stated: its format; None goes by the suffix. named_by: the option or field that names it.
    inputs: lists the files that must not be replaced by it.
    """

    path: Path
    stated: OutputFormat | None
    named_by: str
    inputs: Callable[[], list[Path]]

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

    async def write(self, db: Database, run: Run, warn: Callable[[str], object]) -> int:
        """Write all rows. The file is there whole or not at all. Raises ExportError."""
        return await export(db, run, self.path, self.format, warn=warn)

    def _check(self) -> None:
        check_place(self.path, self.named_by)
        if self.path.exists() and any(self.path.samefile(one) for one in self.inputs()):
            message = f"{self.path} is the input; the results would replace it"
            raise InputError.at(self.named_by, message)
        format_of(self.path, self.stated)


def input_files(job: BatchJob, directory: Path) -> Callable[[], list[Path]]:
    """Lists the files that items are read from, as far as they are (still) there."""

    def files() -> list[Path]:
        if job.spec.source.file is None:
            return []
        try:
            return [file.path for file in data_files(job.spec.source, directory)]
        except InputError:
            return []  # planning says what is wrong; a run that goes on does not need them

    return files
