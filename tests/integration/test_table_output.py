"""What a table takes, and what is refused before anything starts, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from penstock import jsons
from penstock.errors import ExportError, InputError
from penstock.export import to_table
from penstock.export.destination import destination, kept_there
from penstock.export.table import look
from penstock.export.to_table import ToTable, _Writing
from penstock.spec.job import BatchJob
from penstock.spec.output import PostgresOutput
from penstock.store.results import StoredRow

CHAT = {
    "openai": {
        "baseURL": "http://h/v1",
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
    }
}
EMBED = {"ollama": {"baseURL": "http://h", "model": "m", "input": "x"}}
HTTP = {"http": {"url": "http://h/"}}
FIELD = "spec.output.postgres"


@pytest.fixture
async def user(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database of a user, to which outputs lead."""
    monkeypatch.setenv("PENSTOCK_OUTPUT_DATABASE_URL", empty_dsn)
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute("CREATE EXTENSION vector")
    yield connection
    await connection.close()


def target(
    processor: dict[str, Any] = HTTP, items: list[Any] | None = None, **output: Any
) -> ToTable:
    job = BatchJob.model_validate(
        {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": "job"},
            "spec": {
                "source": {"inline": {"items": items or [{"id": 1}]}},
                "processor": processor,
                "output": {"postgres": output},
            },
        }
    )
    found = destination(job, Path())
    assert isinstance(found, ToTable)
    return found


async def refusal(
    processor: dict[str, Any] = HTTP, items: list[Any] | None = None, **output: Any
) -> str:
    with pytest.raises(InputError) as caught:
        await target(processor, items, **output).check()
    return str(caught.value)


async def unfit(
    processor: dict[str, Any], items: list[tuple[str, str]], *, option: Path | None = None
) -> str:
    """What is said of these items (ID, payload) while they are planned; empty when they fit."""
    job = target(processor, table="t").job
    async with kept_there(job, option) as kept:
        try:
            assert kept is None or await kept(items) == set()
        except InputError as error:
            return str(error)
    return ""


def stored(
    item_id: str, item: Any, output: Any, status: str = "succeeded", **more: Any
) -> StoredRow:
    return StoredRow(0, item_id, jsons.dumps(item), status, 1, None, jsons.dumps(output), **more)


class Writer:
    """Results on their way into a table of the user's."""

    def __init__(self, user: asyncpg.Connection, dsn: str) -> None:
        self._user, self._dsn = user, dsn

    async def write(self, *rows: StoredRow, table: str = "t", key: str | None = None) -> _Writing:
        found = await look(self._user, PostgresOutput(table=table, key=key), self._dsn)
        writing = _Writing(self._user, found, self._dsn)
        await writing.add(rows)
        await writing.flush()
        return writing

    async def all(self, table: str = "t") -> list[dict[str, Any]]:
        found = await self._user.fetch(f"SELECT to_jsonb(t)::text FROM {table} t ORDER BY 1")
        return [jsons.loads(row[0]) for row in found]


@pytest.fixture
def writer(user: asyncpg.Connection, empty_dsn: str) -> Writer:
    return Writer(user, empty_dsn)


