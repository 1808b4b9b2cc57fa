"""Items from a query to a PostgreSQL database: each row an object, its columns by name.

The rows are read through a cursor in one read-only transaction: they are those of one moment, and
memory stays the same however many there are. The server itself writes them as JSON: times as
ISO 8601 text, arrays as lists, `json` as it is, and as text whatever has no form in JSON. Numbers
of the type numeric stay exact (`exact`), vectors of pgvector are lists of numbers.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import asyncpg

from penstock import jsons
from penstock.errors import InputError
from penstock.sources.drawn import drawn
from penstock.sources.identity import check_columns, id_fields
from penstock.sources.records import NoRows, Record, check_header
from penstock.sources.user_database import close, connect, plain_words
from penstock.spec.secrets import database_url
from penstock.spec.source import PostgresSource, Source

QUERY = "spec.source.postgres.query"

_SKIPPED = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)*", re.DOTALL)
_READS = re.compile(r"(?i)(select|with|values|table)\b|\(")
_FIRST_ROWS, _MOST_ROWS = 10, 500
_BATCH_BYTES = 2_000_000
"""What a batch may hold if its rows are as large as the largest one of late."""
_MOST_DIGITS = 1_000
_VECTORS = {"vector", "halfvec"}

_TYPES = """
-- What the types in $1 are called: domains by what they are made of, arrays by their elements.
WITH RECURSIVE found AS (
    SELECT oid AS asked, oid, typname, typtype, typbasetype, typcategory, typelem
    FROM pg_type WHERE oid = ANY ($1::oid[])
    UNION ALL
    SELECT f.asked, t.oid, t.typname, t.typtype, t.typbasetype, t.typcategory, t.typelem
    FROM found f JOIN pg_type t ON t.oid = f.typbasetype WHERE f.typtype = 'd'
)
SELECT f.asked, f.typname AS type, e.typname AS element
FROM found f LEFT JOIN pg_type e ON e.oid = f.typelem AND f.typcategory = 'A'
WHERE f.typtype <> 'd'
"""


class Column(NamedTuple):
    """A column of the result. type: its name in the catalog, of an array that of its elements."""

    name: str
    type: str
    is_array: bool


def rows(source: Source) -> Generator[Record]:
    """The rows of the query. Places are `row 17`, from 1.

    Raises InputError when the database cannot be reached or refuses, when the query is no SELECT
    or is wrong, when two columns have one name or a column holds bytes; NoRows when there is none.
    """
    assert source.postgres is not None
    address = database_url(source.postgres.secret_ref, "source", os.environ)
    return drawn(_read(source.postgres, address, id_fields(source.id_field)), ahead=True)


async def _read(
    source: PostgresSource, address: str, names: Sequence[str]
) -> AsyncGenerator[list[Record], None]:
    query = selecting(source.query)
    connection = await connect(address, "spec.source.postgres.secretRef", name="penstock-source")
    try:
        with plain_words(address, QUERY, query):
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            columns = await _columns(connection, query)
        check_columns(names, [column.name for column in columns], "the query's result")
        with plain_words(address, QUERY):
            cursor = await _cursor(connection, as_json(query, columns))
        convert = _converter(columns)
        count, many, largest = 0, _FIRST_ROWS, 1
        while True:
            with plain_words(address, QUERY):
                texts = [row[0] for row in await cursor.fetch(many)]
            if not texts:
                break
            largest = max(largest // 2, *map(len, texts))
            yield [_record(f"row {n}", text, convert) for n, text in enumerate(texts, count + 1)]
            count += len(texts)
            many = max(1, min(_MOST_ROWS, many * 4, _BATCH_BYTES // largest))
        if not count:
            raise NoRows.at(QUERY, "the query gives no rows")
    finally:
        await close(connection)


async def _cursor(connection: asyncpg.Connection, sql: str) -> asyncpg.cursor.Cursor:
    try:
        return await connection.cursor(sql)
    except asyncpg.PostgresSyntaxError as error:
        # By itself the query was understood.
        raise InputError.at(QUERY, "leave out the semicolon before the last comment") from error


def _record(place: str, text: str, convert: Callable[[str], Any]) -> Record:
    try:
        return place, convert(text), None
    except (ValueError, RecursionError) as error:
        return place, None, f"the row cannot be read as JSON: {error}"


def selecting(query: str) -> str:
    """The query without a semicolon at its end. Raises InputError when it is no SELECT."""
    match = _SKIPPED.match(query)
    assert match is not None  # it matches nothing as well
    if not _READS.match(query, match.end()):
        raise InputError.at(QUERY, "wanted a SELECT: its rows become the items")
    return query.rstrip("; \t\r\n")


def as_json(query: str, columns: Sequence[Column]) -> str:
    """The query whose only column is each row as JSON."""
    if not any(_cast(column) for column in columns):
        return f"SELECT row_to_json(q.*)::text FROM (\n{query}\n) AS q"
    listed = ", ".join(
        f"q.{quoted(column.name)}{cast} AS {quoted(column.name)}"
        if (cast := _cast(column))
        else f"q.{quoted(column.name)}"
        for column in columns
    )
    return f"SELECT row_to_json(r.*)::text FROM (SELECT {listed} FROM (\n{query}\n) AS q) AS r"


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def exact(text: str) -> int | float | str:
    """A numeric as JSON: a whole one as an integer, another as a number where that holds it
    exactly, else (many digits, NaN, infinity) the digits as text."""
    if text.lstrip("-").isdigit():
        return int(text) if len(text) <= _MOST_DIGITS else text
    if not text[-1].isdigit():
        return text
    value = Decimal(text)
    if value == value.to_integral_value():
        return int(value)
    near = float(text)
    return near if Decimal(repr(near)) == value else text


async def _columns(connection: asyncpg.Connection, query: str) -> list[Column]:
    """The columns of the result. Raises InputError for those that no item can have."""
    try:
        prepared = await connection.prepare(query)
    except asyncpg.PostgresSyntaxError as error:
        if "multiple commands" not in str(error):
            raise
        raise InputError.at(QUERY, "wanted one SELECT; there are several statements") from error
    if prepared.get_parameters():
        raise InputError.at(QUERY, "there is nothing to put in place of $1: write the value")
    attributes = prepared.get_attributes()
    if not attributes:
        raise InputError.at(QUERY, "wanted a SELECT: this statement gives no columns")
    check_header([attribute.name for attribute in attributes], QUERY)
    types = {
        row["asked"]: (row["element"] or row["type"], row["element"] is not None)
        for row in await connection.fetch(_TYPES, [attribute.type.oid for attribute in attributes])
    }
    columns = [Column(attribute.name, *types[attribute.type.oid]) for attribute in attributes]
    for column in columns:
        if column.type == "bytea":
            told = f"leave it out, or write encode({quoted(column.name)}, 'base64')"
            raise InputError.at(QUERY, f"column {column.name!r} holds bytes (bytea): {told}")
    return columns


def _cast(column: Column) -> str:
    """What a column is turned into before it is written as JSON; empty for most."""
    if column.type == "numeric":
        return "::text[]" if column.is_array else "::text"
    return "::real[]" if column.type in _VECTORS and not column.is_array else ""


def _converter(columns: Sequence[Column]) -> Callable[[str], Any]:
    """From a row's JSON text to the item."""
    numeric = [column.name for column in columns if column.type == "numeric"]

    def convert(text: str) -> Any:
        row = jsons.loads(text)
        for name in numeric:
            row[name] = _exact_in(row[name])
        return row

    return convert if numeric else jsons.loads


def _exact_in(value: Any) -> Any:
    if isinstance(value, list):
        return [_exact_in(part) for part in value]
    return None if value is None else exact(value)
