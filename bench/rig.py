"""What every measurement needs: a provider, a folder to work in, `penstock run` and plain scripts.

All of them are processes of their own, started as a user would.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.watch import Ended, adopt_orphans, watched

ROOT = Path(__file__).resolve().parent.parent
PENSTOCK = [sys.executable, "-m", "penstock"]
PAUSED = 4
"""Exit code of a run that stopped to wait for a person."""


def environment() -> dict[str, str]:
    """Of everything that is measured. Imports are compiled once, as they are for users."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE" and not name.lower().endswith("_proxy")
    }
    environ["PYTHONPATH"] = os.pathsep.join((str(ROOT / "worker"), str(ROOT)))
    return environ | {"OPENAI_API_KEY": "sk-bench"}


class Provider:
    """`penstock simulate` as a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    def stats(self) -> dict[str, Any]:
        """What it has counted since the last reset."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=30) as answer:
            counted: dict[str, Any] = json.load(answer)
        return counted

    def reset(self) -> None:
        """Forget what was counted."""
        request = urllib.request.Request(f"{self.url}/reset", method="POST", data=b"")
        urllib.request.urlopen(request, timeout=30).close()


@contextmanager
def provider(*options: str) -> Iterator[Provider]:
    """A simulated provider on a free port for as long as the block runs."""
    process = subprocess.Popen(
        [*PENSTOCK, "simulate", "--port", "0", *options],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise SystemExit("the simulated provider did not start")
        yield Provider(process, found[0])
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@dataclass(frozen=True, slots=True)
class Finished:
    """A run. answer: what `--json` printed; the rest as in `Ended`."""

    answer: dict[str, Any]
    ended: Ended


class Bench:
    """A folder with a database of its own that `penstock run` works in."""

    def __init__(self, folder: Path, ignored: frozenset[int] = frozenset()) -> None:
        self.folder = folder
        self.database = folder / "db"
        self._ignored = ignored
        self._runs = 0

    def warm_up(self) -> None:
        """Make the database, so that this is not measured; users do it once."""
        command = [*PENSTOCK, "status", "nothing", "--data-dir", str(self.database)]
        subprocess.run(command, env=environment(), capture_output=True, check=False)

    def leave(self) -> None:
        """Wait until the database has stopped by itself, so that its folder can go."""
        deadline = time.monotonic() + 30
        while (self.database / "data" / "postmaster.pid").exists():
            if time.monotonic() > deadline:
                raise SystemExit("the embedded database did not stop")
            time.sleep(0.1)

    def run(self, spec: dict[str, Any], *options: str, codes: Sequence[int] = (0,)) -> Finished:
        """`penstock run` of a job that the database has never seen. codes: exit codes expected."""
        self._runs += 1
        job = {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": f"bench-{self._runs}"},
            "spec": spec,
        }
        manifest = self.folder / "job.yaml"
        manifest.write_text(yaml.safe_dump(job, sort_keys=False))
        command = [*PENSTOCK, "run", str(manifest), "--json", "--quiet", *options]
        command += ["--data-dir", str(self.database)]
        ended = watched(command, cwd=self.folder, environ=environment(), ignored=self._ignored)
        if ended.code not in codes:
            print(ended.errors, file=sys.stderr)
            raise SystemExit(f"penstock run ended with code {ended.code}")
        return Finished(json.loads(ended.output), ended)

    def script(self, name: str, *arguments: str) -> Ended:
        """One of bench/scripts, with the arguments it takes."""
        command = [sys.executable, "-m", f"bench.scripts.{name}", *arguments]
        ended = watched(command, cwd=self.folder, environ=environment(), ignored=self._ignored)
        if ended.code:
            print(ended.errors, file=sys.stderr)
            raise SystemExit(f"{name}.py ended with code {ended.code}")
        return ended


@contextmanager
def bench(*servers: Provider) -> Iterator[Bench]:
    """A bench in a temporary folder. servers: not counted among the processes of a command."""
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        one = Bench(Path(name), frozenset(server.process.pid for server in servers))
        one.warm_up()
        yield one
        one.leave()


def write_items(path: Path, count: int) -> Path:
    """A JSONL file of small items, about 150 bytes each."""
    with path.open("w") as file:
        for n in range(count):
            file.write(
                f'{{"sku":"p-{n:08d}","title":"Television {n % 97} inches","price":{n % 1000},'
                f'"description":"QLED, 4K, HDR10+, 120 Hz, four HDMI inputs, wall mount {n}"}}\n'
            )
    return path
