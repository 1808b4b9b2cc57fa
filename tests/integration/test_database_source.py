"""Items that a query gives, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from penstock import jsons
from penstock.errors import InputError, ServerAway
from penstock.sources.database import _read
from penstock.sources.items import Item, read_items
from penstock.sources.user_database import close, connect
from penstock.spec.source import Source

QUERY = "spec.source.postgres.query"
SECRET_REF = "spec.source.postgres.secretRef"


@pytest.fixture
async def user(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database of a user, from which items come."""
    monkeypatch.setenv("PENSTOCK_SOURCE_DATABASE_URL", empty_dsn)
    connection = await asyncpg.connect(empty_dsn)
    yield connection
    await connection.close()


def source(query: str, **options: Any) -> Source:
    secret = options.pop("secretRef", None)
    postgres = {"query": query} | ({} if secret is None else {"secretRef": secret})
    return Source.model_validate({"postgres": postgres, **options})


async def read(query: str, **options: Any) -> list[Item]:
    return await asyncio.to_thread(lambda: list(read_items(source(query, **options), Path())))


async def values(query: str) -> dict[str, Any]:
    (item,) = await read(query)
    value = jsons.loads(item.payload)
    assert isinstance(value, dict)
    return value


async def refusal(query: str, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        await read(query, **options)
    return str(caught.value)


async def test_rows_are_items_in_their_order(user: asyncpg.Connection) -> None:
    await user.execute(
        "CREATE TABLE t AS SELECT n, 'ab'::text AS s FROM generate_series(1, 1500) n"
    )
    items = await read("SELECT * FROM t ORDER BY n DESC; ", idField="n", where="item.n % 2 == 0")
    assert [item.item_id for item in items] == [str(n) for n in range(1500, 0, -2)]
    assert [item.position for item in items] == list(range(0, 1500, 2))
    assert items[0].payload == '{"n":1500,"s":"ab"}'
    assert items[1].where == "row 3"
    assert len(await read("-- a few\n/* of them */ TABLE t -- no more", limit=7)) == 7


async def test_numbers_are_exact(user: asyncpg.Connection) -> None:  # noqa: ARG001
    assert await values(
        "SELECT 9223372036854775807 AS big, 1.50::numeric(10,2) AS price, 100.00 AS whole,"
        " -3::numeric AS three, 12345678901234567.89 AS digits,"
        " 123456789012345678901234567890 AS long, 0.1::real AS real,"
        " 1e-300::float8 AS small, 'NaN'::numeric AS nan, NULL::numeric AS nothing,"
        " ARRAY[1.1, NULL, 2]::numeric[] AS many, ('1' || repeat('0', 2000))::numeric AS huge"
    ) == {
        "big": 9223372036854775807, "price": 1.5, "whole": 100, "three": -3,
        "digits": "12345678901234567.89", "long": 123456789012345678901234567890, "real": 0.1,
        "small": 1e-300, "nan": "NaN", "nothing": None, "many": [1.1, None, 2],
        "huge": "1" + "0" * 2000,
    }  # fmt: skip


async def test_other_types(user: asyncpg.Connection) -> None:
    await user.execute("CREATE EXTENSION vector; CREATE TYPE mood AS ENUM ('good')")
    await user.execute("CREATE DOMAIN price AS numeric(20, 2); CREATE DOMAIN dear AS price")
    await user.execute("SET timezone = 'Asia/Tokyo'")
    assert await values(
        """SELECT true AS r, 'é "x"' AS q, date '2024-02-29' AS d,
        timestamp '2024-01-01 10:00' AS t, timestamptz '2024-01-01 10:00+02' AS tz,
        timestamp 'infinity' AS inf, interval '1 day' AS iv,
        '5fe4a011-75de-46c6-9f5a-a4f4daa7d82f'::uuid AS u, '{"a": [1, null]}'::jsonb AS jb,
        '{"b": 1.0}'::json AS j, ARRAY['a', NULL] AS a, ARRAY[[1], [2]] AS aa, 'good'::mood AS m,
        '[1,2.5,3]'::vector AS v, '[1,2]'::halfvec AS h, int4range(1, 2) AS rg, NULL AS nul,
        99.90::dear AS dom, ROW(1, 'x') AS row, 'x' AS "Ä ""q", inet '10.0.0.1' AS ip"""
    ) == {
        "r": True, "q": 'é "x"', "d": "2024-02-29", "t": "2024-01-01T10:00:00",
        "tz": "2024-01-01T08:00:00+00:00", "inf": "infinity", "iv": "1 day",
        "u": "5fe4a011-75de-46c6-9f5a-a4f4daa7d82f", "jb": {"a": [1, None]}, "j": {"b": 1.0},
        "a": ["a", None], "aa": [[1], [2]], "m": "good", "v": [1, 2.5, 3], "h": [1, 2],
        "rg": "[1,2)", "nul": None, "dom": 99.9, "row": {"f1": 1, "f2": "x"}, 'Ä "q': "x",
        "ip": "10.0.0.1",
    }  # fmt: skip


async def test_the_database_is_only_read(user: asyncpg.Connection) -> None:
    await user.execute("CREATE TABLE t (n int); CREATE SEQUENCE s; INSERT INTO t VALUES (1)")
    await user.execute(
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'DELETE FROM t RETURNING 1'"
    )
    for query in ("DELETE FROM t", "INSERT INTO t VALUES (2) RETURNING n", "DROP TABLE t", "BEGIN"):
        assert await refusal(query) == f"{QUERY}: wanted a SELECT: its rows become the items"
    assert "read-only transaction" in await refusal("SELECT nextval('s')")
    assert "read-only transaction" in await refusal("SELECT f()")
    assert "data-modifying" in await refusal(
        "WITH d AS (DELETE FROM t RETURNING n) SELECT n FROM d"
    )
    assert "several statements" in await refusal("SELECT 1; DROP TABLE t")
    assert await user.fetchval("SELECT count(*) FROM t") == 1


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT n\nFROM  nowhere", 'relation "nowhere" does not exist (line 2, column 7)'),
        ("SELECT 1 +", "syntax error at end of input (line 1, column 11)"),
        ("SELECT 1 AS a, 2 AS a", "columns 1 and 2 are both named 'a': rename one"),
        ("SELECT $1::int", "there is nothing to put in place of $1: write the value"),
        ("SELECT", "wanted a SELECT: this statement gives no columns"),
        ("SELECT 1 AS a WHERE false", "the query gives no rows"),
        ("SELECT 1 / (n - 300) AS x FROM generate_series(1, 400) n", "division by zero"),
        (
            "SELECT 1 AS n, 'x'::bytea AS photo",
            "column 'photo' holds bytes (bytea): leave it out, or write"
            " encode(\"photo\", 'base64')",
        ),
    ],
)
async def test_a_query_that_is_wrong(user: asyncpg.Connection, query: str, message: str) -> None:  # noqa: ARG001
    assert await refusal(query) == f"{QUERY}: {message}"


