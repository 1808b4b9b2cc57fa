"""Signals that the terminal sends to a command and to everything it has just started."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

FROM_TERMINAL = (signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold Ctrl-C and hang-ups back while a process is started.

    It inherits that they are blocked, so one that comes before it has a session or handlers of its
    own does not kill it. This process gets what came when the block ends. The new process calls
    `let_through` when it is ready for them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FROM_TERMINAL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_through() -> None:
    """Undo, in the new process, what it inherited from `held_back`."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FROM_TERMINAL)
