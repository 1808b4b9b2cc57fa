"""Worker processes of one machine: started, watched, started again, asked to stop.

A worker that dies gives its shards back at once: the driver saw it die, so nobody waits for its
lease. Standard input is a pipe that only the driver holds: it tells what to work on (what a pod
finds in its environment), and its end means that the driver died, however it died; then the workers
stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock import jsons, signals
from penstock.errors import PenstockError
from penstock.store import runs, shards
from penstock.store.db import Database
from penstock.work.main import HURRY

log = logging.getLogger(__name__)

EXIT_DONE, EXIT_BAD_INPUT, EXIT_DRAINED = 0, 2, 130
RESTART_PAUSE = 0.5
RESTART_PAUSE_MAX = 10.0
MAX_FALSE_STARTS = 5
"""More in a row are a fault of the set-up."""
FALSE_START = 5.0
"""Seconds: a worker that dies sooner, without a sign of life, did not get to work at all."""
STEADY = 10.0
"""Seconds: after a life as long as this a death is the first in a row."""


@dataclass(slots=True)
class _Seat:
    """A worker slot and the process in it. deaths and false_starts: so many in a row."""

    slot: int
    owner: str = ""
    process: asyncio.subprocess.Process | None = None
    started: float = 0.0
    deaths: int = 0
    false_starts: int = 0

    def died(self, now: float, said: Mapping[str, Any] | None) -> None:
        """Count a death. now: on the clock of `started`. said: its last totals, None for none."""
        lived = now - self.started
        if said is not None and (lived >= STEADY or said.get("finished")):
            self.deaths = 0
        self.deaths += 1
        fast = said is None and lived < FALSE_START
        self.false_starts = self.false_starts + 1 if fast else 0


class Workers:
    """All worker processes of a run."""

    def __init__(self, count: int) -> None:
        self._seats = [_Seat(slot) for slot in range(count)]
        self._stopping = False

    async def prestart(self) -> None:
        """Start the processes while there is nothing for them to do yet: half a second of imports
        passes while the driver plans."""
        for seat in self._seats:
            seat.process = await _spawn()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._seats)

    async def run(self, db: Database, run: int, told: Mapping[str, str]) -> bool:
        """Set the workers on a run; keep every seat taken until they end or are stopped.

        told: what a pod would find in its environment. Returns whether all of them ended
        because the run is finished. Raises PenstockError when workers cannot even start.
        """
        self._db, self._run = db, run
        self._told = {**told, "PENSTOCK_RUN": str(run), "PENSTOCK_WORKERS": str(len(self._seats))}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._keep(seat)) for seat in self._seats]
        return all(task.result() for task in tasks)

    def stop(self) -> None:
        """Ask all to drain; asked again, they drop what is in flight."""
        number = HURRY if self._stopping else signal.SIGTERM
        self._stopping = True
        for seat in self._seats:
            if seat.process is not None and seat.process.returncode is None:
                seat.process.send_signal(number)

    def kill(self) -> None:
        """End all at once; what they held is taken over like after a crash."""
        self._stopping = True
        for seat in self._seats:
            if seat.process is not None and seat.process.returncode is None:
                seat.process.kill()

    async def close(self) -> None:
        """End all at once and wait until they are gone, whoever cancels that."""
        self.kill()
        waits = [seat.process.wait() for seat in self._seats if seat.process is not None]
        gone = asyncio.gather(*waits)
        cancelled = False
        while not gone.done():
            try:
                await asyncio.shield(gone)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    async def _keep(self, seat: _Seat) -> bool:
        while not self._stopping:
            code = await self._sit(seat)
            await runs.workers_gone(self._db, self._run, [seat.owner])
            if code == EXIT_DONE:
                return True
            if code == EXIT_DRAINED and self._stopping:
                return False
            if code == EXIT_BAD_INPUT:
                raise PenstockError("a worker refused its configuration; the log says why")
            log.warning("worker %d ended with code %d; its shards are free", seat.slot, code)
            strike = code != EXIT_DRAINED and not self._stopping
            await shards.release_dead(self._db, self._run, [seat.owner], strike=strike)
            if self._stopping:
                return False
            seat.died(time.monotonic(), await self._said(seat.owner))
            if seat.false_starts > MAX_FALSE_STARTS:
                raise PenstockError("workers end as soon as they start; the log says why")
            await asyncio.sleep(min(RESTART_PAUSE * seat.deaths, RESTART_PAUSE_MAX))
        return False

    async def _sit(self, seat: _Seat) -> int:
        seat.owner = f"{seat.slot}-{uuid.uuid4().hex[:8]}"
        if seat.process is None:
            seat.process = await _spawn()
            if self._stopping:  # asked while there was no process to ask
                seat.process.terminate()
        process, seat_told = seat.process, {"PENSTOCK_SLOT": str(seat.slot)}
        seat.started = time.monotonic()
        try:
            seat_told["PENSTOCK_OWNER"] = seat.owner
            await _tell(process, {**self._told, **seat_told})
            return await process.wait()
        except asyncio.CancelledError:
            if process.returncode is None:
                process.kill()
            await process.wait()
            raise
        finally:
            seat.process = None

    async def _said(self, owner: str) -> Mapping[str, Any] | None:
        known = await runs.workers(self._db, self._run)
        return next((totals for worker, _, totals in known if worker == owner), None)


async def _spawn() -> asyncio.subprocess.Process:
    # Ctrl-C and hang-ups reach the driver as well, which decides.
    with signals.held_back():
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "penstock", "work"),  # no module of the current folder gets in
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, "PENSTOCK_PARENT": "1"},
        )


async def _tell(process: asyncio.subprocess.Process, told: Mapping[str, str]) -> None:
    """One line of JSON on standard input, which then stays open for as long as the driver lives."""
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):  # it is dead already: its exit code says why
        process.stdin.write(jsons.dumps(told).encode() + b"\n")
        await process.stdin.drain()
