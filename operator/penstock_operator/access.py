"""What the pods of a BatchJob reach the database by: a role of its own where that can be had.

Its password is made from the operator's own and the BatchJob's UID: the same whenever it is asked
for, and kept nowhere but in the Secret. Where roles cannot be had pods get the operator's address,
and the log says so once.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import asyncpg

from penstock.store import roles
from penstock.store.db import Database
from penstock_operator.names import Owner, secret_name
from penstock_operator.settings import Settings

log = logging.getLogger(__name__)

_TIMEOUT = 10.0
_TURNED_AWAY = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.ProtocolViolationError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedTableError,
)


@dataclass(frozen=True, slots=True)
class Address:
    """secret: name of the Secret that holds the url."""

    secret: str
    url: str


class Access:
    """Gives addresses, and makes the roles in them. cluster: as in `Runs`."""

    def __init__(self, db: Database, cluster: str, settings: Settings) -> None:
        self._db, self._cluster, self._settings = db, cluster, settings
        self._place: roles.Place | None = None
        self._let_in: bool | None = None
        self._told: set[str] = set()

    async def of(self, owner: Owner) -> Address:
        """The address for the pods of a BatchJob; its role, if any, then exists and reaches all its
        runs. Raises DatabaseError."""
        if self._settings.job_roles:
            address = await self._with_role(owner)
            if address is not None:
                return address
        url = self._settings.worker_database_url
        return Address(secret_name(owner, url), url)

    async def _with_role(self, owner: Owner) -> Address | None:
        url = self._settings.database_url
        secret = password_in(url)
        if not secret:
            self._tell("its address has no password to make theirs from")
            return None
        try:
            place = await self._known_place()
            if not place.allowed:
                self._tell("it may not make roles (CREATEROLE)")
                return None
            whose = f"{self._cluster}/{owner.uid}"
            role, password = place.role(whose), password_for(secret, place.role(whose))
            await roles.ensure(self._db, place, whose, password)
        except asyncpg.InsufficientPrivilegeError as error:
            self._tell(f"the database refuses to make theirs: {error}")
            return None
        address = with_user(url, role, password, place.database)
        if self._let_in is None:
            self._let_in = await self._is_let_in(address)
        return None if self._let_in is False else Address(secret_name(owner, url, role), address)

    async def _known_place(self) -> roles.Place:
        if self._place is None:
            place = await roles.place(self._db)
            if place.allowed:
                await roles.admit_anew(self._db, place)
            if place.allowed and place.open:
                log.warning(
                    "everybody may create objects in the schema %s, by which a job's role can"
                    " become the operator: REVOKE CREATE ON SCHEMA %s FROM PUBLIC",
                    place.schema, place.schema,
                )  # fmt: skip
            self._place = place
        return self._place

    async def _is_let_in(self, address: str) -> bool | None:
        """Whether a role that was made can log in and finds the tables; None when that cannot be
        told now. A pooler may know none but those on its list, the server may let in named users
        only, and PostgreSQL only warns of rights that the operator's user has but may not pass on.
        """
        try:
            connection = await asyncpg.connect(address, timeout=_TIMEOUT)
            try:
                await roles.check(connection)
            finally:
                await connection.close(timeout=2)
        except _TURNED_AWAY as error:
            self._tell(
                "theirs are made but turned away, by a pooler perhaps, or for want of CONNECT or"
                f" USAGE, which the operator's user needs WITH GRANT OPTION: {error}"
            )
            return False
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            return None
        return True

    def _tell(self, why: str) -> None:
        if why not in self._told:
            self._told.add(why)
            log.warning("the pods of jobs get the operator's own database user: %s", why)


def password_in(url: str) -> str:
    """The password in an address; empty when there is none. Pure."""
    parts = urlsplit(url)
    if "@" in parts.netloc:
        _, _, password = parts.netloc.partition("@")[0].partition(":")
        if password:
            return unquote(password)
    return dict(parse_qsl(parts.query)).get("password", "")


def password_for(secret: str, role: str) -> str:
    """A role's password: 64 hexadecimal digits. Pure."""
    return hmac.new(_key(secret), role.encode(), "sha256").hexdigest()


def with_user(url: str, user: str, password: str, database: str) -> str:
    """The same address for another user. database: where the address names none, which then would
    be that of the user. user and password are letters and digits. Pure."""
    parts = urlsplit(url)
    host = parts.netloc.partition("@")[2] if "@" in parts.netloc else parts.netloc
    pairs = [pair for pair in parts.query.split("&") if pair]
    names = {pair.partition("=")[0] for pair in pairs}
    kept = "&".join(
        pair for pair in pairs if pair.partition("=")[0] not in ("user", "password", "passfile")
    )
    path = parts.path
    if path in ("", "/") and not names & {"dbname", "database"}:
        path = f"/{quote(database, safe='')}"
    return parts._replace(netloc=f"{user}:{password}@{host}", path=path, query=kept).geturl()


@lru_cache(maxsize=2)
def _key(secret: str) -> bytes:
    """Whoever has a job's password shall not find the operator's by trying: each try is slow."""
    return hashlib.scrypt(secret.encode(), salt=b"penstock roles", n=2**14, r=8, p=1, dklen=32)
