"""The file that results go to: complete under its name, or not there at all.

Everything is written in a hidden folder beside it and moved into place at the end. The folder is
locked by whoever writes in it, so that one left behind by kill -9 is known for what it is and
removed by the next export into the same place. All blocking: call it in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from penstock.errors import ExportError, InputError

_PREFIX = ".penstock-export-"


class Target:
    """A path about to be written. `file` is open for it; `folder` is for temporary files.

    Raises OSError or ExportError when nothing can be written there.
    """

    def __init__(self, path: Path) -> None:
        self._path = real(path)
        _refuse_special(self._path)
        parent = self._path.parent
        self._made = [place for place in (parent, *parent.parents) if not place.exists()]
        try:
            self.folder, self._lock = hidden_folder(parent)
        except OSError:
            self._remove_parents()
            raise
        self._part = self.folder / "part"
        self.file: IO[bytes] = self._part.open("wb")

    def commit(self) -> None:
        """Move the file into place, on disk before this returns."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        if self._path.exists():
            shutil.copymode(self._path, self._part)
        self._part.replace(self._path)
        self._made.clear()
        parent = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)

    def close(self) -> None:
        """Remove whatever is temporary; after a failure also the folders made for it."""
        with contextlib.suppress(OSError):
            self.file.close()  # flushing into a full disk fails once more
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)
        self._remove_parents()

    def _remove_parents(self) -> None:
        for folder in self._made:  # innermost first
            with contextlib.suppress(OSError):  # no longer empty: somebody else's by now
                folder.rmdir()


def check_place(path: Path, named_by: str = "") -> None:
    """Whether a file can be written there later; makes nothing. Cheap, for before a run starts.

    named_by: the option or field that names it. Raises InputError: a folder, a device, below a
    file, or in a folder that cannot be written to.
    """
    path = real(path)
    try:
        _refuse_special(path)
    except ExportError as error:
        raise InputError.at(named_by, str(error)) from error
    nearest = next(place for place in path.parents if os.path.lexists(place))
    if not nearest.is_dir():
        raise InputError.at(named_by, f"cannot write {path}: {nearest} is a file, not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        message = f"cannot write {path}: the folder {nearest} cannot be written to"
        raise InputError.at(named_by, message)


def real(path: Path) -> Path:
    """The file that is written for a path, in every place for results: a link stays a link, and
    what it points to is replaced."""
    return Path(os.path.realpath(path))  # Path.resolve raises RuntimeError for links in a circle


@contextlib.contextmanager
def plain_words(path: Path, whose: str = "") -> Iterator[None]:
    """Turn an OSError from writing `path` into an ExportError that says what to do.

    whose: what it is, when that is not plain, such as ` of item 7`.
    """
    try:
        yield
    except OSError as error:
        raise ExportError(f"cannot write {path}{whose}: {_reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise ExportError(
            f"cannot write {path}{whose}: a result has no form in it: {error}"
        ) from error


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "this folder cannot be written to"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "a part of this path is a file, not a folder"
    if error.errno == errno.EFBIG:
        return "the file is larger than this file system allows"
    return error.strerror or str(error)


def _refuse_special(path: Path) -> None:
    if path.is_dir():
        raise ExportError(f"cannot write {path}: it is a folder; name a file in it")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise ExportError(f"cannot write {path}: it is a device or a pipe, not a file")


def hidden_folder(parent: Path) -> tuple[Path, int]:
    """A new folder for what is being written, in a folder that is made when there is none, and the
    descriptor whose lock says that somebody is at work. Removes those of the dead. Raises OSError.
    """
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent)
    return _locked_folder(parent)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """A new hidden folder and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue  # swept before it could be locked
        with contextlib.suppress(OSError):  # a file system without locks: then nobody sweeps either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)  # swept while this waited for the lock


def _sweep(parent: Path) -> None:
    """Remove the folders of exports that were killed: those nobody holds locked."""
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder, os.O_RDONLY)
        except OSError:
            continue  # just removed, or another user's
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass  # its export is still at work
        finally:
            os.close(lock)
