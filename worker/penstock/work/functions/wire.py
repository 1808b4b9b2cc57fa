"""What a worker and its processes say to each other over a socket: pickled messages with a length.

Only these two ever speak here; what one sends the other would compute itself. A page of memory that
both see tells which item the process is at, and since when, should it end without a word.
"""

from __future__ import annotations

import mmap
import pickle
import socket
import struct
import threading
from collections import deque
from typing import Any

_LENGTH = struct.Struct("<I")
_FIELD = struct.Struct("<d")
NOTHING = -1
PAGE = 16
GATHER = 0.002
"""Seconds that a result may wait for the next one."""


def frame(message: Any) -> bytes:
    """A message as it goes over the wire. Raises whatever pickle does."""
    data = pickle.dumps(message, protocol=5)
    return _LENGTH.pack(len(data)) + data


def frames(buffer: bytearray) -> list[Any]:
    """The messages that are whole by now; they are taken out of the buffer."""
    start, messages = 0, []
    while len(buffer) - start >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(buffer, start)
        end = start + _LENGTH.size + length
        if len(buffer) < end:
            break
        messages.append(pickle.loads(bytes(buffer[start + _LENGTH.size : end])))
        start = end
    del buffer[:start]
    return messages


class Place:
    """Which item of its chunk a process is at, and since when on the monotonic clock."""

    def __init__(self, fileno: int) -> None:
        self._page = mmap.mmap(fileno, PAGE)

    def at(self, index: int, since: float) -> None:
        """The process begins an item, now. The time first: read in between, the last item is only
        too young."""
        _FIELD.pack_into(self._page, 8, since)
        _FIELD.pack_into(self._page, 0, index)

    def read(self) -> tuple[int, float]:
        """The item, or NOTHING, and since when."""
        (index,), (since,) = _FIELD.unpack_from(self._page, 0), _FIELD.unpack_from(self._page, 8)
        return int(index), float(since)

    def close(self) -> None:
        """Let go of the page."""
        self._page.close()


class Line:
    """The process's end of the wire. Results are gathered for a moment: waking the worker for each
    of thousands a second would cost more than they do."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._held = bytearray()
        self._lock = threading.Lock()
        self._waiting = threading.Event()
        self._received = bytearray()
        self._messages: deque[Any] = deque()
        threading.Thread(target=self._flush_forever, daemon=True).start()

    def receive(self) -> Any:
        """The next message; raises EOFError when the worker is gone."""
        while not self._messages:
            data = self._link.recv(1 << 18)
            if not data:
                raise EOFError
            self._received += data
            self._messages.extend(frames(self._received))
        return self._messages.popleft()

    def send(self, message: Any, *, at_once: bool = False) -> None:
        """Send a message, or lay it by for a moment."""
        data = frame(message)
        with self._lock:
            self._held += data
            if at_once:
                self._flush()
        if not at_once:
            self._waiting.set()

    def _flush(self) -> None:
        data, self._held = self._held, bytearray()
        self._link.sendall(data)

    def _flush_forever(self) -> None:
        while True:
            self._waiting.wait()
            self._waiting.clear()
            threading.Event().wait(GATHER)
            with self._lock:
                if self._held:
                    self._flush()