class TestBeforeTheStart:
    async def test_a_table_that_fits(self, user: asyncpg.Connection) -> None:
        await user.execute(
            'CREATE SCHEMA "My Shop";'
            ' CREATE TABLE "My Shop"."Movies" (id int PRIMARY KEY, output text)'
        )
        table = target(CHAT, table='"My Shop"."Movies"', skipWhere="output IS NOT NULL OR id < 0")
        await table.check()
        assert table.name.startswith('table "My Shop"."Movies" in ')

    async def test_no_such_table(self, user: asyncpg.Connection) -> None:
        await user.execute('CREATE TABLE "Movies" (id int PRIMARY KEY)')
        message = await refusal(table="movies")
        assert message == f"{FIELD}.table: there is no table 'movies'; did you mean '\"Movies\"'?"
        assert "there is no table 'a.b'" in await refusal(table="a.b")
        assert await refusal(table="movies; DROP TABLE x") != ""

    async def test_no_such_key(self, user: asyncpg.Connection) -> None:
        await user.execute("CREATE TABLE t (sku text, a int, b int, PRIMARY KEY (a, b))")
        assert f"{FIELD}.key: public.t has no column 'skü'; did you mean 'sku'?" == await refusal(
            table="t", key="skü"
        )
        assert 'CREATE UNIQUE INDEX ON public.t ("sku")' in await refusal(table="t", key="sku")
        assert "say which column" in await refusal(table="t")
        await user.execute("CREATE UNIQUE INDEX ON t (sku) WHERE a > 0")
        assert "is not unique" in await refusal(table="t", key="sku")
        await user.execute("CREATE UNIQUE INDEX ON t (sku)")
        await target(table="t", key="sku").check()

    async def test_a_view(self, user: asyncpg.Connection) -> None:
        await user.execute("CREATE VIEW v AS SELECT 1 AS id")
        assert "public.v is no table" in await refusal(table="v", key="id")

    async def test_no_permission(
        self, user: asyncpg.Connection, empty_dsn: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        role = f"reader_{await user.fetchval('SELECT current_database()')}"[:63]
        await user.execute(f"CREATE ROLE {role} LOGIN")
        as_role = empty_dsn.replace("penstock@", f"{role}@", 1)
        try:
            await user.execute(
                "CREATE TABLE t (id int PRIMARY KEY, title text, output text);"
                f" GRANT SELECT ON t TO {role}; INSERT INTO t VALUES (1, 'mine')"
            )
            monkeypatch.setenv("PENSTOCK_OUTPUT_DATABASE_URL", as_role)
            grant = f'GRANT SELECT, INSERT, UPDATE ON public.t TO "{role}"'
            assert grant in await refusal(table="t")
            await user.execute(f"GRANT INSERT (output), UPDATE (output) ON t TO {role}")
            assert grant in await refusal(table="t")  # no row can be added without the key
            await user.execute(f"GRANT INSERT (id) ON t TO {role}")
            await target(table="t").check()
            writer = await asyncpg.connect(as_role)
            try:
                rows = [stored(n, {}, {"output": n, "title": "t"}) for n in ("1", "2")]
                writing = await Writer(writer, as_role).write(*rows)
                writing.refuse()
            finally:
                await writer.close()
            assert [tuple(row) for row in await user.fetch("TABLE t ORDER BY id")] == [
                *((1, "mine", "1"), (2, None, "2")),
            ]
        finally:
            await user.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    async def test_a_condition_that_is_none(self, user: asyncpg.Connection) -> None:
        await user.execute("CREATE TABLE t (id int PRIMARY KEY, output text)")
        message = await refusal(table="t", skipWhere="outptu IS NOT NULL")
        assert message.startswith(f'{FIELD}.skipWhere: column "outptu" does not exist; Perhaps')
        await target(table="t", skipWhere="t.output IS NOT NULL AND public.t.id > 0").check()
        for wrong in ("true) OR (", "true); DROP TABLE t; SELECT (1", "output"):
            assert (await refusal(table="t", skipWhere=wrong)).startswith(f"{FIELD}.skipWhere: ")

    async def test_no_column_for_results(self, user: asyncpg.Connection) -> None:
        await user.execute("CREATE TABLE t (id int PRIMARY KEY, title text)")
        assert "ADD COLUMN output jsonb" in await refusal(CHAT, table="t")
        assert "ADD COLUMN embedding real[]" in await refusal(EMBED, table="t")
        named = {"type": "object", "properties": {"colour": {"type": "string"}}}
        asked = {"openai": {**CHAT["openai"], "responseFormat": named}}
        assert "a key of the answer (colour)" in await refusal(asked, table="t")
        await target(table="t").check()  # what the server answers, only the answers tell
        await user.execute("ALTER TABLE t ADD colour text, ADD embedding vector(3)")
        await target(asked, table="t").check()
        await target(EMBED, table="t").check()

    async def test_an_empty_table_with_a_column_that_nothing_fills(
        self, user: asyncpg.Connection
    ) -> None:
        await user.execute("CREATE TABLE t (id int PRIMARY KEY, output text, title text NOT NULL)")
        message = await unfit(CHAT, [("1", "{}")])
        assert "every row of public.t must have a value in title" in message
        assert await unfit(CHAT, [("1", '{"title": "x"}')]) == ""
        await user.execute("INSERT INTO t VALUES (1, NULL, 'x')")  # rows may be there already
        assert await unfit(CHAT, [("1", "{}")]) == ""

    async def test_items_whose_key_no_row_can_have(self, user: asyncpg.Connection) -> None:
        await user.execute("CREATE TABLE t (id int PRIMARY KEY, output text)")
        hashed = ("94da7d82f", '{"title": "x"}')
        message = await unfit(CHAT, [("1", "{}"), hashed])
        assert message == (
            f"{FIELD}.key: the column id of public.t is integer, which '94da7d82f' of the item"
            " '94da7d82f' is not: give every item a field id, or name such a field as"
            " spec.source.idField"
        )
        assert await unfit(CHAT, [hashed], option=Path("elsewhere.jsonl")) == ""
        assert await unfit(CHAT, [("94da7d82f", '{"id": 7}')]) == ""

    async def test_a_database_that_takes_no_writes(
        self, user: asyncpg.Connection, empty_dsn: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await user.execute("CREATE TABLE t (id int PRIMARY KEY, output text)")
        option = f"{'&' if '?' in empty_dsn else '?'}default_transaction_read_only=on"
        monkeypatch.setenv("PENSTOCK_OUTPUT_DATABASE_URL", empty_dsn + option)
        assert (await refusal(table="t")).startswith(
            f"{FIELD}.secretRef: the database takes no writes"
        )

    async def test_no_database(self, empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def url(value: str) -> None:
            monkeypatch.setenv("PENSTOCK_SECRET_SHOP_MAIN", value)

        named: dict[str, Any] = {"table": "t", "secretRef": {"name": "shop", "key": "main"}}
        where = f"{FIELD}.secretRef: "
        assert "set the variable PENSTOCK_SECRET_SHOP_MAIN to" in await refusal(**named)
        url("mysql://root:hunter22@h/d")
        message = await refusal(**named)
        assert message.startswith(f"{where}the variable PENSTOCK_SECRET_SHOP_MAIN does not hold")
        assert "hunter22" not in message
        url("postgresql://u:hunter22@127.0.0.1:1/d")
        message = await refusal(**named)
        assert message.startswith(f"{where}the database at 127.0.0.1:1/d cannot be reached")
        assert "hunter22" not in message
        url("postgresql://u:hunter22@127.0.0.1:port/d")
        assert "hunter22" not in await refusal(**named)
        url(empty_dsn.replace("penstock@", "nobody:hunter22@", 1))
        message = await refusal(**named)
        assert message.startswith(where)
        assert "hunter22" not in message


class TestWriting:
    async def test_every_kind_of_column(self, user: asyncpg.Connection, writer: Writer) -> None:
        await user.execute("CREATE DOMAIN share AS real; CREATE TYPE mood AS ENUM ('good')")
        await user.execute(
            "CREATE TABLE t (id bigint PRIMARY KEY, i int, n numeric, f float8, b bool, s text,"
            " j jsonb, js json, d date, ts timestamptz, a text[], n2 int[][], v vector(3),"
            " h halfvec(2), u uuid, m mood, sh share, w real[], st text,"
            ' "Ä ""q" text, untouched int DEFAULT 7)'
        )
        output = {
            "i": 5.0, "n": "12345678901234567890.5", "f": 1e-300, "b": True, "s": 'a"b\\c\nd',
            "j": ["x", None, {"é": 1}], "js": "text", "d": "2024-02-29",
            "ts": "2024-01-01T00:00:00Z",
            "a": ["x,y", 'q"\\', None, "", "NULL"], "n2": [[1, 2], [3, 4]], "v": [1, 2.5, -3e-5],
            "h": [1, 2], "u": "5fe4a011-75de-46c6-9f5a-a4f4daa7d82f", "m": "good", "sh": 0.5,
            "w": [0.1, 0.2], "st": {"k": [1]}, 'Ä "q': "z",
        }  # fmt: skip
        writing = await writer.write(stored("9007199254740993", {"id": ""}, output))
        assert (writing.written, list(writing.remarks())) == (1, [])
        (row,) = await writer.all()
        assert row == {
            **output,
            "id": 9007199254740993, "i": 5, "n": 12345678901234567890.5, "untouched": 7,
            "ts": row["ts"], "v": "[1,2.5,-3e-05]", "h": "[1,2]", "st": '{"k":[1]}',
        }  # fmt: skip
        exact = await user.fetchval("SELECT n::text || ' ' || (ts = '2024-01-01 00:00+00') FROM t")
        assert exact == "12345678901234567890.5 true"

    async def test_rows_are_updated_or_added_and_written_again(
        self, user: asyncpg.Connection, writer: Writer
    ) -> None:
        await user.execute(
            "CREATE TABLE t (sku text PRIMARY KEY, title text, colour text, must int NOT NULL,"
            " _status text, _attempts int, _position int, _id text, output jsonb)"
        )
        await user.execute("INSERT INTO t VALUES ('a', 'old', 'old', 1), ('kept', NULL, 'mine', 2)")
        rows = [
            stored("a", {"title": "T"}, {"colour": "red"}),
            stored("b", {"title": "U", "must": "3"}, {"title": "V"}),
            stored("c", {"must": 4}, "only text", status="skipped"),
            stored("kept", {"must": 4}, {"colour": "blue"}, status="skipped", kept=True),
            stored("bad", {"must": 4}, None, status="failed"),
        ]
        for _ in range(2):
            writing = await writer.write(*rows)
            assert writing.written == 3
            found = {row["sku"]: row for row in await writer.all()}
            assert found.keys() == {"a", "b", "c", "kept"}
            done = {"_status": "succeeded", "_attempts": 1, "_position": 0}
            assert found["a"] == {
                **done, "sku": "a", "title": "old", "colour": "red", "must": 1, "_id": "a",
                "output": {"colour": "red"},
            }  # fmt: skip
            assert (found["b"]["title"], found["b"]["colour"]) == ("V", None)
            assert found["c"]["output"] == "only text"
            assert found["kept"]["colour"] == "mine"

    async def test_what_a_query_made_of_a_row_does_not_go_back_into_it(
        self, user: asyncpg.Connection, writer: Writer
    ) -> None:
        await user.execute(
            "CREATE TABLE movies (id int PRIMARY KEY, overview text, genre text, _status text);"
            " INSERT INTO movies VALUES (1, 'A long overview'), (2, 'Another')"
        )
        query = "SELECT id, left(overview, 5) AS overview, genre, _status FROM movies"
        items = [
            jsons.loads(row[0]) for row in await user.fetch(f"SELECT to_jsonb(q) FROM ({query}) q")
        ]
        assert items[0]["overview"] == "A lon"
        items.append({"id": 3, "overview": "new"})
        rows = [stored(str(item["id"]), item, {"genre": "noir"}) for item in items]
        for _ in range(2):
            writing = await writer.write(*rows, table="movies")
            assert writing.written == 3
            done = {"genre": "noir", "_status": "succeeded"}
            assert await writer.all("movies") == [
                {"id": 1, "overview": "A long overview", **done},
                {"id": 2, "overview": "Another", **done},
                {"id": 3, "overview": "new", **done},
            ]

    async def test_an_answer_without_a_column_changes_no_row_that_is_there(
        self, user: asyncpg.Connection, writer: Writer
    ) -> None:
        await user.execute(
            "CREATE TABLE t (id int PRIMARY KEY, a text, must int NOT NULL);"
            " INSERT INTO t VALUES (1, 'old', 1)"
        )
        writing = await writer.write(stored("1", {"a": "new"}, {"b": 1}))
        writing.refuse()
        assert await writer.all() == [{"id": 1, "a": "old", "must": 1}]

    @pytest.mark.parametrize(
        ("type", "keys"),
        [
            ("int", ["7", "8", "07"]),
            ("numeric", ["1.5", "2", "1.50"]),
            ("char(4)", ["a", "b", "a "]),
        ],
    )
    async def test_keys_that_are_equal_to_the_type(
        self, user: asyncpg.Connection, writer: Writer, type: str, keys: list[str]
    ) -> None:
        await user.execute(f"CREATE TABLE t (id {type} PRIMARY KEY, x int)")
        rows = [stored(key, {}, {"x": n}) for n, key in enumerate(keys)]
        for _ in range(2):
            writing = await writer.write(*rows)
            writing.refuse()
            assert sorted(row["x"] for row in await writer.all()) == [1, 2]
            assert list(writing.remarks()) == [
                "1 results have the key of a later one, which was written"
            ]

    async def test_the_key_is_the_items_field_or_its_id(
        self, user: asyncpg.Connection, writer: Writer
    ) -> None:
        await user.execute(
            "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, sku text UNIQUE, x int)"
        )
        rows = [
            stored("1", {"sku": "A"}, {"x": 1}),
            stored("B", {}, {"x": 2, "sku": "from the answer"}),
        ]
        await writer.write(*rows, key="sku")
        assert [(row["sku"], row["x"]) for row in await writer.all()] == [("A", 1), ("B", 2)]
        await user.execute(
            "DROP TABLE t; CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x int)"
        )
        await writer.write(stored("70", {}, {"x": 1}))
        assert await writer.all() == [{"id": 70, "x": 1}]

    async def test_what_has_no_column_is_told(
        self, user: asyncpg.Connection, writer: Writer
    ) -> None:
        await user.execute("CREATE TABLE t (id text PRIMARY KEY, a int)")
        writing = await writer.write(
            stored("1", {"id": "x"}, {"a": 1, "b": 2}), stored("2", {"id": "x"}, {"a": 2})
        )
        assert list(writing.remarks()) == [
            "public.t has no column for b of the results: left out",
            "1 results have the key of a later one, which was written",
        ]
        assert await writer.all() == [{"id": "x", "a": 2}]

    async def test_keys_of_an_earlier_batch(
        self, user: asyncpg.Connection, writer: Writer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(to_table, "BATCH_ROWS", 2)
        await user.execute("CREATE TABLE t (id text PRIMARY KEY, x int)")
        found = await look(user, PostgresOutput(table="t"), "postgresql://h/d")
        writing = _Writing(user, found, "postgresql://h/d")
        for n in range(6):
            await writing.add([stored(f"i{n}", {"id": "ab"[n % 2 if n < 5 else 0]}, {"x": n})])
        await writing.flush()
        rows = [(row["id"], row["x"]) for row in await writer.all()]
        assert sorted(rows) == [("a", 5), ("b", 3)]
        assert writing.written == 2
        assert list(writing.remarks()) == [
            "4 results have the key of a later one, which was written"
        ]

    async def test_rows_that_do_not_fit_keep_no_others_back(
        self, user: asyncpg.Connection, writer: Writer
    ) -> None:
        await user.execute(
            "CREATE TABLE t (id int PRIMARY KEY, a int CHECK (a < 100), b text NOT NULL)"
        )
        rows = [stored(str(n), {"b": "b"}, {"a": n}) for n in range(50)]
        rows[7] = stored("7", {"b": "b"}, {"a": "seven"})
        rows[8] = stored("8", {"b": "b"}, {"a": 800})
        rows[9] = stored("9", {"b": None}, {"a": 9})
        rows[10] = stored("ten", {"b": "b"}, {"a": 10})
        rows[11] = stored("11", {"b": "nul \0"}, {"a": 11})
        writing = await writer.write(*rows)
        assert writing.written == len(await writer.all()) == 45
        with pytest.raises(ExportError) as caught:
            writing.refuse()
        message = str(caught.value)
        assert message.startswith("5 results do not fit public.t, the other 45 are written: '7': ")
        for told in ('"seven"', "t_a_check", 'null value in column "b"', "'ten'", "0x00"):
            assert told in message

    async def test_a_table_that_is_gone(self, user: asyncpg.Connection) -> None:
        await user.execute("CREATE TABLE t (id int PRIMARY KEY, a int)")
        found = await look(user, PostgresOutput(table="t"), "postgresql://h/d")
        await user.execute("DROP TABLE t")
        writing = _Writing(user, found, "postgresql://h/d")
        await writing.add([stored("1", {}, {"a": 1})])
        with pytest.raises(ExportError, match=r"cannot write to public\.t: .*does not exist"):
            await writing.flush()

    async def test_a_table_that_others_have_locked(
        self,
        user: asyncpg.Connection,
        writer: Writer,
        empty_dsn: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(to_table, "LOCK_TIMEOUT", "50ms")
        await user.execute("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1)")
        other = await asyncpg.connect(empty_dsn)
        try:
            await other.execute("BEGIN; SELECT FROM t FOR UPDATE")
            async with asyncio.timeout(30):
                with pytest.raises(ExportError, match="lock timeout"):
                    await writer.write(stored("1", {}, {"a": 1}))
        finally:
            await other.close()


class TestKept:
    async def test_which_items_a_table_has(self, user: asyncpg.Connection) -> None:
        await user.execute("CREATE TABLE t (id int PRIMARY KEY, penstock_place int, output text)")
        await user.execute(
            "INSERT INTO t SELECT n, n, 'x' FROM generate_series(1, 9) n WHERE n <> 3"
        )
        items = [
            *(("1", '{"id": "007"}'), ("2", "{}"), ("3", "{}"), ("x", "{}"), ("99999999999", "{}")),
            *(("a", '{"id": 5.0}'), ("b", '{"id": null}'), ("8", '"text"'), ("9", '{"id": [1]}')),
        ]
        table = target(
            table="t", skipWhere="output = 'x' AND penstock_place <> 8 -- but the eighth"
        )
        async with table.looking(skip=True, is_target=False) as kept:
            assert await kept(items) == {0, 1, 5}
            assert await kept([]) == set()
            with pytest.raises(InputError, match="which 'x' of the item 'x' is not"):
                async with table.looking(skip=True, is_target=True) as strict:
                    await strict(items)

    async def test_when_it_is_asked(self, user: asyncpg.Connection) -> None:
        await user.execute("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1)")
        there, elsewhere = [("1", "{}")], Path("elsewhere.jsonl")
        skipping = target(table="t", skipWhere="id > 0").job
        for job, option, force, wanted in (
            *((skipping, None, False, {0}), (skipping, elsewhere, False, {0})),
            *((skipping, None, True, set()), (skipping, elsewhere, True, None)),
            *(
                (target(table="t").job, None, False, set()),
                (target(table="t").job, elsewhere, False, None),
            ),
        ):
            async with kept_there(job, option, force=force) as kept:
                assert (None if kept is None else await kept(there)) == wanted

    @pytest.mark.parametrize(
        ("type", "there", "others"),
        [
            ("uuid", "5fe4a011-75de-46c6-9f5a-a4f4daa7d82f", ["no uuid", ""]),
            ("text", "00123", ["123", "nul \0"]),
            ("varchar(3)", "abc", ["abcd"]),
        ],
    )
    async def test_keys_of_a_type(
        self, user: asyncpg.Connection, type: str, there: str, others: list[str]
    ) -> None:
        await user.execute(f"CREATE TABLE t (id {type} PRIMARY KEY)")
        await user.execute(
            "INSERT INTO t SELECT $1::text::uuid"
            if type == "uuid"
            else "INSERT INTO t VALUES ($1)",
            there,
        )
        async with target(table="t", skipWhere="true").looking(skip=True, is_target=False) as kept:
            assert await kept([(one, "{}") for one in [*others, there]]) == {len(others)}
