"""From a table and back: items by a query, results by key, on the real engine and server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import Result

from tests.integration.command_support import (
    Home,
    Provider,
    home,
    only_object,
    penstock,
    provider,
    started,
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The database of these tests, Penstock's own and the users' alike."""
    with home(tmp_path_factory.mktemp("tables") / "data") as database:
        database.execute("CREATE EXTENSION vector")
        yield database


@pytest.fixture
def server() -> Iterator[Provider]:
    """A provider that takes everything but poison."""
    with provider() as server:
        yield server


@dataclass
class Shop:
    """A schema with a user's tables, and jobs on them."""

    dsn: str
    schema: str
    folder: Path
    server: Provider

    def sql(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        """Run a statement; its rows."""

        async def run() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(
                self.dsn, server_settings={"search_path": f"{self.schema},public"}
            )
            try:
                return [dict(row) for row in await connection.fetch(statement, *arguments)]
            finally:
                await connection.close()

        return asyncio.run(run())

    def write(self, source: str, processor: str, output: str, more: str = "") -> None:
        """The job's manifest."""
        (self.folder / "job.yaml").write_text(
            "apiVersion: penstock.dev/v1alpha1\n"
            "kind: BatchJob\n"
            f"metadata: {{name: job-{self.schema}}}\n"
            "spec:\n"
            f"  source: {source}\n"
            f"  processor: {processor}\n"
            f"  output: {{postgres: {output}}}\n{more}"
        )

    def embed(self, skip_where: str = "", query: str = "SELECT id, title FROM movies") -> None:
        """The job that embeds movies."""
        skip = f', skipWhere: "{skip_where}"' if skip_where else ""
        secret, url = "secretRef: {name: shop}", self.server.url
        self.write(
            f'{{postgres: {{query: "{query} ORDER BY id", {secret}}}, idField: id}}',
            f'{{ollama: {{baseURL: "{url}", model: m, input: "{{{{ item.title }}}}"}}}}',
            f"{{table: movies, key: id, {secret}{skip}}}",
        )

    def answer(self, query: str, table: str) -> None:
        """A job whose server answers every row's `text` with an object."""
        secret, url = "secretRef: {name: shop}", self.server.url
        self.write(
            f'{{postgres: {{query: "{query}", {secret}}}, idField: id}}',
            f'{{http: {{url: "{url}/items", body: {{text: "{{{{ item.text }}}}"}}}}}}',
            f"{{table: {table}, {secret}}}",
        )

    def run(self, *options: str, code: int = 0) -> Result:
        """Run the job; it has to end with this code."""
        answer = penstock(
            "run", self.folder / "job.yaml", "--database", self.dsn, "--json", *options
        )
        assert answer.exit_code == code, answer.output
        return answer

    def fails(self) -> str:
        """What the job says that fails, in a process of its own: as long as that lives, it drives
        the run."""
        job = self.folder / "job.yaml"
        with started("run", job, "--database", self.dsn, cwd=self.folder) as command:
            assert command.ends() == 1
            return " ".join(command.output.split())

    def counts(self, *options: str, code: int = 0) -> tuple[int, int, int]:
        """How many a run left succeeded, skipped and failed."""
        told = only_object(self.run(*options, code=code).stdout)
        return told["succeeded"], told["skipped"], told["failed"]


@pytest.fixture
def shop(
    database: Home, server: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    """A schema of this test's own."""
    schema = f"s{uuid.uuid4().hex[:12]}"
    database.execute(f"CREATE SCHEMA {schema}")
    address = f"{database.dsn}{'&' if '?' in database.dsn else '?'}options=-csearch_path%3D{schema}"
    monkeypatch.setenv("PENSTOCK_SECRET_SHOP_URL", f"{address},public")
    yield Shop(database.dsn, schema, tmp_path, server)
    database.execute(f"DROP SCHEMA {schema} CASCADE")


def movies(shop: Shop, count: int, embedded: int) -> None:
    """The table of the movies, the first few with a vector already."""
    shop.sql(
        "CREATE TABLE movies (id int PRIMARY KEY, title text NOT NULL, year int NOT NULL,"
        " embedding vector, seen timestamptz)"
    )
    shop.sql(
        "INSERT INTO movies SELECT n, 'Movie ' || n, 1900 + n,"
        " CASE WHEN n <= $2 THEN '[9,9]'::vector END, '2024-01-01' FROM generate_series(1, $1) n",
        *(count, embedded),
    )


def test_movies_without_a_vector_get_one(shop: Shop) -> None:
    movies(shop, 100, 45)
    shop.embed(skip_where="embedding IS NOT NULL")
    assert shop.counts() == (55, 45, 0)
    assert shop.server.served == 55
    dimensions = "SELECT vector_dims(embedding) AS n, count(*) FROM movies GROUP BY 1 ORDER BY 1"
    (old, new) = shop.sql(dimensions)
    assert old == {"n": 2, "count": 45}
    assert new["count"] == 55
    others = shop.sql(
        "SELECT count(*) AS n FROM movies WHERE title = 'Movie ' || id AND year = 1900 + id"
    )
    assert others[0]["n"] == 100

    assert shop.counts() == (0, 100, 0)
    assert shop.server.served == 55

    shop.sql("UPDATE movies SET embedding = NULL WHERE id = 100")  # its result is still known
    assert shop.counts() == (0, 100, 0)
    assert not shop.sql("SELECT id FROM movies WHERE embedding IS NULL")
    assert shop.sql(dimensions)[0] == {"n": 2, "count": 45}

    assert shop.counts("--limit", "7", "--force") == (7, 0, 0)
    assert shop.sql(dimensions)[0] == {"n": 2, "count": 38}


def test_a_failed_item_leaves_its_row_as_it_is(shop: Shop) -> None:
    shop.sql("CREATE TABLE t (id int PRIMARY KEY, text text, ok text, echo jsonb, _status text)")
    shop.sql("INSERT INTO t VALUES (1, 'one', 'old'), (2, 'POISON', 'old'), (3, 'three', 'old')")
    shop.answer("SELECT id, text FROM t ORDER BY id", "t")
    assert shop.counts(code=3) == (2, 0, 1)
    found = {row["id"]: row for row in shop.sql("SELECT * FROM t")}
    assert found[2] == {"id": 2, "text": "POISON", "ok": "old", "echo": None, "_status": None}
    assert [(found[n]["ok"], found[n]["_status"]) for n in (1, 3)] == [("true", "succeeded")] * 2

    shop.server.forgive()
    shop.run("--redrive")
    assert shop.sql("SELECT count(*) AS n FROM t WHERE ok = 'true'") == [{"n": 3}]


def test_a_table_that_takes_no_results_is_told_before_anything_starts(shop: Shop) -> None:
    movies(shop, 3, 0)
    shop.sql("ALTER TABLE movies DROP embedding")
    shop.embed()
    told = shop.run(code=2).stderr
    assert "spec.output.postgres.table" in told
    assert "ADD COLUMN embedding real[]" in told
    assert shop.server.served == 0


def test_validate_says_what_no_row_can_have(shop: Shop) -> None:
    movies(shop, 3, 0)
    shop.embed(query="SELECT 'tt' || id AS id, title FROM movies")
    told = penstock("validate", shop.folder / "job.yaml")
    assert told.exit_code == 2, told.output
    assert "spec.output.postgres.key: the column id of " in told.stderr
    assert shop.run(code=2).stderr.count("spec.output.postgres.key: ") == 1
    shop.sql("DROP TABLE movies")
    shop.sql("CREATE TABLE movies (id text, title text)")
    told = penstock("validate", shop.folder / "job.yaml")
    assert told.stderr.count("spec.output.postgres.key: ") == 1
    shop.sql("ALTER TABLE movies ADD PRIMARY KEY (id), ADD embedding real[]")
    shop.sql("INSERT INTO movies VALUES ('1', 'One')")
    told = penstock("validate", shop.folder / "job.yaml")
    assert told.exit_code == 0, told.output
    assert shop.server.served == 0


def test_results_that_do_not_fit_are_written_once_they_do(shop: Shop) -> None:
    shop.sql("CREATE TABLE t (id int PRIMARY KEY, text text, echo int, n int)")
    shop.sql("INSERT INTO t VALUES (1, 'one'), (2, 'two')")
    shop.answer("SELECT id, text FROM t ORDER BY id", "t")
    told = shop.fails()
    assert f"2 results do not fit {shop.schema}.t" in told
    assert "invalid input syntax for type integer" in told
    shop.sql("ALTER TABLE t DROP echo, ADD echo jsonb")
    assert shop.counts() == (2, 0, 0)
    assert shop.sql("SELECT count(*) AS n FROM t WHERE echo IS NOT NULL") == [{"n": 2}]
    assert shop.server.served == 2


def test_two_rows_with_one_id_are_told_without_asking_again(shop: Shop) -> None:
    shop.sql("CREATE TABLE t (id int PRIMARY KEY, text text, ok text)")
    shop.answer("SELECT 1 AS id, n AS text FROM generate_series(1, 2) n", "t")
    told = shop.run(code=2).stderr
    assert "position 1 (counted from 0): has the ID '1', as has position 0" in told
