"""Connections to PostgreSQL databases of users, and what these refuse in plain words.

For reading items (`database`) and, at the other end, for the table that results are written to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import asyncpg

from penstock.errors import InputError
from penstock.postgres import explain
from penstock.secrets import mask
from penstock.text import storable

_CONNECT = 10.0
_AWAY = (
    OSError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,
)


async def connect(address: str, where: str, *, name: str) -> asyncpg.Connection:
    """A connection. where: the field of the manifest that names the database. name: how it is
    called in the server's list of connections. Raises InputError, without the password."""
    try:
        return await asyncpg.connect(
            address,
            timeout=_CONNECT,
            # A pooler between here and the server may hand each transaction to another session.
            statement_cache_size=0,
            # Times that know their zone are told in one that is the same everywhere.
            server_settings={"application_name": name, "timezone": "UTC"},
        )
    except (*_AWAY, asyncpg.PostgresError) as error:
        raise InputError.at(where, hidden(explain(address, error), address)) from error
    except ValueError as error:  # its text has the address in it
        wanted = "postgresql://user:password@host:5432/database"
        raise InputError.at(where, f"the address cannot be read; wanted {wanted}") from error


async def close(connection: asyncpg.Connection) -> None:
    """Close the connection; never raises."""
    try:
        await connection.close(timeout=2)
    except Exception:
        connection.terminate()


@contextmanager
def plain_words(address: str, where: str, sql: str = "") -> Iterator[None]:
    """Turn what the server refuses into an InputError. where: the field that asked for it. sql: its
    text, in which the server's position is found."""
    try:
        yield
    except (*_AWAY, TimeoutError) as error:
        raise InputError.at(where, hidden(explain(address, error), address)) from error
    except asyncpg.PostgresError as error:
        raise InputError.at(where, hidden(said(error, sql), address)) from error


def said(error: asyncpg.PostgresError, sql: str = "") -> str:
    """The server's own words, with its hint, and the place in the statement."""
    text = str(error.args[0] if error.args else error).strip()
    position = error.position
    if sql and position and position.isdigit():
        before = sql[: int(position) - 1]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        text += f" (line {line}, column {column})"
    if error.hint:
        text += f"; {error.hint}"
    return storable(" ".join(text.split()))


def hidden(text: str, address: str) -> str:
    """The text without the password of the address."""
    try:
        password = urlsplit(address).password or ""
    except ValueError:
        password = ""
    return mask(text, [password, unquote(password)])
