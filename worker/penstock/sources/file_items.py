"""`format: files`: each file is an item, `{path, size, modified}`. What is in it nobody reads here.

The path is written as the manifest writes it: relative to the manifest, or absolute. A folder means
all files below it. Hidden files and folders are left out, and links to folders are not followed
below `**`. One item at a time, sorted by path, so that memory is the same for any number of files.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from penstock.errors import InputError
from penstock.sources.patterns import Pattern
from penstock.sources.records import NoRows, Record
from penstock.spec.source import Source, has_wildcard

PATH_FIELD = "spec.source.file.path"
_LEADS_NOWHERE = (errno.ENOENT, errno.ELOOP)
"""What a link to nothing, or to itself, is refused with; or the file was removed a moment ago."""


def rows(source: Source, base: Path) -> Generator[Record]:
    """An item for each file that `source.file.path` matches.

    base: the folder of the manifest. Raises InputError: nothing there, a folder that cannot be
    read, or no file that matches (NoRows).
    """
    assert source.file is not None
    written = _tidy(source.file.path)
    pattern = file_pattern(written, base)
    if pattern is None:
        try:
            facts = (base / written).stat()
        except OSError as error:
            raise _unseen(written, error) from error
        yield _record(written, facts)
        return
    top = base / pattern.folder
    if not os.path.isdir(top):  # noqa: PTH112 - Path.is_dir raises for what it may not look at
        raise InputError.at(PATH_FIELD, f"{written!r}: there is no folder {top}")
    found = False
    for name, entry in _walk(top, (), pattern):
        if not pattern.matches(name):
            continue
        try:
            facts = entry.stat()
        except OSError as error:
            if error.errno in _LEADS_NOWHERE:
                continue
            found = True
            yield _shown(pattern.folder + name), None, f"cannot be looked at: {error.strerror}"
            continue
        found = True
        yield _record(pattern.folder + name, facts)
    if not found:
        what = "is an empty folder" if not has_wildcard(written) else "matches no file"
        hint = "; hidden files do not count" if _has_hidden(top) else ""
        raise NoRows.at(PATH_FIELD, f"{written!r} {what} (looked in {top}{hint})")


def would_match(source: Source, base: Path, path: Path) -> bool:
    """Whether a file would be an item of this source, were it there."""
    assert source.file is not None
    written = _tidy(source.file.path)
    try:
        pattern = file_pattern(written, base)
    except InputError:
        return False  # planning says what is wrong
    if pattern is None:
        return _real(path) == _real(base / written)
    top = _real(base / pattern.folder)
    path = _real(path)
    return path.is_relative_to(top) and pattern.matches(path.relative_to(top).as_posix())


def file_pattern(written: str, base: Path) -> Pattern | None:
    """What a tidy path means: None for the one file of that name. Raises InputError: none there."""
    if "\0" in written:
        raise InputError.at(PATH_FIELD, "a path cannot contain a NUL character")
    path = base / written
    try:
        # What really has such a name wins over the pattern.
        if path.is_dir():
            return Pattern.below("" if written == "." else written)
        if path.is_file():
            return None
        if path.exists():
            raise InputError.at(PATH_FIELD, f"{written!r} is neither a file nor a folder")
    except OSError as error:
        # A pattern may be longer than any name.
        if error.errno != errno.ENAMETOOLONG or not has_wildcard(written):
            raise _unseen(written, error) from error
    if not has_wildcard(written):
        raise InputError.at(PATH_FIELD, f"there is no file or folder {written!r} in {base}")
    try:
        return Pattern.of(written)
    except ValueError as error:
        raise InputError.at(PATH_FIELD, str(error)) from error


def _tidy(written: str) -> str:
    """Without what only makes two names for one file: `./docs//a.pdf` is `docs/a.pdf`."""
    return str(Path(written).expanduser())


def item_of(path: str, size: int, modified: datetime) -> dict[str, Any]:
    """What a file is as an item. modified: with a time zone; written in UTC, whole seconds as
    such."""
    text = modified.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return {"path": path, "size": size, "modified": text}


def _record(path: str, facts: os.stat_result) -> Record:
    modified = datetime.fromtimestamp(facts.st_mtime_ns // 1000 / 1e6, UTC)
    try:
        path.encode()
    except UnicodeEncodeError:
        return _shown(path), None, "the name of this file is not UTF-8: rename it"
    return path, item_of(path, facts.st_size, modified), None


def _shown(path: str) -> str:
    """A path in a message, whatever its bytes are."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _unseen(written: str, error: OSError) -> InputError:
    return InputError.at(PATH_FIELD, f"{written!r} cannot be looked at: {error.strerror}")


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises RuntimeError for links in a circle


def _walk(
    folder: Path, parts: tuple[str, ...], pattern: Pattern
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The files below a folder, with their paths from the top on, sorted by the parts of those."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        message = f"the folder {folder} cannot be read: {error.strerror}"
        raise InputError.at(PATH_FIELD, message) from error
    for entry in entries:
        below = (*parts, entry.name)
        if _is(entry.is_dir, follow_symlinks=_follows(pattern, len(below))):
            if pattern.leads_on(below) and not _is_hidden(entry.name, pattern, len(parts)):
                yield from _walk(folder / entry.name, below, pattern)
        elif _is(entry.is_file) is not False:
            yield "/".join(below), entry


def _is(kind: Callable[..., bool], **more: bool) -> bool | None:
    """What an entry is; None when that cannot be told."""
    try:
        return kind(**more)
    except OSError:
        return None


def _follows(pattern: Pattern, depth: int) -> bool:
    """Whether links to folders are followed there: where the depth is known they cannot go round
    in circles."""
    return "**" not in pattern.parts[:depth]


def _is_hidden(name: str, pattern: Pattern, depth: int) -> bool:
    return name.startswith(".") and "**" in pattern.parts[: depth + 1]


def _has_hidden(top: Path) -> bool:
    with os.scandir(top) as listing:
        return any(entry.name.startswith(".") for entry in listing)
