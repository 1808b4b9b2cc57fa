"""Where the embedded database of a command lives, and whether it can live there.

Called by embedded.py before anything is started. The rule is short: the directory that was named;
else `.penstock` here; else, when that cannot be written, a place of its own for this directory
in the user's state directory, which is said aloud and found again the next time.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import EmbeddedServerError

NAME = ".penstock"


@dataclass(frozen=True, slots=True)
class DataDir:
    """A place for the database. notice: what the user should hear about it, if anything."""

    path: Path
    notice: str | None = None


def find_data_dir(
    named: Path | None,
    *,
    cwd: Path,
    environ: Mapping[str, str],
    obstacle: Callable[[Path], str | None],
) -> DataDir:
    """Decide where the database lives.

    named: what `--data-dir` said, relative to cwd; it never falls back. obstacle: answers why a
    directory cannot hold the database, or None when it can (see `why_not`).
    Raises EmbeddedServerError when no place is left.
    """
    if named is not None:
        path = cwd / named.expanduser()
        if reason := obstacle(path):
            raise EmbeddedServerError(
                f"the database cannot be kept in {path}: {reason}. Name a directory of yours with "
                "--data-dir, or a server with --database"
            )
        return DataDir(path)
    here = cwd / NAME
    there = state_dir(cwd, environ)
    reason = obstacle(here)
    if reason is None and (_holds_data(here) or not _holds_data(there)):
        return DataDir(here)
    if blocked := obstacle(there):
        if reason is None:
            return DataDir(here)
        raise EmbeddedServerError(
            f"the database can be kept neither in {here} ({reason}) nor in {there} ({blocked}). "
            "Name a directory with --data-dir, or a server with --database"
        )
    why = f"not in {here}: {reason}" if reason else "as before, when this directory was read-only"
    return DataDir(there, f"the database is in {there} ({why})")


def state_dir(cwd: Path, environ: Mapping[str, str]) -> Path:
    """The place in the user's state directory that belongs to the directory cwd."""
    state = Path(environ.get("XDG_STATE_HOME") or "~/.local/state")
    if not state.is_absolute():  # relative values are void, says the XDG specification
        state = Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    digest = hashlib.blake2b(os.fsencode(cwd.resolve()), digest_size=8).hexdigest()
    return state / "penstock" / digest


def why_not(path: Path) -> str | None:
    """Why the database cannot be kept in the directory `path`; None when it can.

    Makes the directory, only for its owner, when it is missing: nothing else tells for certain.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
        if found.st_uid != os.geteuid():  # not even as root: they could plant links for it
            return f"it belongs to another user (uid {found.st_uid})"
        if stat.S_IMODE(found.st_mode) & 0o022:
            return "others may write to it (chmod go-w would do)"
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _holds_data(path: Path) -> bool:
    try:
        return (path / "data").is_dir()
    except OSError:
        return False
