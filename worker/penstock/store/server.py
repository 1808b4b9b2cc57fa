"""One PostgreSQL of our own: made, started, recognised, stopped.

The keeper (keeper.py) drives it; embedded.py reads from here where it listens. Only the standard
library is imported, and little of it, because the keeper is to stay small.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

from penstock.store.account import StartError, account

USER = DATABASE = "penstock"
PORT = 5432  # only a part of the socket's file name
READY = "ready"

_STOP_PATIENCE = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))

# Small and durable. The rest are PostgreSQL's defaults. No statements, no values in the log: they
# hold the user's data.
_SETTINGS = """\
# Written by penstock at every start. Settings of your own go into postgresql.auto.conf
# (ALTER SYSTEM SET ...).
listen_addresses = ''
port = 5432
unix_socket_directories = {socket_dir}
unix_socket_permissions = 0700
max_connections = 60
shared_buffers = 64MB
huge_pages = off
dynamic_shared_memory_type = posix
max_parallel_workers_per_gather = 0
jit = off
fsync = on
synchronous_commit = on
full_page_writes = on
wal_compression = on
wal_level = minimal
max_wal_senders = 0
max_wal_size = 2GB
checkpoint_timeout = 15min
autovacuum = on
timezone = UTC
log_timezone = UTC
log_checkpoints = off
log_error_verbosity = terse
log_min_error_statement = panic
log_parameter_max_length_on_error = 0
"""


class Postmaster:
    """What PostgreSQL's postmaster.pid tells of a running server."""

    def __init__(self, pid: int, socket_dir: str, port: int, status: str) -> None:
        self.pid = pid
        self.socket_dir = socket_dir
        self.port = port
        self.status = status

    @property
    def socket(self) -> Path:
        return Path(self.socket_dir) / f".s.PGSQL.{self.port}"


def read_postmaster(data: Path) -> Postmaster | None:
    """Read data/postmaster.pid; None when there is none. What is not written yet is empty."""
    try:
        text = os.fsdecode((data / "postmaster.pid").read_bytes())
        lines = [*text.split("\n"), *[""] * 8]
        return Postmaster(int(lines[0]), lines[4], int(lines[3] or PORT), lines[7].strip())
    except (OSError, ValueError):
        return None


def answers(path: Path) -> bool:
    """Whether somebody accepts connections on the Unix socket `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
        return True


def settings(socket_dir: Path) -> bytes:
    """The server's postgresql.conf."""
    quoted = "'" + os.fspath(socket_dir).replace("'", "''") + "'"
    return os.fsencode(_SETTINGS.format(socket_dir=quoted))


def runtime_dir(home: Path) -> Path:
    """Where the socket of the server in `home` lies.

    Not beside the data: a socket's name may have 103 bytes at most. Not in XDG_RUNTIME_DIR: that
    is removed when the user logs out, and a run over night goes on.
    """
    digest = hashlib.blake2b(os.fsencode(home), digest_size=6).hexdigest()
    return Path(f"/tmp/penstock-{os.geteuid()}-{digest}")


