"""A hundred movies into a table with a vector each, and again when all have one: an asyncio script
that selects, embeds and saves, and `penstock run` with `output.postgres` and `skipWhere`.

    python -m bench.function_table [--rounds 2] [--latency 2.2]

Ten calls in flight; with 2.2 s an answer nothing can be quicker than 22 s. The table has a
column of pgvector's where that is installed, else one of text. The whole command counts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from bench import report
from bench.movies import COUNT, IN_FLIGHT, MOVIES
from bench.report import Row
from bench.rig import Bench, Provider, bench, provider
from bench.scripts.calls import MODEL
from penstock.store import embedded

DIMENSIONS = 768
ADDRESS = "PENSTOCK_OUTPUT_DATABASE_URL"
TOLERANCE = 1.1
"""What counts as no slower: Penstock starts a database of its own, the script has none."""


class Table:
    """A user's table. kind: the type of its vectors."""

    def __init__(self, runner: asyncio.Runner, dsn: str) -> None:
        self.dsn, self._runner = dsn, runner
        self._connection: asyncpg.Connection = runner.run(asyncpg.connect(dsn))
        self.kind = "text"
        if self._one("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'"):
            self._do("CREATE EXTENSION IF NOT EXISTS vector")
            self.kind = f"vector({DIMENSIONS})"
        self._do(f"CREATE TABLE movie (id text PRIMARY KEY, title text, embedding {self.kind})")

    def empty(self) -> None:
        """As it was at first."""
        self._do("TRUNCATE movie")

    @property
    def filled(self) -> int:
        """Rows that have a vector."""
        return self._one("SELECT count(*) FROM movie WHERE embedding IS NOT NULL")

    def close(self) -> None:
        """Hang up."""
        self._runner.run(self._connection.close())

    def _do(self, sql: str) -> None:
        self._runner.run(self._connection.execute(sql))

    def _one(self, sql: str) -> int:
        value: int = self._runner.run(self._connection.fetchval(sql))
        return value


@contextmanager
def table() -> Iterator[Table]:
    """One in a database of its own, for as long as the block runs."""
    with TemporaryDirectory(prefix="penstock-bench-") as folder, asyncio.Runner() as runner:
        server = runner.run(embedded.start(Path(folder), cwd=Path(folder)))
        made = Table(runner, server.dsn)
        try:
            yield made
        finally:
            made.close()
            server.close()


def run_penstock(place: Bench, server: Provider) -> float:
    """One run; its seconds."""
    text = "{{ item.title }} ({{ item.year }})\n{{ item.overview }}"
    spec = {
        "source": {"file": {"path": str(MOVIES)}, "idField": "id"},
        "processor": {"ollama": {"baseURL": server.url, "model": MODEL, "input": text}},
        "output": {"postgres": {"table": "movie", "skipWhere": "embedding IS NOT NULL"}},
    }
    return place.run(spec, "--concurrency", f"{IN_FLIGHT}").ended.seconds


def run_script(place: Bench, server: Provider, made: Table) -> float:
    """The same with the script."""
    arguments = (server.url, str(MOVIES), f"{IN_FLIGHT}", made.dsn)
    return place.script("with_table", *arguments).seconds


def measure(rounds: int = 2, latency: float = 2.2) -> list[Row]:
    """Two rows."""
    options = ("--latency", f"{latency}", "--dimensions", f"{DIMENSIONS}")
    with table() as made, provider(*options) as server, bench(server) as place:
        os.environ[ADDRESS] = made.dsn
        runs = {
            "script": partial(run_script, place, server, made),
            "penstock": partial(run_penstock, place, server),
        }

        def twice(name: str) -> tuple[float, float]:
            made.empty()
            server.reset()
            first = runs[name]()
            again = runs[name]()
            if made.filled != COUNT or server.stats()["accepted"] != COUNT:
                raise SystemExit(f"{name}: not a vector and a call for every movie")
            return first, again

        found = report.take_turns(rounds, {name: partial(twice, name) for name in runs})
    filled, skipped = report.medians(found["penstock"])
    their_filled, their_skipped = report.medians(found["script"])
    return [
        Row(
            f"**Table**: {COUNT} vectors into PostgreSQL ({made.kind}), {IN_FLIGHT} in flight, "
            f"{latency:g} s each (ideal {COUNT / IN_FLIGHT * latency:g} s); again, all skipped",
            f"**{filled:.1f} s**; {skipped:.1f} s",
            f"≤ {TOLERANCE} × the script",
            filled <= TOLERANCE * their_filled,
        ),
        Row(
            "script with httpx, asyncio and asyncpg, which saves at the end",
            f"{their_filled:.1f} s; {their_skipped:.1f} s",
            beside=f"{filled / their_filled:.2f} × its time",
        ),
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--latency", type=float, default=2.2)
    given = parser.parse_args()
    print(report.table(measure(given.rounds, given.latency)))


if __name__ == "__main__":
    main()
