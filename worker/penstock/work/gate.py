"""The gate: what every call passes before it goes out. Puts the rate decisions into effect.

`Member` decides (pure); the gate waits, counts what is in flight and reports back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from penstock.rate.bounds import CallReport
from penstock.rate.explain import Hold
from penstock.rate.member import Member


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one call. sent_at: by the gate's clock. tokens: what was reserved."""

    sent_at: float
    tokens: int


class Admission(Protocol):
    """What lets the work on an item begin: the gate itself where that is one call."""

    @property
    def in_flight(self) -> int: ...
    @property
    def limit(self) -> int:
        """How many may be in flight now; 0 without a share."""
        ...

    @property
    def held(self) -> Hold:
        """What the last one that had to wait waited for."""
        ...

    async def acquire(self, tokens: int) -> Permit: ...
    def release(self, permit: Permit, report: CallReport | None) -> None: ...


class Gate:
    """Admission of calls, one at a time and in order."""

    def __init__(self, member: Member, clock: Callable[[], float], hurry: Callable[[], None]):
        """clock: the fleet's time, in seconds. hurry: called when the pool has to hear at once."""
        self.member = member
        self.in_flight = 0
        self._clock, self._hurry = clock, hurry
        self._changed = asyncio.Event()
        member.changed = self._changed.set
        self._turn = asyncio.Lock()

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return self.member.limit

    @property
    def held(self) -> Hold:
        """What the last call that had to wait waited for."""
        return self.member.held

    async def acquire(self, tokens: int) -> Permit:
        """Wait until a call that needs `tokens` may go, and let it."""
        async with self._turn:
            while True:
                now = self._clock()
                seconds = self.member.wait(now, self.in_flight)
                if seconds is not None and seconds <= 0:
                    break
                self._changed.clear()
                try:
                    # A pause may be cut short by a limit that rises: look again once a second.
                    async with asyncio.timeout(1.0 if seconds is None else min(seconds, 1.0)):
                        await self._changed.wait()
                except TimeoutError:
                    pass
            self.in_flight += 1
            self.member.sent(now, tokens, 1.0)
            return Permit(now, tokens)

    def release(self, permit: Permit, report: CallReport | None) -> None:
        """The call ended; None when it was cancelled and says nothing about the far side."""
        if report is None:
            self.member.withdrawn(permit.sent_at)
        else:
            self.member.ended(self._clock(), report, self.in_flight)
            if self.member.urgent:
                self._hurry()
        self.in_flight -= 1
        self._changed.set()


class Slots:
    """Admission of items whose calls pass the gate one by one: so many at a time."""

    def __init__(self, gate: Gate, count: int) -> None:
        self.in_flight = 0
        self._gate, self._count = gate, count
        self._freed = asyncio.Event()

    @property
    def limit(self) -> int:
        """Items that may be in flight now; 0 while other workers do it all."""
        return self._count if self._gate.limit else 0

    @property
    def held(self) -> Hold:
        """What their calls wait for."""
        return self._gate.held

    async def acquire(self, tokens: int) -> Permit:  # noqa: ARG002
        """Wait for a free slot."""
        while self.in_flight >= self._count:
            self._freed.clear()
            await self._freed.wait()
        self.in_flight += 1
        return Permit(0.0, 0)

    def release(self, permit: Permit, report: CallReport | None) -> None:  # noqa: ARG002
        """The item's attempt ended."""
        self.in_flight -= 1
        self._freed.set()
