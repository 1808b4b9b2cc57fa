"""What the tests of the embedded server share: other commands, the server's processes, waiting."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import asyncpg
import psutil

import penstock
from penstock.store.server import Postmaster, read_postmaster, runtime_dir

_USES_IT = """\
import asyncio, pathlib, sys
from penstock.store import embedded
server = asyncio.run(embedded.start(pathlib.Path(sys.argv[1]), cwd=pathlib.Path.cwd()))
print(server.dsn, flush=True)
sys.stdin.read()
server.close()
"""


class Command:
    """Another process that uses the embedded server in `home` until it is left or killed.

    It leads a process group of its own, as a command in a terminal does. prefix: what to run it
    with (an account, say).
    """

    def __init__(self, home: Path, prefix: list[str] | None = None) -> None:
        worker = str(Path(penstock.__file__).parents[1])
        self.process = subprocess.Popen(
            [*(prefix or []), sys.executable, "-c", _USES_IT, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": worker},
            start_new_session=True,
        )

    def dsn(self) -> str:
        """The address it got; waits until it has one, "" when it failed."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill_group(self) -> None:
        """kill -9 of its process group."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def __enter__(self) -> Command:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.communicate()


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until the condition holds; fails the test when it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        await asyncio.sleep(0.02)


def postmaster(home: Path) -> Postmaster:
    """The server that runs in `home`."""
    found = read_postmaster(home / "data")
    assert found is not None
    return found


def keepers(home: Path) -> list[psutil.Process]:
    """The keepers of `home`."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(home) in (command := process.info["cmdline"] or [])
        and any("penstock.store.keeper" in part for part in command)
    ]


def over(home: Path) -> bool:
    """Whether nothing is left of keeper and server of `home`, nor of their socket."""
    return (
        not keepers(home)
        and read_postmaster(home / "data") is None
        and not runtime_dir(home).exists()
    )


def starts(home: Path) -> int:
    """How often a server was started in `home`, by its log."""
    return (home / "server.log").read_text().count("LOG:  starting PostgreSQL")


async def value(dsn: str, sql: str) -> object:
    """What a query gives, over a connection of its own."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def pid_of(dsn: str) -> int:
    """The postmaster's pid as the server itself tells it."""
    found = await value(dsn, "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int")
    assert isinstance(found, int)
    return found