async def test_an_id_field_that_is_no_column(user: asyncpg.Connection) -> None:  # noqa: ARG001
    message = await refusal("SELECT 1 AS sku, 2 AS n", idField="skü")
    assert message == (
        "spec.source.idField: the query's result has no column 'skü'; did you mean 'sku'?"
        " columns: sku, n"
    )


async def test_a_row_that_is_no_json_is_a_bad_record(user: asyncpg.Connection) -> None:  # noqa: ARG001
    query = (
        "SELECT * FROM (VALUES (1, '5'::json), (2, '\"\\ud800\"'), (3, '1e400'), (4, '6'), (5,"
        " (repeat('[', 1500) || repeat(']', 1500))::json)) t (n, j)"
    )
    items = await read(query, onBadRecord="failItem")
    assert [item.error is None for item in items] == [True, False, False, True, False]
    assert items[0].payload == '{"n":1,"j":5}'
    assert "row 2: the row cannot be read as JSON: " in await refusal(query)


async def test_a_comment_after_the_semicolon(user: asyncpg.Connection) -> None:  # noqa: ARG001
    assert await refusal("SELECT 1 AS n; -- done") == (
        f"{QUERY}: leave out the semicolon before the last comment"
    )
    assert await values("SELECT ';' AS n -- done;") == {"n": ";"}


