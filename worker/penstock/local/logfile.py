"""The log of a job: where details go that a person need not see while the job runs.

The driver and all its workers append to one file, so it is turned over under a lock, and whoever
finds that another process did so opens the new one. Nothing secret gets in: every line passes
through `mask`, tracebacks too.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sys
from collections.abc import Mapping
from logging.handlers import WatchedFileHandler
from pathlib import Path

from penstock.secrets import MaskingFormatter, masker

MAX_BYTES = 5_000_000
KEPT = 3
"""Older files beside the log, `<job>.log.1` to `<job>.log.3`."""

_LINE = "%(asctime)s %(levelname)-7s {role} [%(process)d] %(message)s"
_NOISY = ("aiohttp", "asyncio", "asyncpg", "httpcore2", "httpx2", "openai", "urllib3")

_handler: logging.Handler | None = None
_current: Path | None = None


def configure(path: Path | None, role: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send what the process logs, from INFO up, to this file; None: to stderr (pods).

    role: who writes, for example `driver` or `worker 2`. Replaces an earlier configuration, so it
    may be called once a run. Raises OSError when the file cannot be written.
    """
    global _current, _handler
    handler: logging.Handler
    if path is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = SharedFileHandler(path)
    handler.setFormatter(MaskingFormatter(_LINE.format(role=role), masker(environ)))
    root = logging.getLogger()
    if _handler is not None:
        root.removeHandler(_handler)
        _handler.close()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    _handler, _current = handler, path


def configured() -> bool:
    """Whether `configure` was called."""
    return _handler is not None


def current() -> Path | None:
    """The file that `configure` named last; None when that was stderr, or it was never called."""
    return _current


class SharedFileHandler(WatchedFileHandler):
    """A bounded log file that several processes append to."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
        self._max_bytes, self._kept = max_bytes, kept
        super().__init__(path, encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; turn the file over first when it is full."""
        try:
            if self._full():
                self._turn_over()
        except OSError:
            self.handleError(record)
        super().emit(record)

    def _full(self) -> bool:
        return self.stream is not None and self.stream.tell() >= self._max_bytes

    def _turn_over(self) -> None:
        """Under a lock, and only if nobody else has done so since this process looked."""
        path = Path(self.baseFilename)
        with Path(f"{path}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists() and path.stat().st_size >= self._max_bytes:
                for number in range(self._kept, 0, -1):
                    source = path if number == 1 else Path(f"{path}.{number - 1}")
                    if source.exists():
                        source.replace(f"{path}.{number}")
        self.reopenIfNeeded()
