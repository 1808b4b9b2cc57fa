"""Why items of a run failed, counted now and then.

That takes reading its results, of which there may be millions: on a connection that looks do not
use, and only for so long. Nobody but the look at that run waits for it.
"""

from __future__ import annotations

import logging
import time

from penstock.errors import DatabaseError
from penstock.store import runs
from penstock.store.db import Database

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two counts."""
WITHIN, AT_END = 2.0, 10.0
"""Seconds that a count may take, and the one at the end of a run, which is the last."""
RARER = 20.0
"""As many times what a count took must pass before the next: slow ones are rare."""

Counts = tuple[tuple[str, int], ...]


class Reasons:
    """Of one run. db: a connection that looks do not use."""

    def __init__(self, db: Database, run: int) -> None:
        self._db, self._run = db, run
        self._known: Counts = ()
        self._failed = 0
        self._due = 0.0
        self._over = False

    async def look(self, failed: int, now: float, *, ended: bool) -> Counts:
        """The most frequent reasons as far as they are known. failed: items that failed so far.
        now: seconds since the epoch. ended: the run is over, so that they change no more."""
        last = ended and not self._over
        if failed == self._failed or not (last or now >= self._due):
            return self._known
        self._over = ended
        began = time.monotonic()
        try:
            run = await runs.get(self._db, self._run)
            self._known = await runs.failures(self._db, run, within=AT_END if last else WITHIN)
            self._failed = failed
        except (DatabaseError, TimeoutError) as error:  # the looks themselves tell of an outage
            log.warning("why items of run %d failed is not counted now: %s", self._run, error)
        self._due = now + max(EVERY, RARER * (time.monotonic() - began))
        return self._known
