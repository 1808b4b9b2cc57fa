"""A table in a user's database: what it looks like, whether results can be written to it, and how.

Read from the catalog before anything is paid for. Nothing is changed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from penstock.errors import InputError
from penstock.export.cells import Column
from penstock.sources.database import quoted
from penstock.sources.user_database import plain_words
from penstock.spec.output import PostgresOutput
from penstock.spec.suggest import did_you_mean
from penstock.store.queries import load

FIELD = "spec.output.postgres"
_SQL = load("user_table")


@dataclass(frozen=True, slots=True)
class Table:
    """A table. name: as SQL, with its schema. columns: those that can be written to, by name. key:
    the column that identifies a row."""

    name: str
    columns: dict[str, Column]
    key: Column

    def upsert(self, answer: Sequence[str], item: Sequence[str]) -> str:
        """The statement that writes rows and tells how many: $1, $2, … are lists of texts, one for
        each of the columns in answer, then in item, where the key is. A row that is there gets only
        what comes from the answer.

        Rows that are there are updated first: an INSERT would fail for columns that must be filled,
        though the row has them. What others insert meanwhile is updated as well. Of rows with keys
        that the type takes as equal (7 and 07) the last counts.
        """
        filled = [*answer, *item]
        key = quoted(self.key.name)
        names = ", ".join(map(quoted, filled))
        lists = ", ".join(f"${n}::text[]" for n in range(1, len(filled) + 1))
        casts = ", ".join(
            f"u.{quoted(name)}::{self.columns[name].cast} AS {quoted(name)}" for name in filled
        )
        given = (
            f"SELECT DISTINCT ON ({key}) * FROM (SELECT {casts}, u.penstock_place"
            f" FROM unnest({lists}) WITH ORDINALITY AS u({names}, penstock_place)) read"
            f" ORDER BY {key}, penstock_place DESC"
        )
        here, conflict = f"SELECT t.{key} FROM {self.name} t JOIN given n USING ({key})", "NOTHING"
        if answer:
            there = ", ".join(f"{quoted(name)} = n.{quoted(name)}" for name in answer)
            here = (
                f"UPDATE {self.name} AS t SET {there} FROM given n"
                f" WHERE t.{key} = n.{key} RETURNING t.{key}"
            )
            excluded = (f"{quoted(name)} = EXCLUDED.{quoted(name)}" for name in answer)
            conflict = f"UPDATE SET {', '.join(excluded)}"
        return (
            f"WITH given AS ({given}), there AS ({here}), added AS ("
            # A key that counts by itself has the value of the item all the same.
            f"INSERT INTO {self.name} AS t ({names}) OVERRIDING SYSTEM VALUE"
            f" SELECT {', '.join(f'n.{quoted(name)}' for name in filled)} FROM given n"
            f" WHERE NOT EXISTS (SELECT FROM there WHERE there.{key} = n.{key})"
            f" ON CONFLICT ({key}) DO {conflict}) SELECT count(*) FROM given"
        )


async def look(connection: asyncpg.Connection, output: PostgresOutput, address: str) -> Table:
    """The table that results are to be written to.

    Raises InputError, with what to do, when there is none of that name, it is no table, the key is
    no column or not unique, or this user may not write there.
    """
    with plain_words(address, f"{FIELD}.table"):
        found = await connection.fetchrow(_SQL["table"], output.table)
        if found is None:
            names = [row["name"] for row in await connection.fetch(_SQL["names"])]
            hint = did_you_mean(output.table, names)
            raise InputError.at(f"{FIELD}.table", f"there is no table {output.table!r}{hint}")
        rows = await connection.fetch(_SQL["columns"], found["oid"])
    name = found["name"]
    if found["relkind"] not in ("r", "p"):
        raise InputError.at(f"{FIELD}.table", f"{name} is no table that can be written to")
    if found["read_only"]:
        told = "takes no writes (a standby, or default_transaction_read_only is set)"
        raise InputError.at(f"{FIELD}.secretRef", f"the database {told}")
    columns = {
        row["name"]: Column(row["name"], row["type"], row["category"], row["cast"], row["must"])
        for row in rows
    }
    key = _key(output, name, columns, rows)
    allowed = {row["name"] for row in rows if row["allowed"]}
    key_allowed = any(row["key_allowed"] for row in rows if row["name"] == key.name)
    others = columns.keys() - {key.name}
    if not key_allowed or (others and not others & allowed):
        raise InputError.at(
            f"{FIELD}.table",
            f"the user {found['me']} may not write to {name}:"
            f" GRANT SELECT, INSERT, UPDATE ON {name} TO {quoted(found['me'])}",
        )
    allowed.add(key.name)
    return Table(name, {name: columns[name] for name in columns if name in allowed}, key)


async def check_skip_where(
    connection: asyncpg.Connection, output: PostgresOutput, table: Table, address: str
) -> None:
    """Whether the condition can be asked of the table. Raises InputError."""
    if output.skip_where is not None:
        where = f"{FIELD}.skipWhere"
        with plain_words(address, where):
            await connection.execute("BEGIN READ ONLY")
            try:
                await connection.prepare(kept_query(table, output.skip_where))
            finally:
                await connection.execute("ROLLBACK")


def kept_query(table: Table, skip_where: str) -> str:
    """Which of the keys in $1 have a row that meets the condition: their places, from 1. Key and
    condition are names of the inner query, so that the condition reads as one on the table."""
    key = quoted(table.key.name)
    return (
        "SELECT penstock_asked.penstock_place FROM unnest($1::text[]::"
        f"{table.key.cast}[]) WITH ORDINALITY AS penstock_asked(penstock_key, penstock_place)"
        f" WHERE EXISTS (SELECT FROM {table.name}"
        f" WHERE {table.name}.{key} = penstock_asked.penstock_key AND (\n{skip_where}\n))"
    )


def _key(
    output: PostgresOutput,
    name: str,
    columns: dict[str, Column],
    rows: Sequence[asyncpg.Record],
) -> Column:
    if output.key is None:
        primary = [row["name"] for row in rows if row["is_primary"]]
        if len(primary) != 1:
            raise InputError.at(
                f"{FIELD}.key",
                f"{name} has no primary key of one column: say which column identifies a row",
            )
        return columns[primary[0]]
    if output.key not in columns:
        hint = did_you_mean(output.key, list(columns))
        raise InputError.at(f"{FIELD}.key", f"{name} has no column {output.key!r}{hint}")
    if not any(row["name"] == output.key and row["is_unique"] for row in rows):
        raise InputError.at(
            f"{FIELD}.key",
            f"the column {output.key} of {name} is not unique, so rows cannot be told by it:"
            f" CREATE UNIQUE INDEX ON {name} ({quoted(output.key)})",
        )
    return columns[output.key]