async def test_batches_are_small_where_rows_are_large(
    user: asyncpg.Connection,  # noqa: ARG001
    empty_dsn: str,
) -> None:
    query = (
        "SELECT repeat('x', CASE WHEN n BETWEEN 2000 AND 3200 THEN 40000 ELSE 1 END) AS x"
        " FROM generate_series(1, 12000) n"
    )
    postgres = source(query).postgres
    assert postgres is not None
    batches = [
        [len(value["x"]) for _, value, _ in batch] async for batch in _read(postgres, empty_dsn, [])
    ]
    assert sum(map(len, batches)) == 12_000
    assert len(batches[0]) <= 10
    assert max(map(len, batches)) == len(batches[-2]) == 500
    large = [sum(sizes) for sizes in batches if max(sizes) > 1]
    assert max(large[1:]) <= 2_000_000


async def test_a_server_that_is_gone_without_a_word_is_noticed(empty_dsn: str) -> None:
    asked = parse_qs(urlsplit(empty_dsn).query)
    path = f"{asked['host'][0]}/.s.PGSQL.{asked['port'][0]}"

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_unix_connection(path)
        await asyncio.gather(_pass_on(reader, outer), _pass_on(inner, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    name = urlsplit(empty_dsn).path
    connection = await connect(f"postgresql://penstock@{host}:{port}{name}", SECRET_REF, name="it")
    try:
        channel = connection._transport.get_extra_info("socket")
        assert channel.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 90_000
    finally:
        await close(connection)
        server.close()
        await server.wait_closed()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


async def test_rows_are_those_of_one_moment(user: asyncpg.Connection) -> None:
    await user.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n")
    items = read_items(source("SELECT n FROM t ORDER BY n"), Path())
    first = await asyncio.to_thread(next, items)
    await user.execute("UPDATE t SET n = -n; INSERT INTO t VALUES (2000)")
    others = await asyncio.to_thread(list, items)
    assert [jsons.loads(item.payload)["n"] for item in (first, *others)] == list(range(1, 1001))


async def test_who_stops_half_way_closes_the_connection(user: asyncpg.Connection) -> None:
    def look() -> None:
        next(read_items(source("SELECT n FROM generate_series(1, 1000000) n"), Path()))

    await asyncio.to_thread(look)
    mine = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'penstock-source'"
    async with asyncio.timeout(30):
        while await user.fetchval(f"{mine} AND datname = current_database()"):
            await user.execute("SELECT pg_stat_clear_snapshot()")


async def test_a_database_that_cannot_be_used(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await refusal("SELECT 1", secretRef={"name": "my-shop"}) == (
        f"{SECRET_REF}: no database: set the variable PENSTOCK_SECRET_MY_SHOP_URL to an address"
        " such as postgresql://user:password@host:5432/database"
    )
    for url, told in (
        ("hunter22@h", "the variable PENSTOCK_SOURCE_DATABASE_URL does not hold an address"),
        (
            "postgresql://u:hunter22@127.0.0.1:1/d",
            "the database at 127.0.0.1:1/d cannot be reached",
        ),
        ("postgresql://u:hunter22@h:port/d", "the address cannot be read"),
        (empty_dsn.replace("penstock@", "nobody:hunter22@", 1), "refused the user or password"),
        (empty_dsn.replace("/test_", "/no_such_", 1), "does not exist"),
    ):
        monkeypatch.setenv("PENSTOCK_SOURCE_DATABASE_URL", url)
        message = await refusal("SELECT 1")
        assert message.startswith(f"{SECRET_REF}: ")
        assert told in message
        assert "hunter22" not in message


@pytest.mark.parametrize("limit", [-1, 0])
async def test_a_database_that_is_away_is_no_mistake(
    user: asyncpg.Connection, empty_dsn: str, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    if limit == -1:
        monkeypatch.setenv("PENSTOCK_SOURCE_DATABASE_URL", "postgresql://u@127.0.0.1:1/d")
        with pytest.raises(ServerAway, match="cannot be reached"):
            await read("SELECT 1")
        return
    name = await user.fetchval("SELECT current_database()")
    role = f"few_{name}"[:63]
    await user.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
    try:
        address = empty_dsn.replace("penstock@", f"{role}@", 1)
        monkeypatch.setenv("PENSTOCK_SOURCE_DATABASE_URL", address)
        with pytest.raises(ServerAway, match="too many connections"):
            await read("SELECT 1")
    finally:
        await user.execute(f"DROP ROLE {role}")
