"""Connections to PostgreSQL databases of users, and what these refuse in plain words.

For reading items (`database`) and, at the other end, for the table that results are written to.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import asyncpg

from penstock.errors import InputError, ServerAway
from penstock.postgres import explain
from penstock.secrets import mask
from penstock.text import storable

_CONNECT = 10.0
_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
_AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.CannotConnectNowError,
)
"""What may be over a moment later."""
_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6, "TCP_USER_TIMEOUT": 90_000}
"""Options of the socket: a server that is gone without a word is noticed within 90 s."""


async def connect(address: str, where: str, *, name: str) -> asyncpg.Connection:
    """A connection. where: the field of the manifest that names the database. name: how it is
    called in the server's list of connections. Raises InputError, without the password; of these
    ServerAway when the server is not there, or not now."""
    try:
        connection = await asyncpg.connect(
            address,
            timeout=_CONNECT,
            # A pooler between here and the server may hand each transaction to another session.
            statement_cache_size=0,
            # Times that know their zone are told in one that is the same everywhere.
            server_settings={"application_name": name, "timezone": "UTC"},
        )
    except _AWAY as error:
        raise ServerAway.at(where, hidden(explain(address, error), address)) from error
    except asyncpg.PostgresError as error:
        raise InputError.at(where, hidden(explain(address, error), address)) from error
    except ValueError as error:  # its text has the address in it
        wanted = "postgresql://user:password@host:5432/database"
        raise InputError.at(where, f"the address cannot be read; wanted {wanted}") from error
    _keep_alive(connection)
    return connection


def _keep_alive(connection: asyncpg.Connection) -> None:
    """Have the system ask now and then whether the server is still there."""
    channel = connection._transport.get_extra_info("socket")
    if channel is not None and channel.family in (socket.AF_INET, socket.AF_INET6):
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _ALIVE.items():
            if (option := getattr(socket, name, None)) is not None:
                channel.setsockopt(socket.IPPROTO_TCP, option, value)


async def close(connection: asyncpg.Connection) -> None:
    """Close the connection; never raises."""
    try:
        await connection.close(timeout=2)
    except Exception:
        connection.terminate()


@contextmanager
def plain_words(address: str, where: str, sql: str = "") -> Iterator[None]:
    """Turn what the server refuses into an InputError, and its absence into ServerAway. where: the
    field that asked for it. sql: its text, in which the server's position is found."""
    try:
        yield
    except _AWAY as error:
        raise ServerAway.at(where, hidden(explain(address, error), address)) from error
    except _REFUSED as error:
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
