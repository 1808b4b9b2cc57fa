"""Kept answers: made once, waited for, forgotten oldest first."""

from __future__ import annotations

import asyncio

from penstock.simulate.idempotency import Replays


async def test_who_comes_second_gets_what_the_first_made() -> None:
    replays: Replays[str] = Replays()
    assert await replays.earlier("k") is None
    second = asyncio.create_task(replays.earlier("k"))
    await asyncio.sleep(0)
    assert not second.done()
    replays.keep("k", "answer")
    assert await second == "answer"
    assert await replays.earlier("k") == "answer"


async def test_when_the_first_fails_exactly_one_of_the_others_tries() -> None:
    replays: Replays[str] = Replays()
    assert await replays.earlier("k") is None
    others = [asyncio.create_task(replays.earlier("k")) for _ in range(3)]
    await asyncio.sleep(0)
    replays.keep("k", None)
    done, waiting = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [None]
    replays.keep("k", "answer")
    assert await asyncio.gather(*waiting) == ["answer", "answer"]


async def test_a_second_that_gives_up_takes_nothing_from_the_others() -> None:
    replays: Replays[str] = Replays()
    assert await replays.earlier("k") is None
    gone = asyncio.create_task(replays.earlier("k"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    replays.keep("k", "answer")
    assert await replays.earlier("k") == "answer"


async def test_the_oldest_are_forgotten() -> None:
    replays: Replays[str] = Replays(size=2)
    for key in ("a", "b"):
        assert await replays.earlier(key) is None
        replays.keep(key, key)
    assert await replays.earlier("c") is None
    assert await replays.earlier("b") == "b"
    assert await replays.earlier("a") is None


async def test_forgetting_one_in_the_making_lets_those_who_wait_try() -> None:
    replays: Replays[str] = Replays(size=1)
    assert await replays.earlier("a") is None
    waiting = asyncio.create_task(replays.earlier("a"))
    await asyncio.sleep(0)
    assert await replays.earlier("b") is None
    assert await waiting is None
    replays.keep("b", "too late to be kept")
    assert await replays.earlier("b") is None
