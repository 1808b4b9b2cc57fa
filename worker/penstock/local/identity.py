"""Who drives a run on one machine, so that the next command can tell whether it still lives."""

from __future__ import annotations

import os
import socket
from typing import Any

from penstock import jsons

_CLOCK_SLACK = 1.0
"""Process start times are read back with this precision, seconds."""


def me() -> str:
    """This process, as JSON for the run's row."""
    return jsons.dumps(mine())


def mine() -> dict[str, Any]:
    """This process, as a run's driver is read back."""
    import psutil

    started = psutil.Process().create_time()
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": started}


def alive(driver: dict[str, Any] | None, *, fresh: bool) -> bool:
    """Whether the driver of a run still lives.

    On this machine by its process (pid and start time: pids are used again); on another one by
    whether it gave a sign of life just now.
    """
    import psutil

    if driver is None:
        return False
    if driver["host"] != socket.gethostname():
        return fresh
    try:
        process = psutil.Process(driver["pid"])
        same = abs(process.create_time() - driver["started"]) < _CLOCK_SLACK
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
