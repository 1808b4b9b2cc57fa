"""What a person sees of an error, and the exit code it ends the command with."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from contextvars import ContextVar
from pathlib import Path

from penstock.errors import InputError, PenstockError

log = logging.getLogger(__name__)

_subject: ContextVar[str] = ContextVar("subject", default="")


def about(subject: str) -> None:
    """Name what the command is given, a manifest's path usually: the heading over its mistakes."""
    _subject.set(subject)


def report(error: BaseException) -> int:
    """Say on stderr what is wrong; returns the exit code. Secrets are hidden.

    What was raised on purpose is told in plain words. For anything else there is one line and the
    file that holds the traceback.
    """
    from penstock.local import logfile
    from penstock.secrets import masker

    mask = masker(os.environ)
    meant = intended(error)
    if meant is None:
        return _unexpected(error, mask(f"{type(error).__name__}: {error}"))
    if logfile.current() is not None:
        log.error("%s", meant)
    if isinstance(meant, InputError):
        _say(mask("\n".join(mistake_lines(meant, _subject.get()))))
    else:
        _say(f"Error: {mask(str(meant))}")
    return meant.exit_code


def intended(error: BaseException) -> PenstockError | None:
    """The error that was raised on purpose: this one, or the first in a group of several."""
    if isinstance(error, PenstockError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [intended(one) for one in error.exceptions]
        return next((one for one in found if one is not None), None)
    return None


def mistake_lines(error: InputError, subject: str) -> list[str]:
    """Every mistake on a line of its own; several of them under a heading."""
    if len(error.mistakes) == 1:
        return [f"Error: {error.mistakes[0]}"]
    heading = f"{subject or 'Error'}: {len(error.mistakes)} mistakes"
    return [heading, *(f"  {mistake}" for mistake in error.mistakes)]


def _unexpected(error: BaseException, told: str) -> int:
    path = _log_file()
    log.error("unexpected error", exc_info=error)
    _say(f"Error: something went wrong that should not: {told}")
    if path is not None:
        _say(f"The traceback is in {path}")
    return 1


def _log_file() -> Path | None:
    """The log of this run; before there is one, a file of its own; None when stderr is the log."""
    from penstock.local import logfile

    if logfile.configured():
        return logfile.current()
    folders = [Path(".penstock/logs"), Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}"]
    for folder in folders:
        if folder.parent.exists():
            try:
                logfile.configure(folder / "penstock.log", "command")
            except OSError:
                continue
            return folder / "penstock.log"
    logfile.configure(None, "command")
    return None


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
