"""What is said of a PostgreSQL server that cannot be used, and how its address is shown.

For Penstock's own database (`store`) and those of users (`sources`, `export`) alike.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import asyncpg


def explain(dsn: str, error: BaseException) -> str:
    """Why the database could not be used, in plain words and without the password."""
    where = place(dsn)
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return f"the database at {where} refused the user or password"
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return f"the database at {where} does not exist: {error}"
    if isinstance(error, TimeoutError):
        return f"the database at {where} does not answer"
    if isinstance(error, OSError):
        return f"the database at {where} cannot be reached: {error.strerror or error}"
    text = str(error).strip() or type(error).__name__
    return f"the database at {where}: {text.splitlines()[0]}"


def place(dsn: str) -> str:
    """Host, port and name of a database, without user and password."""
    try:
        parts = urlsplit(dsn)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.hostname or 'the local socket'}{port}{parts.path}"
    except ValueError:
        return "the given address"