def open_file(path: Path) -> int:
    """Open a file of ours, made if it is missing, for reading and appending. A descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


class Server:
    """One PostgreSQL: made, started, recognised, stopped. Raises StartError and OSError."""

    def __init__(self, binaries: Path, home: Path) -> None:
        self.binaries = binaries
        self.home = home
        self.data = home / "data"
        self.log = home / "server.log"
        self.pid = 0  # 0: none known
        self._child: subprocess.Popen[bytes] | None = None
        self._account = account()

    def make(self, lock: int) -> None:
        """Make the database, all of it or nothing. The lock is held until initdb is gone."""
        new = self.home / "data.new"
        _remove(new)  # somebody was killed in the middle of this
        new.mkdir(mode=0o700)
        self._account.own(new)
        try:
            self._fill(new, lock)
        except StartError:
            _remove(new)  # the disk may be full
            raise
        new.rename(self.data)
        directory = os.open(self.home, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)

    def adopt(self) -> bool:
        """Take over a server that runs already; False when there is none."""
        found = read_postmaster(self.data)
        if found is None or not self._is_ours(found):
            return False
        self.pid, self._child = found.pid, None
        return True

    def start(self) -> None:
        """Start the server and wait until it takes connections (after a crash: recovery)."""
        socket_dir = self._socket_dir()
        stale = socket_dir / f".s.PGSQL.{PORT}"
        deadline = time.monotonic() + 15
        while answers(stale):  # of a database that was deleted while it ran: it goes away
            if time.monotonic() > deadline:
                raise StartError(f"another server listens on {stale}")
            time.sleep(0.1)
        for name in (stale, stale.with_name(stale.name + ".lock")):
            name.unlink(missing_ok=True)
        self._disown_reused_pid()
        config = self.data / "postgresql.conf"
        config.write_bytes(settings(socket_dir))
        self._account.own(config)
        log = open_file(self.log)
        begin = os.lseek(log, 0, os.SEEK_END)
        try:
            self._child = subprocess.Popen(
                [*self._account.prefix, self.binaries / "postgres", "-D", self.data],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )
        finally:
            os.close(log)
        self.pid = self._child.pid
        while True:
            if self._child.poll() is not None:
                self.stop()
                raise StartError(self._log_since(begin))
            now = read_postmaster(self.data)
            if now is not None and now.pid == self.pid and now.status == READY:
                return
            time.sleep(0.01)

    def alive(self) -> bool:
        """Whether the server runs (it may be recovering from the crash of one of its own)."""
        if self._child is not None:
            return self._child.poll() is None
        return self.pid != 0 and _command_of(self.pid, look=False) != ""

    def shut_down_on_purpose(self) -> bool:
        """Whether the server that is gone took its leave: then its postmaster.pid is gone too."""
        return not (self.data / "postmaster.pid").exists()

    def reachable(self) -> bool:
        """Whether the socket's file is still there (somebody may have cleaned up /tmp)."""
        now = read_postmaster(self.data)
        return now is None or now.status != READY or now.socket.exists()

    def stop(self, *, at_once: bool = False) -> None:
        """Stop the server: first politely, then less so. at_once: its files are gone anyway."""
        for number, patience in _STOP_PATIENCE[1 if at_once else 0 :]:
            if not self.alive():
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            deadline = time.monotonic() + patience
            while self.alive() and time.monotonic() < deadline:
                time.sleep(0.02)
        self.pid = 0
        if not at_once:  # else another database may be in our place, and listen there, by now
            with contextlib.suppress(OSError):
                runtime_dir(self.home).rmdir()

    def say(self, text: str) -> None:
        """Write a line to the server's log."""
        moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        with contextlib.suppress(OSError):
            log = open_file(self.log)
            os.write(log, f"{moment} keeper: {text}\n".encode(errors="replace"))
            os.close(log)

    def _fill(self, new: Path, lock: int) -> None:
        # "builtin": sorts the same on every system. The log in is free, the way there is not: the
        # socket lies in a directory of the owner's, and nothing listens on the network.
        self._run(
            lock, b"", "initdb", "-D", new, "-U", USER, "--encoding=UTF8", "--locale=C",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--auth-local=trust", "--auth-host=reject",
        )  # fmt: skip
        create = f"CREATE DATABASE {DATABASE};\n".encode()
        self._run(lock, create, "postgres", "--single", "-D", new, "postgres")

    def _run(self, lock: int, given: bytes, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [*self._account.prefix, self.binaries / program, *arguments],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            pass_fds=[lock],
            check=False,
        )
        if done.returncode != 0:
            raise StartError(_tail(done.stdout) or f"{program} ended with {done.returncode}")

    def _socket_dir(self) -> Path:
        path = runtime_dir(self.home)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
        private = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
        if not private or found.st_uid != os.geteuid():
            raise StartError(
                f"{path} is there already, and not a directory that only its owner may use. "
                "Remove it, or keep the database elsewhere (--data-dir)"
            )
        return path

    def _is_ours(self, found: Postmaster) -> bool:
        command = _command_of(found.pid).replace("\0", " ")
        if "/postgres -D " not in command:
            return False  # dead, or its number belongs to another process now
        return os.fspath(self.data) in command or answers(found.socket)

    def _disown_reused_pid(self) -> None:
        """Let PostgreSQL start although the dead server's pid belongs to another process now.

        Usual in containers. PostgreSQL takes its own parent's pid for stale as well, and then
        still looks for processes of the old server, which removing the file would prevent.
        """
        found = read_postmaster(self.data)
        if found is None or self._is_ours(found) or not _command_of(found.pid, look=False):
            return
        path = self.data / "postmaster.pid"
        _, _, rest = path.read_bytes().partition(b"\n")
        path.write_bytes(b"%d\n" % os.getpid() + rest)

    def _log_since(self, begin: int) -> str:
        with self.log.open("rb") as log:
            log.seek(begin)
            return _tail(log.read()) or "PostgreSQL ended without a word"


def _remove(directory: Path) -> None:
    if directory.exists():
        import shutil  # costs a megabyte, and this is rare

        shutil.rmtree(directory)


def _environment() -> dict[str, str]:
    # What is set for another server must not reach this one (PGDATA, PGPORT, PGOPTIONS ...).
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}


def _command_of(pid: int, *, look: bool = True) -> str:
    """The command line of a process; "" when it is dead (a zombie is).

    Without /proc (macOS) this starts `ps`; look=False saves that and answers "?" for the living.
    """
    if Path("/proc/self").exists():
        try:
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes())
        except OSError:
            return ""
    if look:
        done = subprocess.run(
            ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False
        )
        return os.fsdecode(done.stdout)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "?"


def _tail(output: bytes, lines: int = 8) -> str:
    """The last lines of what a program said, without the empty ones."""
    text = output.decode(errors="replace").strip()
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])
