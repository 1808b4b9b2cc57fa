"""Whether a process still lives, told alike by every test."""

from __future__ import annotations

import psutil


def lives(process: psutil.Process | int) -> bool:
    """Whether it runs. One that has ended and waits for its parent to notice (a zombie) does not:
    orphans are the init process's to clear away, and that may take its time."""
    try:
        found = psutil.Process(process) if isinstance(process, int) else process
        return found.is_running() and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
