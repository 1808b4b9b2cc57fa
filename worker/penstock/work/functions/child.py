"""One process of a worker: `python -m penstock.work.functions.child SOCKET PAGE PARENT`.

Calls the user's function, an item after the other, and says what became of each. Whatever it does
to this process, it is the only one that feels it; the worker sees it end and starts another.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import faulthandler
import inspect
import logging
import os
import pickle
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.errors import InputError
from penstock.secrets import MaskingFormatter, masker
from penstock.work.functions import outcome
from penstock.work.functions.frames import told
from penstock.work.functions.load import home, initializer, load, open_path, roots
from penstock.work.functions.wire import NOTHING, Line, Place
from penstock.work.types import Output

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_LOOK = 1.0
LINE = "%(asctime)s %(levelname)-7s %(name)s [%(process)d] %(message)s"


def main(argv: Sequence[str]) -> None:
    """Serve the worker until it closes the wire."""
    link, page, parent = (int(one) for one in argv)
    for fileno in (link, page):
        os.set_inheritable(fileno, False)  # what functions start must not keep them open
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker decides
    _end_with(parent)
    _be_the_one_to_go()
    faulthandler.enable()
    handler = logging.StreamHandler()
    handler.setFormatter(MaskingFormatter(LINE, masker(os.environ)))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    line, place = Line(socket.socket(fileno=link)), Place(page)
    open_path()
    with contextlib.suppress(EOFError, ConnectionError):
        _Served(line, place, line.receive()).serve()


class _Served:
    """What this process was told to do, and does."""

    def __init__(self, line: Line, place: Place, told_to: Mapping[str, Any]) -> None:
        self._line, self._place = line, place
        self._kwargs: Mapping[str, Any] = told_to["kwargs"]
        self._call: Callable[..., Any] | None = None
        self._roots, self._mask = roots(), masker(os.environ)
        self._folder = Path.cwd()
        self._runner = asyncio.Runner()
        try:
            if told_to["entrypoint"] is not None:
                self._call = load(told_to["entrypoint"], self._kwargs).call
                self._roots.append(home(told_to["entrypoint"]))
            if told_to["initializer"] is not None:
                self._initialize(initializer(told_to["initializer"]))
        except InputError as error:
            mistakes = [(one.where, one.message) for one in error.mistakes]
            line.send(("refused", mistakes), at_once=True)
            raise EOFError from error
        line.send(("ready",), at_once=True)

    def serve(self) -> None:
        while True:
            kind, payload = self._line.receive()
            if kind == "items":
                self._items(payload)
            else:
                self._one(payload)
            self._place.at(NOTHING, time.monotonic())

    def _initialize(self, begin: Callable[[], Any]) -> None:
        try:
            self._run(begin)
        except (Exception, SystemExit) as error:
            text = f"{type(error).__name__}: {error}\n{told(error, self._roots)}"
            raise InputError.at("spec.processor.python.initializer", self._mask(text)) from error

    def _items(self, items: Sequence[Any]) -> None:
        assert self._call is not None
        for index, item in enumerate(items):
            began = time.monotonic()
            self._place.at(index, began)
            try:
                result = outcome.output(self._run(self._call, item, **self._kwargs))
            except BaseException as error:
                result = outcome.failure(error, self._roots, self._mask)
            told_back = result.text if isinstance(result, Output) else result
            last = index + 1 == len(items)
            self._line.send((index, told_back), at_once=last)

    def _one(self, payload: bytes) -> None:
        """A function that a coroutine of the worker waits for."""
        self._place.at(0, time.monotonic())
        try:
            function, args, kwargs = pickle.loads(payload)
            answer: tuple[Any, ...] = (0, pickle.dumps(self._run(function, *args, **kwargs)))
        except BaseException as error:
            frames = told(error, self._roots)
            answer = ("raised", _pickled(error), type(error).__qualname__, str(error), frames)
        self._line.send(answer, at_once=True)

    def _run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        os.chdir(self._folder)  # the item before may have gone elsewhere
        value = function(*args, **kwargs)
        return self._runner.run(_awaited(value)) if inspect.isawaitable(value) else value


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


def _pickled(error: BaseException) -> bytes | None:
    """Some exceptions cannot be; some only seem so until they are read."""
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except Exception:
        return None
    return data


def _end_with(parent: int) -> None:
    """Do not outlive the worker, not even in an endless loop."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it died before that
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)


def _be_the_one_to_go() -> None:
    """Where memory runs out the system takes this process, not the worker; it leaves no core."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    main(sys.argv[1:])
