"""One file an item in a folder of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from penstock.errors import InputError
from penstock.export.per_item import INPUT, Rows, content, item_files
from penstock.export.rows import ExportRow
from penstock.export.spool import parked
from penstock.export.stored import export_rows
from penstock.export.target import check_place, hidden_folder, plain_words, real
from penstock.export.threads import in_thread
from penstock.spec.item_path import FIELD, constant_folder
from penstock.store.db import Database
from penstock.store.runs import Run

_LONGEST_PART, _LONGEST_PATH = 255, 4095
"""Bytes of a name and of a whole path, on practically all file systems."""


@dataclass(frozen=True, slots=True)
class ToFolder:
    """A folder, and the template of the paths below it. is_input: whether a file is one that items
    are read from; is_part: one that the job is made of."""

    folder: Path
    template: str
    is_input: Callable[[Path], bool]
    is_part: Callable[[Path], bool]

    @property
    def name(self) -> str:
        """The template, in its folder."""
        return str(self.folder / self.template)

    async def check(self) -> None:
        """Raises InputError when no files can be made there."""
        await asyncio.to_thread(check_place, self._common / "x", FIELD)

    async def write(self, db: Database, run: Run, _warn: Callable[[str], object], /) -> int:
        """Write the results there are; returns how many. Each file is there whole or not at all,
        and one that is there already is replaced. Raises ExportError."""
        return await self._write(partial(export_rows, db, run))

    async def write_rows(
        self, rows: AsyncIterator[Sequence[ExportRow]], _warn: Callable[[str], object], /
    ) -> int:
        """The same with rows that come from elsewhere, and once."""
        async with parked(rows) as every:
            return await self._write(every)

    def problem(self, path: str) -> str:
        """Why no file can be written at a path below the folder; empty when one can."""
        place = self.folder / path
        if any(len(os.fsencode(part)) > _LONGEST_PART for part in path.split("/")):
            return f"has a part of more than {_LONGEST_PART} bytes"
        if len(os.fsencode(place)) > _LONGEST_PATH:
            return f"is longer than {_LONGEST_PATH:,} bytes with its folder"
        if self.is_input(place):
            return INPUT
        if self.is_part(place):
            return "is a file that the job is made of"
        if place.is_symlink() and real(place).is_relative_to(real(self._common)):
            return "is a link to what may be another item's file"
        try:
            check_place(place)
        except InputError as error:
            return f"will not do: {error}"
        return ""

    @property
    def _common(self) -> Path:
        """Where all files lie."""
        return self.folder / constant_folder(self.template)

    async def _write(self, every: Rows) -> int:
        count = 0
        with contextlib.ExitStack() as undo:
            scratch: Path | None = None
            async for chunk in item_files(every, self.template, self.problem):
                if not chunk:
                    continue
                if scratch is None:
                    scratch = await in_thread(partial(_scratch, self._common, undo))
                await in_thread(partial(self._put, chunk, scratch))
                count += len(chunk)
            if scratch is not None:
                # Once for all files: for each by itself it would take longer than writing them.
                await in_thread(os.sync)
        return count

    def _put(self, chunk: Sequence[tuple[str, ExportRow]], scratch: Path) -> None:
        part = scratch / "part"
        for path, row in chunk:
            place = real(self.folder / path)
            with plain_words(place, f" of item {row.item_id!r}"):
                place.parent.mkdir(parents=True, exist_ok=True)
                part.write_bytes(content(row.output))
                _move(part, place)


def _move(part: Path, place: Path) -> None:
    try:
        part.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Another disk is mounted further down.
        with _hidden(place.parent) as near:
            shutil.copyfile(part, near / "part")
            (near / "part").replace(place)


def _scratch(folder: Path, undo: contextlib.ExitStack) -> Path:
    return undo.enter_context(_hidden(folder))


@contextlib.contextmanager
def _hidden(folder: Path) -> Iterator[Path]:
    with plain_words(folder):
        scratch, lock = hidden_folder(folder)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)
