"""The keeper: runs the embedded PostgreSQL of one directory for as long as somebody uses it.

It is a process of its own, in no terminal's session, so that a `kill -9` of the command that
started it, or of its whole process group, takes neither it nor the server along. embedded.py
starts `main` with BINARIES HOME REPORT LOCK. It imports little, stays near 12 MB, and sleeps
nearly always.

What is agreed between the processes lies in the directory HOME:

    users.lock    every command holds a shared flock on it for its life; the kernel lets go of it
                  at any death. Nobody holds it for GRACE seconds: the server is stopped.
    keeper.lock   whoever holds the exclusive flock is the keeper. The command that takes it hands
                  the open file to the keeper it starts (LOCK), so there is never a second one.
    data/         the database; data.new/ while it is being made. PostgreSQL's own
                  data/postmaster.pid says where the server listens and that it is ready.
    server.log    what PostgreSQL and the keeper have to say.

One line on the descriptor REPORT tells the starting command how the start went.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
from pathlib import Path

from penstock import signals
from penstock.store.account import StartError
from penstock.store.server import READY, Server, open_file

_TICK = 0.2  # seconds between two looks at the users and the server
_GRACE = 5.0  # seconds without users until the server is stopped
_STOPPED_BY_HAND = 30.0  # seconds that a server which was shut down on purpose may stay down
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between attempts to start one that does not
_LOG_BYTES = 2_000_000  # a larger log is put aside when a keeper starts


class Keeper:
    """The loop around a server. `run_once` is one look at it."""

    def __init__(self, server: Server, users: int, grace: float, now: float) -> None:
        self.server = server
        self._users = users
        self._grace = grace
        self._used = now
        self._down_until: float | None = None
        self._pause = _FIRST_PAUSE
        self._leave = False

    def leave(self) -> None:
        """Stop the server at the next look, users or not (the system is shutting down)."""
        self._leave = True

    def run_once(self, now: float) -> bool:
        """Look after users and server. Returns False when the keeper's time is over."""
        if self._deleted():
            self.server.stop(at_once=True)
            return False
        if not _lock(self._users):
            self._used = now
        elif self._leave or now - self._used >= self._grace:
            # The lock is kept until this process ends: no user can come in between.
            self.server.say("nobody uses the server: stopping it")
            self.server.stop()
            return False
        else:
            fcntl.flock(self._users, fcntl.LOCK_UN)
        if self._leave:
            self.server.say("told to stop")
            self.server.stop()
            return False
        if not self.server.alive():
            self._bring_back(now)
        elif not self.server.reachable():
            self.server.say("the socket is gone: starting the server anew")
            self.server.stop()
            self._start(now)
        return True

    def _bring_back(self, now: float) -> None:
        if self.server.adopt():
            self._down_until = None
            return
        if self._down_until is None:
            on_purpose = self.server.shut_down_on_purpose()
            self._down_until = now + (_STOPPED_BY_HAND if on_purpose else 0)
            what = "was shut down: waiting for it" if on_purpose else "died: starting it again"
            self.server.say(f"the server {what}")
        if now >= self._down_until:
            self._start(now)

    def _start(self, now: float) -> None:
        try:
            self.server.start()
        except (StartError, OSError) as error:
            self.server.say(f"it does not start: {error}")
            self._down_until = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        else:
            self._down_until, self._pause = None, _FIRST_PAUSE

    def _deleted(self) -> bool:
        """Whether somebody removed the directory: then nobody can find this server any more."""
        try:
            return not os.path.samestat(
                (self.server.home / "users.lock").stat(), os.fstat(self._users)
            )
        except OSError:
            return True


def main(arguments: list[str]) -> int:
    """Start or adopt the server, report, and watch it until nobody uses it."""
    signals.let_through()
    binaries, home = Path(arguments[0]), Path(arguments[1])
    report, lock = int(arguments[2]), int(arguments[3])
    if os.fork():  # the starting command need not wait for this process, whoever ends first
        return 0
    os.chdir("/")
    os.umask(0o077)
    try:
        _log_to(home)
        server = Server(binaries, home)
        if not server.adopt():
            if not server.data.exists():
                server.make(lock)
            server.start()
        users = open_file(home / "users.lock")
    except (StartError, OSError) as error:
        print(f"keeper: the server did not start: {error}", file=sys.stderr)
        _tell(report, str(error))
        return 1
    _tell(report, READY)
    grace = float(os.environ.get("PENSTOCK_SERVER_GRACE", _GRACE))
    keeper = Keeper(server, users, grace, time.monotonic())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: keeper.leave())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    while keeper.run_once(time.monotonic()):
        time.sleep(_TICK)
    return 0


def _log_to(home: Path) -> None:
    """Send what this process has to say to the server's log."""
    path = home / "server.log"
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _LOG_BYTES:
            path.rename(home / "server.log.1")
    log = open_file(path)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _tell(report: int, text: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # the command that started this may be dead by now
        os.write(report, text.encode(errors="replace"))
    os.close(report)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
