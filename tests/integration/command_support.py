"""What the tests of the commands share: a provider that can hold calls back, a database, commands.

Commands run in this process, which costs next to nothing; one that has to be looked at while it
runs is a process of its own (`started`). Their workers are processes either way.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from aiohttp import web
from typer.testing import CliRunner, Result

import penstock as package
from penstock import jsons
from penstock.cli.app import app
from penstock.simulate.options import SimulatorConfig
from penstock.simulate.server import Simulator, listening
from penstock.store import embedded
from penstock.store.migrate import migrate

PATIENCE = 60.0
"""Seconds until something that should happen soon counts as never: the machine may be busy."""

TABLES = ("run", "item", "shard", "worker", "result")


def penstock(*arguments: str | Path, **more: Any) -> Result:
    """A command, run to its end."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], **more)


class Provider(Simulator):
    """The simulated provider, in a thread, with a gate: it can let so many calls in and no more."""

    url = ""

    def __init__(self, config: SimulatorConfig) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._allowed = math.inf
        self._more = asyncio.Event()
        self._held = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, once it is allowed."""
        self._held += 1
        while self._allowed < 1:
            await self._more.wait()
        self._held -= 1
        self._allowed -= 1
        return await super().handle(request)

    @property
    def served(self) -> int:
        """Calls that got an answer."""
        return int(self.report()["accepted"])

    @property
    def requests(self) -> int:
        """Calls that came in, whatever became of them."""
        return int(self.report()["requests"])

    def allow(self, calls: float = math.inf) -> None:
        """Let so many calls in from now on; the others wait."""
        self._tell(lambda: self._allow(calls))

    def holds(self, calls: int) -> None:
        """Wait until so many calls wait."""
        eventually(f"{calls} calls held", lambda: self._held >= calls)

    def forgive(self) -> None:
        """Take poison, too, from now on."""
        self._poison = b""

    def serve(self, ready: Callable[[], None]) -> None:
        """Serve until `end`. The thread's function."""
        asyncio.run(self._serve(ready))

    def end(self) -> None:
        """Stop serving."""
        self.allow()
        self._tell(self._stop.set)

    async def _serve(self, ready: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        async with listening(self) as self.url:
            ready()
            await self._stop.wait()

    def _allow(self, calls: float) -> None:
        self._allowed = calls
        self._more.set()
        self._more = asyncio.Event()

    def _tell(self, what: Callable[[], None]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(what)


@contextmanager
def provider(**config: Any) -> Iterator[Provider]:
    """A provider on a free port for as long as the block runs."""
    one, up = Provider(SimulatorConfig(**config)), threading.Event()
    thread = threading.Thread(target=one.serve, args=(up.set,), daemon=True)
    thread.start()
    assert up.wait(PATIENCE)
    try:
        yield one
    finally:
        one.end()
        thread.join(PATIENCE)


@dataclass(frozen=True)
class Home:
    """A folder with an embedded database in it that runs for as long as the tests need it."""

    path: Path
    dsn: str
    _runner: asyncio.Runner
    _connection: asyncpg.Connection

    def rows(self) -> dict[str, int]:
        """How many rows each table has."""
        counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in TABLES)
        return dict(self._runner.run(self._connection.fetchrow(f"SELECT {counts}")))

    def execute(self, sql: str) -> None:
        """Run a statement."""
        self._runner.run(self._connection.execute(sql))


@contextmanager
def home(path: Path) -> Iterator[Home]:
    """An embedded database in this folder; commands reach it by `--data-dir`."""
    with asyncio.Runner() as runner:
        server = runner.run(embedded.start(path, cwd=path))
        connection = runner.run(asyncpg.connect(server.dsn))
        try:
            runner.run(migrate(connection))
            yield Home(path, server.dsn, runner, connection)
        finally:
            runner.run(connection.close())
            server.close()


class Started:
    """A command that runs, in a process of its own."""

    def __init__(self, arguments: tuple[str | Path, ...], cwd: Path) -> None:
        self._out = cwd / f"out-{len(list(cwd.glob('out-*')))}.txt"
        with self._out.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "penstock", *map(str, arguments)],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "PYTHONPATH": str(Path(package.__file__).parents[1]),
                    "PYTHONUNBUFFERED": "1",
                },
            )

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self._out.read_text()

    def says(self, text: str) -> None:
        """Wait until it has said this."""
        eventually(f"{text!r} said", lambda: text in self.output)

    def ends(self) -> int:
        """Its exit code."""
        return self.process.wait(PATIENCE)


@contextmanager
def started(*arguments: str | Path, cwd: Path) -> Iterator[Started]:
    """A command in the background, for as long as the block runs at most."""
    command = Started(arguments, cwd)
    try:
        yield command
    except BaseException as error:
        error.add_note(f"{' '.join(map(str, arguments))} had said:\n{command.output}")
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            command.process.kill()
        command.process.wait()


def eventually(what: str, look: Callable[[], object]) -> None:
    """Wait until `look` answers with something true. AssertionError when it never does."""
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.01)


def only_object(text: str) -> dict[str, Any]:
    """The one JSON object, on the one line, that this text is."""
    assert text.endswith("\n")
    assert text.count("\n") == 1
    value = jsons.loads(text)
    assert isinstance(value, dict)
    return value
