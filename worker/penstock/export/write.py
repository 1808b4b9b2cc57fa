"""Writes results: the one place the driver and the command line call.

Rows pass through a spool on disk (see spool.py) while their columns are collected, and from there
into the format asked for. Disk work happens in threads, a chunk at a time, so that the event loop
stays free and a cancelled export ends within one chunk with nothing left behind.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Protocol, cast, get_args

from penstock.errors import ExportError, InputError
from penstock.export.jsonl import JsonlWriter
from penstock.export.kinds import Kinds
from penstock.export.rows import ExportRow, Layout, Survey
from penstock.export.spool import Spool
from penstock.export.target import Target, plain_words
from penstock.export.threads import in_thread
from penstock.spec.job import OutputFormat

_log = logging.getLogger(__name__)
_GATHER_ROWS = 200  # small chunks are put together: changing threads costs as much as ten rows


class Writer(Protocol):
    """What every format offers. After close() the file is whole; abandon() only frees memory."""

    def write(self, rows: Sequence[ExportRow]) -> None: ...
    def close(self) -> None: ...
    def abandon(self) -> None: ...


def format_of(path: Path, format: OutputFormat | None = None) -> OutputFormat:
    """The format stated, or the one the suffix tells. Raises InputError when neither says."""
    if format is not None:
        return format
    suffix = path.suffix.lower().removeprefix(".")
    suffix = "jsonl" if suffix == "ndjson" else suffix
    if suffix in get_args(OutputFormat):
        return cast(OutputFormat, suffix)
    what = f"no format is known by the suffix .{suffix}" if suffix else "the file has no suffix"
    raise InputError.at(
        str(path), f"{what}; results are written as .jsonl (.ndjson), .csv, .xlsx or .parquet"
    )


async def write_rows(
    rows: AsyncIterator[Sequence[ExportRow]],
    path: Path,
    format: OutputFormat | None,
    *,
    warn: Callable[[str], object] = _log.warning,
) -> int:
    """Write rows to `path` in the order they come; returns how many.

    Streams: memory does not depend on the number of rows; disk space of about twice the result is
    used beside it. The file appears complete or not at all, missing folders are made. `warn` is
    told in plain words what the format could not hold whole.
    Raises InputError (no format for this suffix), ExportError (cannot be written: disk, folder,
    too large for the format); what `rows` raises passes through.
    """
    chosen = format_of(path, format)
    async with _opened(path) as (target, spool):
        survey = Survey()
        async for chunk in _gather(rows):
            if chosen == "xlsx":
                _check_rows(survey.rows + len(chunk))
            with plain_words(path):
                await in_thread(partial(_keep, chunk, spool, survey))
        with plain_words(path):
            await _convert(chosen, target, spool, survey.layout(), warn)
            await in_thread(target.commit)
    return survey.rows


async def stream_jsonl(rows: AsyncIterator[Sequence[ExportRow]], stream: IO[bytes]) -> int:
    """Write rows as JSON Lines to an open binary stream (sys.stdout.buffer); returns how many.

    The lines are those of a .jsonl file. They begin when every row has been seen, as the names of
    columns depend on all. Raises ExportError (no room for temporary files), and OSError from the
    stream itself (BrokenPipeError when the reader has gone).
    """
    where = Path(tempfile.gettempdir())
    with plain_words(where):
        spool = await in_thread(Spool)
    try:
        survey = Survey()
        async for chunk in _gather(rows):
            with plain_words(where):
                await in_thread(partial(_keep, chunk, spool, survey))
        await _pass_on(spool, JsonlWriter(stream, survey.layout()).write)
        await in_thread(stream.flush)
    finally:
        await in_thread(spool.close)
    return survey.rows


@contextlib.asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[tuple[Target, Spool]]:
    with contextlib.ExitStack() as undo:
        with plain_words(path):
            target = await in_thread(partial(_open_target, path, undo))
            spool = await in_thread(partial(_open_spool, target, undo))
        try:
            yield target, spool
        finally:
            await in_thread(undo.close)


def _open_target(path: Path, undo: contextlib.ExitStack) -> Target:
    target = Target(path)
    undo.callback(target.close)
    return target


def _open_spool(target: Target, undo: contextlib.ExitStack) -> Spool:
    spool = Spool(target.folder)
    undo.callback(spool.close)
    return spool


def _keep(chunk: Sequence[ExportRow], spool: Spool, survey: Survey) -> None:
    survey.add(chunk)
    spool.add(chunk)


async def _convert(
    format: OutputFormat,
    target: Target,
    spool: Spool,
    layout: Layout,
    warn: Callable[[str], object],
) -> None:
    kinds = Kinds(len(layout.columns))
    if format == "parquet":
        await _pass_on(spool, lambda chunk: kinds.add(map(layout.cells, chunk)))
    writer = await in_thread(partial(_writer, format, target, layout, kinds, warn))
    try:
        await _pass_on(spool, writer.write)
        await in_thread(writer.close)
    except BaseException:
        await in_thread(writer.abandon)
        raise


def _writer(
    format: OutputFormat,
    target: Target,
    layout: Layout,
    kinds: Kinds,
    warn: Callable[[str], object],
) -> Writer:
    """The writer of a format; imports what only that one needs."""
    if format == "jsonl":
        return JsonlWriter(target.file, layout)
    if format == "csv":
        from penstock.export.csv_file import CsvWriter

        return CsvWriter(target.file, layout)
    if format == "xlsx":
        from penstock.export.xlsx import XlsxWriter

        return XlsxWriter(target.file, layout, target.folder, warn)
    from penstock.export.parquet import ParquetWriter

    return ParquetWriter(target.file, layout, kinds.decide())


def _check_rows(rows: int) -> None:
    """Before the rest is read: ten million rows need not be counted to know they are too many."""
    from penstock.export.xlsx import check_size

    check_size(rows, 0)


async def _gather(rows: AsyncIterator[Sequence[ExportRow]]) -> AsyncIterator[list[ExportRow]]:
    held: list[ExportRow] = []
    async for chunk in rows:
        held.extend(chunk)
        if len(held) >= _GATHER_ROWS:
            yield held
            held = []
    if held:
        yield held


async def _pass_on(spool: Spool, consume: Callable[[list[ExportRow]], None]) -> None:
    """All rows of the spool, a chunk at a time, through `consume`."""

    def step() -> bool:
        chunk = spool.take()
        if chunk:
            consume(chunk)
        return bool(chunk)

    await in_thread(spool.rewind)
    while await in_thread(step):
        pass


__all__ = ["ExportError", "ExportRow", "format_of", "stream_jsonl", "write_rows"]
