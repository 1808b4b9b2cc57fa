"""Real parts for tests that break them: a provider, commands and the embedded server's processes.

Nothing here is simulated but the provider, and that is `penstock simulate`. Also used by
bench/soak.py, so it needs no pytest.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import psutil
import yaml

from penstock.store import embedded
from penstock.store.account import account
from penstock.store.server import READY, Postmaster, read_postmaster
from tests.processes import lives

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
PENSTOCK = [sys.executable, "-m", "penstock"]
PATIENCE = 60.0
"""Seconds until something that should happen soon counts as never: the machine may be busy."""


def eventually(what: str, look: Callable[[], T], within: float = PATIENCE) -> T:
    """The first true answer of `look`. AssertionError when there is none `within` seconds."""
    deadline = time.monotonic() + within
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(0.01)
    return found


class Provider:
    """`penstock simulate` as a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    def stats(self) -> dict[str, Any]:
        """What it has counted so far."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=PATIENCE) as answer:
            counted: dict[str, Any] = json.load(answer)
        return counted

    def has(self, counter: str, number: int) -> None:
        """Wait until a counter has come to a number."""
        eventually(f"{counter} >= {number}", lambda: self.stats()[counter] >= number)


@contextlib.contextmanager
def provider(*options: str) -> Iterator[Provider]:
    """A provider on a free port for as long as the block runs."""
    process = subprocess.Popen(
        [*PENSTOCK, "simulate", "--port", "0", *options],
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        words = process.stdout.readline().split()
        yield Provider(process, next(word for word in words if word.startswith("http://")))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Command:
    """`penstock …` in a process group of its own, as a shell starts it; its output in a file."""

    def __init__(self, cwd: Path, arguments: Sequence[str]) -> None:
        number = len(list(cwd.glob("command-*.txt")))
        self._output = cwd / f"command-{number}.txt"
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [*PENSTOCK, *arguments],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                process_group=0,
            )
        self.pid = self.process.pid

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self._output.read_text()

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def ends(self, within: float = 300.0) -> int:
        """Its exit code, once it has ended. AssertionError when it does not."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end within {within:g} s:\n{self.output}") from None

    def lives_for(self, seconds: float) -> bool:
        """Whether it has not ended after so many seconds."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def says(self, text: str, within: float = PATIENCE) -> None:
        """Wait until it has said this."""
        eventually(
            f"{text!r} said", lambda: text in self.output or self._gone_without(text), within
        )

    def signal_group(self, number: signal.Signals) -> None:
        """A signal to the command and its workers, as from the terminal; none once it has ended
        (its number may belong to others by then)."""
        if self.running:
            os.killpg(self.pid, number)

    def kill_group(self) -> None:
        """kill -9 of the command and its workers; returns when it is dead."""
        self.signal_group(signal.SIGKILL)
        self.process.wait()

    def workers(self) -> list[psutil.Process]:
        """Its worker processes that are alive."""
        try:
            children = psutil.Process(self.pid).children()
        except psutil.NoSuchProcess:
            return []
        return [child for child in children if _is_worker(child)]

    def has_database(self) -> bool:
        """Whether it has come so far that it uses the embedded database, or has ended."""
        try:
            files = psutil.Process(self.pid).open_files()
        except psutil.NoSuchProcess:
            return True
        return not self.running or any(file.path.endswith("users.lock") for file in files)

    def _gone_without(self, text: str) -> bool:
        if self.running or text in self.output:
            return False
        raise AssertionError(f"ended without {text!r}:\n{self.output}")


class Place:
    """A directory with a job, its items, and commands that run it.

    `with Place(...)` kills what is left of its commands at the end; the server ends by itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commands: list[Command] = []

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        for command in self.commands:
            if command.running:
                command.kill_group()

    def items(self, count: int, poisoned: Callable[[int], bool] = lambda _: False) -> None:
        """items.jsonl with the IDs i0, i1, …"""
        with (self.path / "items.jsonl").open("w") as file:
            for number in range(count):
                text = f"POISON {number}" if poisoned(number) else f"text {number}"
                file.write(json.dumps({"id": f"i{number}", "text": text}) + "\n")

    def job(self, url: str, name: str = "chaos", **spec: Any) -> str:
        """A manifest over items.jsonl that writes NAME.jsonl; `spec` adds to it. Its file name."""
        whole = {
            "source": {"file": {"path": "items.jsonl"}, "idField": "id"},
            "processor": {"http": {"url": f"{url}/{name}"}},
            "output": {"file": {"path": f"{name}.jsonl"}},
            **spec,
        }
        manifest = {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": name},
            "spec": whole,
        }
        (self.path / f"{name}.yaml").write_text(yaml.safe_dump(manifest))
        return f"{name}.yaml"

    def run(self, manifest: str, *options: str) -> Command:
        """`penstock run`, started."""
        return self.start("run", manifest, *options)

    def start(self, *arguments: str) -> Command:
        """Any command, started."""
        command = Command(self.path, arguments)
        self.commands.append(command)
        return command

    def remove(self) -> None:
        """Delete the directory."""
        shutil.rmtree(self.path)

    def rows(self, name: str = "chaos") -> list[dict[str, Any]]:
        """What was exported."""
        lines = (self.path / f"{name}.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def postmaster(self) -> Postmaster:
        """The embedded server as it runs. AssertionError when there is none."""
        server = self._server()
        assert server is not None
        return server

    def server_down(self) -> bool:
        """Whether the embedded server is gone."""
        server = self._server()
        return server is None or not lives(server.pid)

    def server_ready(self) -> bool:
        """Whether the embedded server takes connections, as far as it says itself."""
        server = self._server()
        return server is not None and server.status == READY and lives(server.pid)

    def server_processes(self) -> list[psutil.Process]:
        """The embedded server with all its backends."""
        server = psutil.Process(self.postmaster().pid)
        return [server, *server.children()]

    def pg_ctl(self, *arguments: str) -> None:
        """PostgreSQL's own pg_ctl on the embedded server, as whoever that server belongs to."""
        subprocess.run(
            [
                *account().prefix,
                str(embedded.find_binaries(None) / "pg_ctl"),
                *("-D", str(self._data), "-l", "/dev/null", *arguments),
            ],
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def query(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Rows from the embedded database; none while it cannot be asked."""
        server = self._server()
        if server is None or server.status != READY:
            return []
        return asyncio.run(_query(embedded.address(server), sql, values))

    @property
    def _data(self) -> Path:
        return self.path / ".penstock" / "data"

    def _server(self) -> Postmaster | None:
        return read_postmaster(self._data)


def assert_every_item_once(
    rows: Sequence[dict[str, Any]], count: int, statuses: Collection[str] = ("succeeded",)
) -> None:
    """Each of `count` items stands there once, with its own answer, in input order."""
    assert [row["_position"] for row in rows] == list(range(count))
    assert [row["_id"] for row in rows] == [f"i{number}" for number in range(count)]
    assert {row["_status"] for row in rows} <= set(statuses)
    assert all(row["echo"]["id"] == row["_id"] for row in rows)


async def _query(dsn: str, sql: str, values: Sequence[Any]) -> list[asyncpg.Record]:
    try:
        connection = await asyncpg.connect(dsn)
    except (OSError, asyncpg.PostgresError):
        return []
    try:
        return list(await connection.fetch(sql, *values))
    except asyncpg.UndefinedTableError:  # so early that there is no schema yet
        return []
    finally:
        await connection.close()


def _is_worker(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[1:5] == ["-P", "-m", "penstock", "work"]
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def _environment() -> dict[str, str]:
    # Who is killed cannot say what it covered, and would leave half a file of it behind.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT / "worker"),
        "PYTHONUNBUFFERED": "1",
        "PENSTOCK_SERVER_GRACE": "3",
    }
