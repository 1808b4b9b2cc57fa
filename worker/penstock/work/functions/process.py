"""One process of a worker, seen from the worker: started, given work, ended, and why it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil

from penstock import jsons, signals
from penstock.errors import InputError, Mistake
from penstock.work.failures import timed_out
from penstock.work.functions.outcome import THERE, ProcessEnded
from penstock.work.functions.wire import NOTHING, PAGE, Place, frame, frames
from penstock.work.types import Failure, FailureKind, Output

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


LAST_WORDS = 0.2
"""Seconds in which what a process has said before its end arrives."""
PATIENCE = 900.0
"""Seconds that a process may take to be ready: an initializer may load a large model."""


class RemoteError(Exception):
    """An exception of a function in a process that could not be handed over as it was."""


class Process:
    """A child process. `start` makes one that is ready; it takes one piece of work at a time."""

    def __init__(self, process: asyncio.subprocess.Process, place: Place) -> None:
        self._process, self._place = process, place
        self._seen = psutil.Process(process.pid)
        self._killed: Failure | None = None
        self._transport: asyncio.Transport | None = None
        self._heard: asyncio.Queue[Any] = asyncio.Queue()
        self._gone = asyncio.create_task(self._until_gone())

    @classmethod
    async def start(cls, told: Mapping[str, Any], threads: int) -> Process:
        """A process that has loaded the user's function. threads: what numeric libraries may start.

        Raises InputError for what it refuses, ProcessEnded when it ends before it is ready.
        """
        ours, theirs = socket.socketpair()
        with tempfile.TemporaryFile() as page, theirs:
            page.truncate(PAGE)
            place = Place(page.fileno())
            place.at(NOTHING, 0.0)
            with signals.held_back():
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-P", "-m", "penstock.work.functions.child"),
                    *(str(theirs.fileno()), str(page.fileno()), str(os.getpid())),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), page.fileno()),
                    start_new_session=True,
                    env={**dict.fromkeys(_THREADS, str(threads)), **os.environ},
                )
        self = cls(process, place)
        try:
            loop = asyncio.get_running_loop()
            self._transport, _ = await loop.create_connection(lambda: _Wire(self._heard), sock=ours)
            self._send(frame(dict(told)))
            async with asyncio.timeout(PATIENCE):
                answer = await self._heard.get()
            if answer is None:
                raise ProcessEnded(await self._why())
        except TimeoutError:
            await self.close()
            raise ProcessEnded(timed_out(PATIENCE)) from None
        except BaseException:
            await self.close()
            ours.close()
            raise
        if answer[0] == "refused":
            await self.close()
            raise InputError([Mistake(where, message) for where, message in answer[1]])
        return self

    @property
    def alive(self) -> bool:
        """Whether it can be given work."""
        return self._process.returncode is None and self._killed is None

    async def items(self, items: Sequence[Any]) -> list[Output | Failure | None]:
        """What became of each item; None: it was not begun, or its result got lost."""
        results: list[Output | Failure | None] = [None] * len(items)
        try:
            self._send(frame(("items", list(items))))
            left = len(items)
            while left:
                heard = await self._heard.get()
                if heard is None:
                    index, _ = self._place.read()
                    why = await self._why()
                    if index != NOTHING and results[index] is None:
                        results[index] = why
                    break
                index, told = heard
                known = isinstance(told, Failure)
                results[index] = told if known else Output(jsons.loads(told), told)
                left -= 1
        except asyncio.CancelledError:
            self.kill()  # it would go on with what nobody waits for
            raise
        return results

    async def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """What the function returns there. Raises what it raises, or ProcessEnded."""
        try:
            self._send(frame(("call", pickle.dumps((function, args, kwargs)))))
            heard = await self._heard.get()
        except asyncio.CancelledError:
            self.kill()
            raise
        if heard is None:
            raise ProcessEnded(await self._why())
        if heard[0] == 0:
            return pickle.loads(heard[1])
        _, pickled, kind, message, frames_there = heard
        error: BaseException = RemoteError(f"{kind}: {message}")
        if pickled is not None:
            with contextlib.suppress(Exception):
                found = pickle.loads(pickled)
                # What ends a process there must not end the worker here.
                error = found if isinstance(found, Exception) else error
        setattr(error, THERE, frames_there)
        raise error

    def check(self, timeout: float, memory: int) -> None:
        """Kill it when its item takes longer than `timeout` seconds, or it has more than `memory`
        bytes."""
        index, since = self._place.read()
        if not self.alive or index == NOTHING:
            return
        if time.monotonic() - since > timeout:
            self.kill(timed_out(timeout))
        elif self.resident() > memory:
            message = f"its process had more than {memory / 2**20:,.0f} MiB (python.memoryLimit)"
            self.kill(Failure(FailureKind.ERROR, "out of memory", message))

    def resident(self) -> int:
        """Bytes of memory it has; 0 when it is gone."""
        try:
            return int(self._seen.memory_info().rss)
        except psutil.Error:
            return 0

    def kill(self, why: Failure | None = None) -> None:
        """End it and what it has started, at once."""
        self._killed = self._killed or why or Failure(FailureKind.ERROR, "process ended")
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """End it and wait until it is gone."""
        self.kill()
        await self._process.wait()
        self._gone.cancel()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what it has started and left behind
        if self._transport is not None:
            self._transport.close()
        self._place.close()

    async def _until_gone(self) -> None:
        """Something that it has started may hold the wire open: its own end counts."""
        await self._process.wait()
        await asyncio.sleep(LAST_WORDS)
        self._heard.put_nowait(None)

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    async def _why(self) -> Failure:
        code = await self._process.wait()
        if self._killed is not None:
            return self._killed
        if code < 0:
            name = signal.Signals(-code).name
            hint = "; the system may have been out of memory" if -code == signal.SIGKILL else ""
            return Failure(FailureKind.ERROR, f"its process was killed by {name}", hint[2:])
        return Failure(FailureKind.ERROR, f"its process ended with exit code {code}")


class _Wire(asyncio.Protocol):
    """Messages of the process into a queue; None when it hangs up."""

    def __init__(self, heard: asyncio.Queue[Any]) -> None:
        self._heard, self._buffer = heard, bytearray()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        for message in frames(self._buffer):
            self._heard.put_nowait(message)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._heard.put_nowait(None)
