"""Functions as users bring them; the tests copy this module beside a manifest."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy

from penstock import Context, Permanent, Throttled

_throttled: set[int] = set()
_kept: list[bytes] = []
model: list[str] = []


def double(item: dict[str, Any]) -> int:
    return int(item["n"]) * 2


async def double_later(item: dict[str, Any]) -> int:
    await asyncio.sleep(0)
    return int(item["n"]) * 2


def scaled(item: dict[str, Any], *, factor: int) -> int:
    return int(item["n"]) * factor


def load_model() -> None:
    model.append("loaded")


def with_model(item: dict[str, Any]) -> dict[str, Any]:
    return {"loaded": len(model), "pid": os.getpid(), "n": item["n"]}


def no_model() -> None:
    raise RuntimeError("no graphics card here")


def deadly(item: dict[str, Any]) -> int:
    """What a process may do to itself; the others are fine."""
    match item["n"]:
        case 100:
            ctypes.string_at(0)
        case 300:
            os._exit(3)
        case 500:
            kept = []
            while True:
                kept.append(b"x" * 10_000_000)
        case 700:
            while True:
                pass
        case 900:
            sys.exit(5)
    return int(item["n"])


def leaks(item: dict[str, Any]) -> int:
    _kept.append(b"x" * 4_000_000)
    return int(item["n"])


async def moody(item: dict[str, Any]) -> Any:
    """One way to end for each item."""
    number = item["n"]
    if number == 0 and number not in _throttled:
        _throttled.add(number)
        raise Throttled("slowly", retry_after=0.1)
    if number == 1:
        raise Permanent("no such customer")
    if number == 2:
        await asyncio.sleep(60)
    if number == 3:
        sys.exit(4)
    if number == 4:
        return parse("x17")
    if number == 5:
        return b"bytes"
    if number == 6:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)
    if number == 7:
        return numpy.arange(3, dtype="float32")
    if number == 8:
        raise KeyboardInterrupt
    print("what functions print goes to the log")
    return number


def parse(text: str) -> float:
    return float(text)


def slow_thread(item: dict[str, Any]) -> int:
    if item["n"] == 3:
        time.sleep(30)
    return int(item["n"])


async def blocks(item: dict[str, Any]) -> int:
    await asyncio.sleep(0.01)
    if item["n"] == 3:
        compute(0.8)
    return int(item["n"])


def compute(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


async def never_comes_back(item: dict[str, Any]) -> int:
    await asyncio.sleep(0.01)
    while item["n"] == 3:
        pass
    return int(item["n"])


async def asks(item: dict[str, Any], ctx: Context, *, url: str) -> dict[str, Any]:
    """Two calls, one of them through the OpenAI client, and some computing."""
    answer = await ctx.http.post(f"{url}/items", json={"n": item["n"]})
    answer.raise_for_status()
    said = await ctx.openai.chat.completions.create(
        model="m", messages=[{"role": "user", "content": f"{item['n']}"}]
    )
    return {
        "double": await ctx.process(double, item),
        "id": ctx.id,
        "key": ctx.idempotency_key,
        "said": bool(said.choices[0].message.content),
    }


async def crashes_elsewhere(item: dict[str, Any], ctx: Context) -> int:
    return await ctx.process(deadly, {"n": 300 if item["n"] == 3 else item["n"]})


async def fails_elsewhere(item: dict[str, Any], ctx: Context) -> float:
    return await ctx.process(parse, f"x{item['n']}")


async def reads(item: dict[str, Any], ctx: Context) -> int:
    return len(await ctx.read(item["path"]))


def spins(item: dict[str, Any]) -> int:  # noqa: ARG001
    """Until it is killed."""
    with Path("spinning").open("a") as file:
        file.write(f"{os.getpid()}\n")
    while True:
        pass


async def too_much_elsewhere(item: dict[str, Any], ctx: Context) -> int:
    return await ctx.process(grow, item["n"])


def grow(number: int) -> int:
    kept = []
    while number == 3:
        kept.append(b"x" * 10_000_000)
    return number


async def many_at_once(item: dict[str, Any], ctx: Context, *, url: str) -> int:
    """One of its calls fails at once, the others still wait for the gate."""
    answers = await asyncio.gather(*(_page(ctx, url, item["n"], page) for page in range(6)))
    return len(answers)


async def _page(ctx: Context, url: str, number: int, page: int) -> int:
    if page == 0 and number == 3:
        raise Permanent("a page is missing")
    answer = await ctx.http.post(f"{url}/items", json={"n": number, "page": page})
    answer.raise_for_status()
    return page


async def all_hang(item: dict[str, Any], ctx: Context) -> int:
    if item["n"] == 1:
        await asyncio.gather(*(ctx.process(hang) for _ in range(5)))
    return await ctx.process(double, item)


def hang() -> None:
    while True:
        pass


def leaves_something(item: dict[str, Any]) -> int:
    """A process of its own that inherits what it can, and outlives it."""
    if item["n"] == 3:
        with Path("left").open("a") as file:
            left = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")
            file.write(f"{left}\n")
        os.kill(os.getpid(), 9)
    return int(item["n"])


async def exits_in_a_task(item: dict[str, Any]) -> int:
    if item["n"] == 3:
        await asyncio.gather(_exits())
    return int(item["n"])


async def _exits() -> None:
    sys.exit(0)


async def holds_the_lock(item: dict[str, Any]) -> int:
    """Python's own, which no other thread gets meanwhile."""
    await asyncio.sleep(0.01)
    if item["n"] == 3:
        ctypes.PyDLL(None).sleep(600)
    return int(item["n"])


async def will_not_be_cancelled(item: dict[str, Any]) -> int:
    while item["n"] == 3:
        try:
            Path("waiting").touch()  # noqa: ASYNC240
            await asyncio.sleep(600)
        except BaseException:
            continue
    return int(item["n"])


async def changes_its_item(item: dict[str, Any]) -> int:
    number = int(item.pop("n"))
    if number not in _throttled:
        _throttled.add(number)
        raise ConnectionResetError("once")
    return number


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("it has no words")


def says_nothing(item: dict[str, Any]) -> int:
    if item["n"] == 1:
        raise Unsayable
    if item["n"] == 2:
        raise Throttled(retry_after="soon")  # type: ignore[arg-type]
    return int(item["n"])


def needs_arguments(path: str) -> None:
    model.append(path)


def goes_elsewhere(item: dict[str, Any]) -> str:
    if item["n"] == 1:
        os.chdir("/")
    with Path("items.jsonl").open() as file:
        return file.readline()
