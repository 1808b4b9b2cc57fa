"""Which files `spec.source.file.path` means, in which order, and in which format each is.

A path is relative to the manifest. With `*`, `?` or `[…]` in it, it is a glob (`**` crosses
folders): the matches are read one after the other, sorted by path, hidden files left out.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import InputError
from penstock.spec.source import Format, Source, has_wildcard
from penstock.spec.suggest import did_you_mean

PATH_FIELD = "spec.source.file.path"
FORMAT_FIELD = "spec.source.format"

SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}
COMPRESSED = (".gz", ".zst", ".zstd")
_READABLE = "jsonl, json, csv, parquet, xlsx"


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file to read.

    name: how messages call it (relative to the manifest where it can be). remote: opens it where
    it is not on this machine; the path then only says what it is called.
    """

    path: Path
    name: str
    format: Format
    remote: Callable[[], io.RawIOBase] | None = None

    def open(self) -> io.RawIOBase:
        """Its bytes, unbuffered. Raises OSError, or InputError from afar."""
        return self.path.open("rb", buffering=0) if self.remote is None else self.remote()

    @property
    def bare_suffix(self) -> str:
        """The suffix below `.gz` or `.zst`, in lower case."""
        return _bare_suffix(self.path)


def data_files(source: Source, base: Path) -> list[DataFile]:
    """The files of a `file` source in reading order; never empty.

    base: the folder of the manifest. Raises InputError (path or format field) when there is none,
    when one is no regular file, or when its format cannot be told.
    """
    if source.config_map is not None:
        raise InputError.at(
            "spec.source.configMap",
            "is read on a cluster; to run on this machine name a file: source: {file: {path: …}}",
        )
    assert source.file is not None
    return [
        DataFile(
            path, name := _display_name(path, base), source.format or format_by_name(path, name)
        )
        for path in _resolve(source.file.path, base)
    ]


def _resolve(written: str, base: Path) -> list[Path]:
    if "\0" in written:
        raise InputError.at(PATH_FIELD, "a path cannot contain a NUL character")
    path = base / Path(written).expanduser()
    # A file that really has such a name wins over the glob.
    if not has_wildcard(written) or path.exists():
        return [_regular_file(written, path)]
    root = Path(path.anchor) if path.is_absolute() else Path()
    pattern = str(path.relative_to(path.anchor)) if path.is_absolute() else str(path)
    try:
        found = sorted(
            match
            for match in root.glob(pattern)
            if match.is_file() and not match.name.startswith(".")
        )
    except (ValueError, NotImplementedError) as error:
        raise InputError.at(PATH_FIELD, f"{written!r} is not a usable glob: {error}") from error
    if not found:
        raise InputError.at(PATH_FIELD, f"no file matches {written!r} (looked from {base})")
    return found


def _regular_file(written: str, path: Path) -> Path:
    if path.is_file():
        return path
    if path.is_dir():
        inside = written.rstrip("/") + "/*"
        raise InputError.at(PATH_FIELD, f"{written!r} is a folder; for its files write {inside}")
    if path.exists():
        raise InputError.at(PATH_FIELD, f"{written!r} is not a regular file")
    folder = path.parent
    if not folder.is_dir():
        raise InputError.at(PATH_FIELD, f"no file {written!r}: there is no folder {folder}")
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except PermissionError:
        names = []
    raise InputError.at(
        PATH_FIELD, f"no file {written!r} in {folder}{did_you_mean(path.name, names)}"
    )


def format_by_name(path: Path, name: str) -> Format:
    """The format that a file's suffix tells. Raises InputError when it does not."""
    suffix = _bare_suffix(path)
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    raise InputError.at(
        FORMAT_FIELD,
        f"the name {name!r} does not tell the format: set {FORMAT_FIELD} to one of {_READABLE}",
    )


def _bare_suffix(path: Path) -> str:
    inner = Path(path.stem) if path.suffix.lower() in COMPRESSED else path
    return inner.suffix.lower()


def _display_name(path: Path, base: Path) -> str:
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
