"""The file appears whole or not at all, and every refusal is in plain words."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

import penstock
from penstock.errors import DatabaseError, ExportError, InputError
from penstock.export.rows import ExportRow
from penstock.export.target import check_place, plain_words
from penstock.export.write import format_of, stream_jsonl, write_rows

NAMES = ["r.jsonl", "r.csv", "r.xlsx", "r.parquet"]


def rows_of(count: int, text: str = "") -> list[ExportRow]:
    return [ExportRow(n, str(n), "succeeded", 1, None, {"n": n}, {"t": text}) for n in range(count)]


def names_in(folder: Path) -> list[str]:
    return sorted(place.name for place in folder.iterdir())


async def chunked(rows: Sequence[ExportRow], size: int = 7) -> AsyncIterator[Sequence[ExportRow]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.b.CSV", "csv"),
        ("a.xlsx", "xlsx"),
        ("a.parquet", "parquet"),
    ],
)
def test_the_suffix_tells_the_format(name: str, format: str) -> None:
    assert format_of(Path(name)) == format


def test_a_stated_format_wins_over_the_suffix() -> None:
    assert format_of(Path("a.txt"), "csv") == "csv"


@pytest.mark.parametrize(
    ("name", "says"), [("a.json", r"suffix \.json;"), ("a", "has no suffix"), ("a.gz", r"\.gz")]
)
async def test_a_suffix_nobody_knows_is_refused_before_anything_is_read(
    name: str, says: str, tmp_path: Path
) -> None:
    rows = chunked(rows_of(3))
    with pytest.raises(InputError, match=says):
        await write_rows(rows, tmp_path / name, None)
    assert len(await anext(rows)) == 3
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
async def test_missing_folders_are_made_and_nothing_else_stays(name: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "er" / name
    assert await write_rows(chunked(rows_of(2_500)), path, None) == 2_500
    assert list(path.parent.iterdir()) == [path]


async def test_rows_keep_their_order_over_many_chunks(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    await write_rows(chunked(rows_of(5_000, "x" * 1_000), 900), path, None)
    with path.open() as lines:
        assert [json.loads(line)["_position"] for line in lines] == list(range(5_000))


@pytest.mark.parametrize("name", NAMES)
async def test_cancelled_while_rows_come_leaves_the_old_file_alone(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "out" / name
    path.parent.mkdir()
    path.write_text("old")
    waiting = asyncio.Event()

    async def endless() -> AsyncIterator[Sequence[ExportRow]]:
        yield rows_of(3_000)
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(write_rows(endless(), path, None))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


async def test_cancelled_while_the_file_is_packed_leaves_nothing(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    task: asyncio.Task[int]

    def cancel(_: str) -> None:
        # Called from the thread that packs: it ends only after the loop has cancelled twice.
        for _again in range(2):
            asyncio.run_coroutine_threadsafe(cancelling(), loop).result()

    async def cancelling() -> None:
        task.cancel()

    rows = chunked(rows_of(2, "x" * 40_000))
    task = asyncio.create_task(write_rows(rows, tmp_path / "new" / "r.xlsx", None, warn=cancel))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
async def test_what_the_rows_raise_passes_through(name: str, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[Sequence[ExportRow]]:
        yield rows_of(3)
        raise DatabaseError("gone")

    with pytest.raises(DatabaseError, match="gone"):
        await write_rows(broken(), tmp_path / "new" / name, None)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limit", [10_000, 200_000], ids=["spool", "file"])
async def test_a_disk_that_takes_no_more_is_said_and_leaves_nothing(
    name: str, limit: int, tmp_path: Path
) -> None:
    # Larger in every format than on the way: many columns, and characters that are escaped.
    wide = ExportRow(0, "0", "succeeded", 1, None, {f"k{n}": 1 for n in range(2_000)}, None)
    rows = [wide, *rows_of(300, "\x00" * 300)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(ExportError, match="larger than this file system allows"):
            await write_rows(chunked(rows), tmp_path / "new" / name, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, "this folder cannot be written to"),
        (errno.EROFS, "this folder cannot be written to"),
        (errno.ENOTDIR, "a part of this path is a file, not a folder"),
        (errno.EFBIG, "larger than this file system allows"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_the_systems_numbers_become_words(number: int, says: str) -> None:
    with (
        pytest.raises(ExportError, match=f"cannot write out/r.csv: .*{says}"),
        plain_words(Path("out/r.csv")),
    ):
        raise OSError(number, os.strerror(number))


async def test_a_full_disk_is_said_once_while_small_rows_wait_to_be_written(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(ExportError, match="larger than this file system allows"):
            await write_rows(chunked(rows_of(5_000)), tmp_path / "r.csv", None)
        with pytest.raises(ExportError, match="larger than this file system allows"):
            await stream_jsonl(chunked(rows_of(5_000)), io.BytesIO())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names_in(tmp_path) == []


async def test_places_that_cannot_hold_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for name, says in (
        ("file/r.csv", "is a file, not a folder"),
        ("file/deep/r.csv", "is a file, not a folder"),
        ("folder.csv", "it is a folder"),
        ("pipe.csv", "a device or a pipe"),
        ("x" * 200 + "/" + "y" * 300 + "/r.csv", "(?i)name too long"),
    ):
        with pytest.raises(ExportError, match=says):
            await write_rows(chunked(rows_of(1)), tmp_path / name, None)
    assert names_in(tmp_path) == ["file", "folder.csv", "pipe.csv"]


def test_a_bad_place_is_found_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe.csv")
    for name, says in (
        ("file/deep/r.csv", "/file is a file, not a folder"),
        ("", "it is a folder"),
        ("pipe.csv", "a device or a pipe"),
    ):
        with pytest.raises(InputError, match=says):
            check_place(tmp_path / name)
    check_place(tmp_path / "new" / "er" / "r.csv")
    check_place(tmp_path / "file")
    assert names_in(tmp_path) == ["file", "pipe.csv"]
    monkeypatch.setattr(os, "access", lambda *_: False)  # as it is for everyone but root
    with pytest.raises(InputError, match="cannot be written to"):
        check_place(tmp_path / "r.csv")


async def test_a_value_no_format_can_hold_is_an_export_error(tmp_path: Path) -> None:
    rows = [ExportRow(0, "a", "succeeded", 1, None, {}, "\ud800")]
    for name in NAMES:
        with pytest.raises(ExportError, match="a result has no form in it"):
            await write_rows(chunked(rows), tmp_path / name, None)
    assert names_in(tmp_path) == []


async def test_a_link_and_the_files_permissions_outlive_the_export(tmp_path: Path) -> None:
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    await write_rows(chunked(rows_of(1)), link, None)
    assert link.is_symlink()
    assert real.read_text().startswith("_position")
    assert real.stat().st_mode & 0o777 == 0o640


async def test_what_a_killed_export_left_is_swept_and_a_living_one_is_not(tmp_path: Path) -> None:
    dead, alive = tmp_path / ".penstock-export-dead", tmp_path / ".penstock-export-alive"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "part").write_text("half")
    lock = os.open(alive, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        await write_rows(chunked(rows_of(1)), tmp_path / "r.csv", None)
    finally:
        os.close(lock)
    assert names_in(tmp_path) == [alive.name, "r.csv"]


async def test_two_exports_into_one_folder_do_not_meet(tmp_path: Path) -> None:
    await asyncio.gather(
        *(write_rows(chunked(rows_of(3_000)), tmp_path / name, None) for name in NAMES)
    )
    assert names_in(tmp_path) == sorted(NAMES)


async def test_the_stream_has_the_lines_of_the_file(tmp_path: Path) -> None:
    rows = rows_of(1_500)
    rows[1_400] = ExportRow(1_400, "x", "succeeded", 1, None, {"n": 1, "t": "own"}, {"t": "answer"})
    stream = io.BytesIO()
    assert await stream_jsonl(chunked(rows), stream) == 1_500
    await write_rows(chunked(rows), tmp_path / "r.jsonl", None)
    assert stream.getvalue() == (tmp_path / "r.jsonl").read_bytes()
    assert b'"output.t":""' in stream.getvalue().split(b"\n")[0]


async def test_a_reader_that_has_gone_is_a_broken_pipe() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as stream, pytest.raises(BrokenPipeError):
        await stream_jsonl(chunked(rows_of(5)), stream)


def test_a_format_is_imported_only_when_it_is_written() -> None:
    code = (
        "import sys, penstock.export.write\n"
        "print([m for m in ('pyarrow', 'xlsxwriter') if m in sys.modules])"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(penstock.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ
    )
    assert done.stdout.strip() == "[]"
