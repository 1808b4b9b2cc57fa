"""The parts that functions are called with: sizes of calls, frames, messages, deadlines."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.functions import Permanent, Throttled
from penstock.work.functions import machine, outcome
from penstock.work.functions.chunk import GROWTH, Chunk
from penstock.work.functions.current import Current
from penstock.work.functions.frames import MOST, is_theirs, short, told
from penstock.work.functions.threads import in_threads
from penstock.work.functions.wire import frame, frames
from penstock.work.types import Failure, FailureKind, Output, Usage

ROOTS = [str(Path(__file__).parent)]


@given(st.lists(st.floats(1e-7, 100.0), max_size=50), st.integers(1, 500))
def test_a_call_is_never_empty_nor_too_large_and_grows_by_steps(
    seconds: list[float], most: int
) -> None:
    chunk = Chunk(0.1, most)
    for each in seconds:
        before = chunk.size
        chunk.ended(before, before * each)
        assert 1 <= chunk.size <= min(most, GROWTH * before)
        if each >= 0.1:
            assert chunk.size == 1


def test_quick_items_share_a_call_and_slow_ones_do_not() -> None:
    chunk = Chunk(0.1, 100)
    for _ in range(5):
        chunk.ended(chunk.size, chunk.size * 0.001)
    assert chunk.size == 100
    chunk.ended(chunk.size, 100 * 0.05)
    assert chunk.size == 2
    chunk.singly()
    chunk.ended(1, 0.0001)
    assert chunk.size == 1


@given(st.lists(st.binary(max_size=300)), st.lists(st.integers(1, 64), max_size=200))
def test_messages_come_out_whole_however_they_are_cut(
    messages: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(map(frame, messages))
    buffer, found, at = bytearray(), [], 0
    for cut in [*cuts, len(data)]:
        buffer += data[at : at + cut]
        at += cut
        found += frames(buffer)
    assert found == messages
    assert not buffer


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def answered(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Exception:
    """As httpx, openai and requests raise them."""
    error = RuntimeError("refused")
    response = SimpleNamespace(status_code=status, headers=headers or {}, content=body)
    error.response = response  # type: ignore[attr-defined]
    return error


def by_aiohttp(status: int) -> Exception:
    error = RuntimeError("refused")
    error.status = status  # type: ignore[attr-defined]
    error.headers = {"Retry-After": "7"}  # type: ignore[attr-defined]
    return error


def chained(inner: BaseException) -> BaseException:
    try:
        try:
            raise inner
        except BaseException as error:
            raise RuntimeError("all went wrong") from error
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "kind", "reason", "retry_after"),
    [
        (Throttled("slowly", retry_after=3), FailureKind.THROTTLED, "throttled", 3.0),
        (Throttled(), FailureKind.THROTTLED, "throttled", None),
        (Permanent("no such customer"), FailureKind.REJECTED, "no such customer", None),
        (Permanent(), FailureKind.REJECTED, "Permanent", None),
        (ValueError("x"), FailureKind.ERROR, "ValueError", None),
        (SystemExit(3), FailureKind.ERROR, "sys.exit", None),
        (KeyboardInterrupt(), FailureKind.ERROR, "KeyboardInterrupt", None),
        (answered(429, {"Retry-After": "5"}), FailureKind.THROTTLED, "HTTP 429", 5.0),
        (answered(503), FailureKind.OVERLOADED, "HTTP 503", None),
        (answered(404), FailureKind.REJECTED, "HTTP 404", None),
        (answered(401), FailureKind.ACCESS, "HTTP 401", None),
        (by_aiohttp(429), FailureKind.THROTTLED, "HTTP 429", 7.0),
    ],
)
def test_what_an_exception_means(
    error: BaseException, kind: FailureKind, reason: str, retry_after: float | None
) -> None:
    failure = outcome.failure(raised(error), ROOTS)
    assert (failure.kind, failure.reason, failure.retry_after) == (kind, reason, retry_after)
    assert failure.reached


@pytest.mark.parametrize("inner", [ConnectionRefusedError(111), socket.gaierror(-2)])
def test_where_nobody_listens_nothing_was_tried(inner: BaseException) -> None:
    assert not outcome.failure(chained(inner), ROOTS).reached


def test_a_message_hides_secrets_and_has_a_length() -> None:
    failure = outcome.failure(
        raised(ValueError("k3y" + 9_000 * "x")), ROOTS, lambda text: text.replace("k3y", "***")
    )
    assert failure.message.startswith("ValueError: ***xxx")
    assert len(failure.message) < 2_100


def test_frames_are_theirs_and_the_innermost_of_many() -> None:
    def deeper(left: int) -> None:
        if not left:
            raise LookupError
        deeper(left - 1)

    with pytest.raises(LookupError) as caught:
        deeper(30)
    lines = told(caught.value, ROOTS).splitlines()
    assert len(lines) == MOST
    assert all("test_functions_parts.py:" in line for line in lines)
    assert lines[-1].endswith("raise LookupError")


@pytest.mark.parametrize(
    ("value", "text"),
    [({"a": 1}, '{"a":1}'), ({1: 2}, '{"1":2}'), (None, "null"), ("ä", '"ä"'), (2**70, str(2**70))],
)
def test_what_a_function_returns_is_json(value: Any, text: str) -> None:
    assert outcome.output(value) == Output(value, text)


@pytest.mark.parametrize("value", [b"x", object(), {1, 2}, [object()]])
def test_what_is_no_json_fails_its_item(value: Any) -> None:
    failure = outcome.output(value)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.reason) == (FailureKind.REJECTED, "output is not JSON")


async def test_waiting_for_the_limit_does_not_count_against_the_deadline() -> None:
    deadline = asyncio.timeout(10.0)
    async with deadline:
        current = Current("set/id/print", deadline)
        until = deadline.when()
        assert until is not None
        with current.waiting(), current.waiting():
            assert deadline.when() is None
            await asyncio.sleep(0.05)
        later = deadline.when()
        assert later is not None
        assert later >= until + 0.05


async def test_calls_of_an_item_have_keys_of_their_own_that_stay() -> None:
    current = Current("set/id/" + 300 * "f", asyncio.timeout(None))
    keys = [current.key("POST", "http://h", body) for body in (b"a", b"b", b"a")]
    assert keys[0] == keys[2] != keys[1]
    assert len(keys[0]) <= 255
    current.used(Usage(1, 2))
    current.used(Usage(3, 4))
    assert current.usage == Usage(4, 6)


async def test_items_of_a_thread_behind_one_that_overstays_go_on() -> None:
    never = threading.Event()

    def judge(item: object) -> Output | Failure:
        if item == 1:
            never.wait()
        return Output(item)

    results = await in_threads(judge, [0, 1, 2], 0.2)
    never.set()
    assert results[0] == Output(0)
    assert isinstance(results[1], Failure)
    assert results[1].kind is FailureKind.TIMEOUT
    assert results[2] == Output(2)


def test_the_machine_has_something() -> None:
    assert machine.cores() >= 1
    assert machine.memory() > 2**26


@pytest.mark.parametrize(
    ("path", "theirs"),
    [
        ("/job/convert.py", True),
        ("/job/parts/page.py", True),
        ("/job/.venv/lib/site-packages/pypdf/page.py", False),
        ("/job/.venv/lib/site-packages/mine/page.py", True),
        ("/elsewhere/helper.py", True),
        ("<frozen runpy>", False),
    ],
)
def test_the_longest_folder_tells_whose_code_it_is(
    path: str, theirs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = "/job/.venv/lib/site-packages"
    monkeypatch.setattr("penstock.work.functions.frames._NOT_THEIRS", (packages, "/usr/lib"))
    code = compile("", path, "exec")
    assert is_theirs(code, ["/job", f"{packages}/mine"]) is theirs


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/job/convert.py", "convert.py"),
        ("/job/parts/page.py", "parts/page.py"),
        ("/job/.venv/lib/mine/page.py", "mine/page.py"),
        ("/elsewhere/helper.py", "/elsewhere/helper.py"),
    ],
)
def test_paths_are_told_as_they_are_known(
    path: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", ["/job", *sys.path])
    assert short(path, ["/job", "/job/.venv/lib/mine"]) == shown
