"""The clock of a simulated run: pods that ask, send, hear back, and talk to the pool.

One heap of (time, number, handler, subject); a handler may push further ones. The number keeps
events of the same instant in the order they were made, so a seed gives the same run every time.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from random import Random
from typing import Any

from penstock.rate.bounds import CallReport, Outcome
from penstock.simulate.backend import Contended
from penstock.virtual.fleet import Client, Fleet, FleetFactory, setting_of
from penstock.virtual.provider import REFUSAL, Bills, VirtualProvider
from penstock.virtual.scenario import Scenario
from penstock.virtual.tape import Tape

START_SPREAD = 0.5
"""Seconds within which the pods of a job start; the first one starts at once."""
URGENT_SYNC = 0.01
"""Seconds a write to the pool takes when a pod has something to say at once."""
NOTIFY = 0.1
"""Seconds until the other pods have heard of it."""
_SOON = 1e-6  # a client that says "in no time" must not stop the clock


class _Pod:
    """One pod: its client, its calls in flight, and when it is going to ask again."""

    __slots__ = ("again", "client", "in_flight", "job", "number", "syncs", "wake_at")

    def __init__(self, number: int, job: int) -> None:
        self.number = number
        self.job = job
        self.client: Client | None = None  # None before it starts and after its end
        self.in_flight = 0
        self.wake_at = math.inf
        self.again: list[tuple[int, int]] = []  # costs of refused calls, to be sent first
        self.syncs = 0  # number of the sync that is due; earlier ones were overtaken


def run(scenario: Scenario, factory: FleetFactory, seed: int) -> Tape:
    """One run from its start to its end; the same seed gives the same tape."""
    return _Run(scenario, factory, seed).to_the_end()


class _Run:
    def __init__(self, scenario: Scenario, factory: FleetFactory, seed: int) -> None:
        self._scenario = scenario
        self._rng = Random(f"{seed} calls")
        self._jitter = Random(f"{seed} pods").uniform
        provider = scenario.provider
        self._provider = VirtualProvider(provider, self._rng)
        self._bills = Bills(scenario.tokens, self._rng) if provider.tokens_per_minute else None
        self._mu = math.log(provider.latency.median)
        self._sigma = provider.latency.sigma
        shared = provider.slots or provider.contention
        self._backend = Contended(provider.slots, provider.contention) if shared else None
        self._at_work: dict[int, tuple[_Pod, CallReport]] = {}
        self._ticks = 0
        self._fleet: Fleet = factory(setting_of(scenario, seed))
        self._pods = [_Pod(number, job) for number, job in enumerate(scenario.job_of_pod)]
        self._left = math.inf if scenario.items is None else scenario.items
        self._heap: list[tuple[float, int, Callable[[float, Any], None], Any]] = []
        self._number = itertools.count().__next__
        self.tape = Tape(scenario)

    def to_the_end(self) -> Tape:
        """Handle one event after another until the time is up or the items are through."""
        self._schedule()
        heap, pop, end, tape = self._heap, heapq.heappop, self._scenario.duration, self.tape
        while heap:
            now, _, handle, subject = pop(heap)
            if now > end or tape.finished_at is not None:
                break
            handle(now, subject)
        return tape

    def _schedule(self) -> None:
        first = set()
        for pod in self._pods:
            job = self._scenario.all_jobs[pod.job]
            late = self._jitter(0, START_SPREAD) if pod.job in first else 0.0
            first.add(pod.job)
            self._at(job.start + late, self._start, pod)
            if job.end is not None:
                self._at(job.end, self._leave, pod)
        for kill in self._scenario.kill:
            if kill.pod < len(self._pods):
                self._at(kill.at, self._kill, self._pods[kill.pod])
        self._at(0.0, self._sample, None)

    def _at(self, when: float, handler: Callable[[float, Any], None], subject: Any) -> None:
        heapq.heappush(self._heap, (when, self._number(), handler, subject))

    # Pods come, talk and go.

    def _start(self, now: float, pod: _Pod) -> None:
        pod.client = self._fleet.join(pod.number, now)
        self._sync(now, (pod, pod.syncs))

    def _leave(self, now: float, pod: _Pod) -> None:
        if pod.client is not None:
            pod.client = None
            self._fleet.leave(pod.number, now)

    def _kill(self, now: float, pod: _Pod) -> None:  # noqa: ARG002
        pod.client = None

    def _sync(self, now: float, due: tuple[_Pod, int]) -> None:
        pod, number = due
        if pod.client is None or number != pod.syncs:
            return
        pod.syncs += 1
        pause = 1.0
        if not self._away(now):
            pause = self._fleet.sync(pod.number, pod.client, now)
        self._at(now + pause * self._jitter(0.95, 1.05), self._sync, (pod, pod.syncs))
        self._pump(now, pod)

    def _tell_the_others(self, now: float, pod: _Pod) -> None:
        self._sync(now, (pod, pod.syncs))
        if not self._away(now):
            self._at(now + NOTIFY, self._told, pod)

    def _told(self, now: float, by: _Pod) -> None:
        for pod in self._pods:
            if pod is not by:
                self._sync(now, (pod, pod.syncs))

    def _away(self, now: float) -> bool:
        return any(gap.from_ <= now < gap.to for gap in self._scenario.database_away)

    def _sample(self, now: float, _: None) -> None:
        self.tape.sample(self._fleet.learned(), sum(pod.in_flight for pod in self._pods))
        self._at(now + 1.0, self._sample, None)

    # Calls go out and come back.

    def _wake(self, now: float, pod: _Pod) -> None:
        if pod.wake_at == now:
            pod.wake_at = math.inf
            self._pump(now, pod)

    def _pump(self, now: float, pod: _Pod) -> None:
        """Send whatever may go now; ask again when the client says so."""
        client = pod.client
        if client is None:
            return
        wait = client.wait
        while self._left > 0:
            pause = wait(now, pod.in_flight)
            if pause is None:
                return
            if pause > 0:
                when = now + max(pause, _SOON)
                if when < pod.wake_at or pod.wake_at <= now:
                    pod.wake_at = when
                    self._at(when, self._wake, pod)
                return
            self._send(now, pod, client)

    def _send(self, now: float, pod: _Pod, client: Client) -> None:
        self._left -= 1
        estimate = real = 0
        if self._bills is not None:
            estimate, real = pod.again.pop() if pod.again else self._bills.draw()
        client.sent(now, estimate, self._jitter(0.9, 1.1))
        pod.in_flight += 1
        passed, retry_after, headers = self._provider.admit(now, real)
        if not passed:
            self.tape.refused(now, pod.job)
            if self._bills is not None:
                pod.again.append((estimate, real))
            report = CallReport(Outcome.THROTTLED, now, retry_after, headers, estimate)
            self._at(now + REFUSAL, self._refused, (pod, report))
            return
        self.tape.accepted(now, pod.job, real)
        used = real if self._bills is not None else None
        report = CallReport(Outcome.OK, now, None, headers, estimate, used)
        work = self._rng.lognormvariate(self._mu, self._sigma)
        if self._backend is None:
            self._at(now + work, self._answered, (pod, report))
        else:
            call = self._number()
            self._at_work[call] = (pod, report)
            self._backend.start(now, call, work)
            self._arm()

    def _refused(self, now: float, call: tuple[_Pod, CallReport]) -> None:
        pod, report = call
        self._left += 1
        client = pod.client
        if client is None:
            return
        client.ended(now, report, pod.in_flight)
        pod.in_flight -= 1
        if self._fleet.urgent(client):
            self._at(now + URGENT_SYNC, self._tell_the_others, pod)
        self._pump(now, pod)

    def _answered(self, now: float, call: tuple[_Pod, CallReport]) -> None:
        pod, report = call
        client = pod.client
        if client is None:
            return
        self.tape.answered(now, pod.job)
        client.ended(now, report, pod.in_flight)
        pod.in_flight -= 1
        if self._fleet.urgent(client):
            self._at(now + URGENT_SYNC, self._tell_the_others, pod)
        self._pump(now, pod)

    def _arm(self) -> None:
        """Look at the backend again when its next call ends, as things stand now."""
        assert self._backend is not None
        end = self._backend.next_end()
        self._ticks += 1
        if end is not None:
            self._at(end, self._tick, self._ticks)

    def _tick(self, now: float, number: int) -> None:
        assert self._backend is not None
        if number != self._ticks:
            return
        for call in self._backend.finish(now):
            self._answered(now, self._at_work.pop(call))
        self._arm()
