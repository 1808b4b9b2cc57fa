"""The work queue: nothing that was marked is lost, no key is worked on twice at once."""

from __future__ import annotations

import asyncio
import contextlib

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.errors import PenstockError
from penstock_operator.queue import FIRST_DELAY, LONGEST_DELAY, Due, Queue

KEYS = st.sampled_from("abcde")
SECONDS = st.floats(0, 100)


class DueMachine(RuleBasedStateMachine):
    """Marks, takes and ends in any order, beside the plainest model of what has to be owed."""

    def __init__(self) -> None:
        super().__init__()
        self.due: Due[str] = Due()
        self.now = 0.0
        self.owed: dict[str, float] = {}
        self.busy: set[str] = set()

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=KEYS, delay=SECONDS)
    def mark(self, key: str, delay: float) -> None:
        at = self.now + delay
        self.due.mark(key, at)
        self.owed[key] = min(at, self.owed.get(key, at))

    @rule()
    def take(self) -> None:
        key = self.due.take(self.now)
        ready = {one for one, at in self.owed.items() if at <= self.now} - self.busy
        if key is None:
            assert not ready
            return
        assert key in ready
        assert self.owed[key] == min(self.owed[one] for one in ready)
        del self.owed[key]
        self.busy.add(key)

    @rule(key=KEYS, again=st.none() | SECONDS)
    def done(self, key: str, again: float | None) -> None:
        if key not in self.busy:
            return
        self.busy.remove(key)
        self.due.done(key, self.now, again)
        if again is not None:
            at = self.now + again
            self.owed[key] = min(at, self.owed.get(key, at))

    @rule(key=KEYS)
    def failed(self, key: str) -> None:
        if key not in self.busy:
            return
        self.busy.remove(key)
        at = self.now + self.due.failed(key, self.now)
        self.owed[key] = min(at, self.owed.get(key, at))

    @invariant()
    def the_next_time_is_right(self) -> None:
        free = [at for key, at in self.owed.items() if key not in self.busy]
        assert self.due.next() == min(free, default=None)
        assert len(self.due) == len(self.owed.keys() | self.busy)


TestDue = DueMachine.TestCase


@given(st.integers(1, 100))
def test_failures_in_a_row_wait_longer_and_longer_up_to_a_minute(count: int) -> None:
    due: Due[str] = Due()
    now, delays = 0.0, []
    for _ in range(count):
        due.mark("a", now)
        assert due.take(now) == "a"
        delays.append(due.failed("a", now))
        now += delays[-1]
    assert delays[0] == FIRST_DELAY
    assert delays == sorted(delays)
    assert delays[-1] == min(LONGEST_DELAY, FIRST_DELAY * 2 ** (count - 1))


def test_a_success_ends_the_row() -> None:
    due: Due[str] = Due()

    def fail() -> float:
        due.mark("a", 0.0)
        assert due.take(0.0) == "a"
        return due.failed("a", 0.0)

    assert [fail(), fail(), fail()] == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY]
    due.mark("a", 0.0)
    assert due.take(0.0) == "a"
    due.done("a", 0.0, None)
    assert fail() == FIRST_DELAY


async def run(queue: Queue[str], workers: int, one: object, enough: asyncio.Event) -> None:
    """Workers until there was enough."""

    async def allowed() -> None:
        return None

    tasks = [
        asyncio.create_task(queue.work(one, allowed))  # type: ignore[arg-type]
        for _ in range(workers)
    ]
    try:
        async with asyncio.timeout(10):
            await enough.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_what_is_marked_while_it_is_worked_on_is_worked_on_again_afterwards() -> None:
    queue: Queue[str] = Queue()
    seen: list[str] = []
    inside = 0
    enough = asyncio.Event()

    async def one(key: str) -> None:
        nonlocal inside
        inside += 1
        assert inside == 1, "the same key twice at once"
        if not seen:
            queue.mark(key)
            queue.mark(key)
        await asyncio.sleep(0)
        seen.append(key)
        inside -= 1
        if len(seen) == 2:
            enough.set()

    queue.mark("a")
    await run(queue, 4, one, enough)
    assert seen == ["a", "a"]
    assert len(queue) == 0


async def test_different_keys_are_worked_on_side_by_side() -> None:
    queue: Queue[str] = Queue()
    together = asyncio.Barrier(3)
    enough = asyncio.Event()

    async def one(_: str) -> None:
        await together.wait()
        enough.set()

    for key in "abc":
        queue.mark(key)
    await run(queue, 3, one, enough)


async def test_what_is_due_later_wakes_a_worker_by_itself() -> None:
    queue: Queue[str] = Queue()
    enough = asyncio.Event()
    seen: list[str] = []

    async def one(key: str) -> float | None:
        seen.append(key)
        if len(seen) == 3:
            enough.set()
            return None
        return 0.01

    queue.mark("a", 0.01)
    await run(queue, 2, one, enough)
    assert seen == ["a"] * 3


async def test_a_failure_is_tried_again_and_harms_no_other_key() -> None:
    now = 0.0
    queue: Queue[str] = Queue(lambda: now)
    tried: list[str] = []
    enough = asyncio.Event()

    async def one(key: str) -> None:
        nonlocal now
        tried.append(key)
        if key == "good":
            now += LONGEST_DELAY  # the back-off of the other one is over
        elif tried.count("bad") < 3:
            queue.mark("good")
            raise PenstockError("not yet")
        else:
            enough.set()

    queue.mark("bad")
    await run(queue, 1, one, enough)
    assert tried == ["bad", "good", "bad", "good", "bad"]


async def test_a_worker_waits_until_it_may_act() -> None:
    queue: Queue[str] = Queue()
    may, worked = asyncio.Event(), asyncio.Event()

    async def one(_: str) -> None:
        assert may.is_set()
        worked.set()

    queue.mark("a")
    task = asyncio.create_task(queue.work(one, may.wait))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not worked.is_set()
    may.set()
    async with asyncio.timeout(10):
        await worked.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
