"""One file an item in a folder of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from penstock.export.per_item import Rows, content, item_files
from penstock.export.rows import ExportRow
from penstock.export.spool import parked
from penstock.export.stored import export_rows
from penstock.export.target import check_place, hidden_folder, plain_words
from penstock.export.threads import in_thread
from penstock.spec.item_path import FIELD
from penstock.store.db import Database
from penstock.store.runs import Run


@dataclass(frozen=True, slots=True)
class ToFolder:
    """A folder, and the template of the paths below it. is_input: whether a file is one that items
    are read from."""

    folder: Path
    template: str
    is_input: Callable[[Path], bool]

    @property
    def name(self) -> str:
        """The template, in its folder."""
        return str(self.folder / self.template)

    async def check(self) -> None:
        """Raises InputError when no files can be made there."""
        await asyncio.to_thread(check_place, self.folder / "x", FIELD)

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

    def is_input_path(self, path: str) -> bool:
        """Whether a path below the folder is one that items are read from."""
        return self.is_input(self.folder / path)

    async def _write(self, every: Rows) -> int:
        count = 0
        with contextlib.ExitStack() as undo:
            scratch: Path | None = None
            async for chunk in item_files(every, self.template, self.is_input_path):
                if scratch is None:
                    scratch = await in_thread(partial(_scratch, self.folder, undo))
                await in_thread(partial(self._put, chunk, scratch))
                count += len(chunk)
            if scratch is not None:
                # Once for all files: for each by itself it would take longer than writing them.
                await in_thread(os.sync)
        return count

    def _put(self, chunk: Sequence[tuple[str, ExportRow]], scratch: Path) -> None:
        part = scratch / "part"
        for path, row in chunk:
            place = self.folder / path
            with plain_words(place, f" of item {row.item_id!r}"):
                place.parent.mkdir(parents=True, exist_ok=True)
                part.write_bytes(content(row.output))
                part.replace(place)


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
