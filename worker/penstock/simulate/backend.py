"""How long the work behind an answer takes: drawn latencies, a number of slots, contention.

`Contended` is the model, pure and in virtual time; `Backend` lets real calls wait for it.
Calls share the backend evenly. With `contention` its total speed follows the universal
scalability law, X(n) = n / (1 + s(n-1) + k·n(n-1)): it grows more and more slowly up to the stated
number of concurrent calls and falls beyond, as a database or a GPU that thrashes does.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from random import Random

from penstock.simulate.options import SimulatorConfig

_SERIAL = 0.05  # the share of the work that never runs side by side


def draw_latency(config: SimulatorConfig, rng: Random) -> float:
    """Seconds the next call would take if it were alone."""
    seconds = config.latency
    if seconds and config.sigma:
        seconds *= rng.lognormvariate(0.0, config.sigma)
    if config.straggler_share and rng.random() < config.straggler_share:
        seconds *= config.straggler_factor
    return seconds


class Contended:
    """Calls that share a backend, in virtual time.

    A call asks for seconds of work; all running calls advance at the same `speed`. Because they
    do, one common progress clock says for each of them when it is done.
    """

    def __init__(self, slots: int, contention: float) -> None:
        self._slots = slots
        self._coherency = (1 - _SERIAL) / contention**2 if contention else 0.0
        self._serial = _SERIAL if contention else 0.0
        self._now = 0.0
        self._progress = 0.0
        self._running: list[tuple[float, int]] = []  # heap of (progress at its end, call)
        self._queue: deque[tuple[float, int]] = deque()  # (work, call), first come, first served

    def speed(self, running: int) -> float:
        """Seconds of work each of so many running calls gets done in a second."""
        others = running - 1
        return 1 / (1 + self._serial * others + self._coherency * running * others)

    def start(self, now: float, call: int, work: float) -> None:
        """A call arrives; it queues when all slots are taken."""
        self._advance(now)
        if self._slots and len(self._running) >= self._slots:
            self._queue.append((work, call))
        else:
            heapq.heappush(self._running, (self._progress + work, call))

    def next_end(self) -> float | None:
        """When the next running call ends if nothing else happens; None when none runs."""
        if not self._running:
            return None
        left = self._running[0][0] - self._progress
        return self._now + max(0.0, left) / self.speed(len(self._running))

    def finish(self, now: float) -> list[int]:
        """The calls that have ended by now; their slots go to those that queue."""
        ended: list[int] = []
        while (end := self.next_end()) is not None and end <= now:
            self._advance(end)
            ended.append(heapq.heappop(self._running)[1])
            if self._queue:
                work, call = self._queue.popleft()
                heapq.heappush(self._running, (self._progress + work, call))
        self._advance(now)
        return ended

    def _advance(self, now: float) -> None:
        if now > self._now:
            if self._running:
                self._progress += (now - self._now) * self.speed(len(self._running))
            self._now = now


class Backend:
    """Lets calls wait as long as their work takes in this event loop."""

    def __init__(self, config: SimulatorConfig) -> None:
        shared = bool(config.slots or config.contention)
        self._model = Contended(config.slots, config.contention) if shared else None
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._calls = 0
        self._timer: asyncio.TimerHandle | None = None

    async def work(self, seconds: float) -> None:
        """Return when a call that takes so long alone is done."""
        if self._model is None:
            if seconds:
                await asyncio.sleep(seconds)
            return
        loop = asyncio.get_running_loop()
        self._collect()
        self._calls += 1
        done = self._waiting[self._calls] = loop.create_future()
        self._model.start(loop.time(), self._calls, seconds)
        self._arm()
        await done

    def close(self) -> None:
        """Let go of the timer; calls that still wait are the server's to cancel."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self._collect()
        self._arm()

    def _collect(self) -> None:
        assert self._model is not None
        for call in self._model.finish(asyncio.get_running_loop().time()):
            done = self._waiting.pop(call)
            if not done.done():
                done.set_result(None)

    def _arm(self) -> None:
        assert self._model is not None
        self.close()
        end = self._model.next_end()
        if end is not None:
            self._timer = asyncio.get_running_loop().call_at(end, self._tick)
