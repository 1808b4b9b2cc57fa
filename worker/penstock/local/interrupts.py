"""Ctrl-C, SIGTERM and a hang-up, from the first moment of a command to its last."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator


class Interrupts:
    """Where they go. Until `handler` is set to something better they cancel the command's task."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.handler: Callable[[], object] = task.cancel
        self.happened = False

    def take(self) -> None:
        """One has come."""
        self.happened = True
        self.handler()


@contextlib.contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Take them from the process for as long as the block runs."""
    loop, taken = asyncio.get_running_loop(), Interrupts()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, taken.take)
    try:
        yield taken
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
