"""What became of a function's call: its value as JSON, or its exception as a `Failure`. Pure."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from penstock import jsons, web
from penstock.functions import Permanent, Throttled
from penstock.text import storable
from penstock.work import failures
from penstock.work.functions.frames import told
from penstock.work.types import Failure, FailureKind, Output

THERE = "penstock_frames"
"""Attribute of an exception from another process: its frames there."""
NOT_JSON = "output is not JSON"
_MOST_TOLD = 2_000
_MOST_REASON = 120
_CHAIN = 8


class ProcessEnded(Exception):
    """A process ended under the function it ran. failure: why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.told)
        self.failure = failure


def output(value: Any) -> Output | Failure:
    """A returned value, with its JSON. Arrays of numpy, dataclasses and dates are taken as such."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    except orjson.JSONEncodeError as error:
        try:
            text = jsons.dumps(value)
        except (ValueError, RecursionError):
            if isinstance(value, bytes | bytearray):
                message = "it returned bytes: return text, or base64.b64encode(…).decode()"
                return failures.rejected(NOT_JSON, message)
            return failures.rejected(NOT_JSON, str(error))
    return Output(value, text)


def failure(
    error: BaseException, roots: Sequence[str], mask: Callable[[str], str] = str
) -> Failure:
    """What an exception of the user's function means. mask: hides secrets. Never raises, whatever
    the exception does when it is asked for its text."""
    try:
        return _failure(error, roots, mask)
    except Exception:
        return Failure(FailureKind.ERROR, type(error).__qualname__[-_MOST_REASON:])


def _failure(error: BaseException, roots: Sequence[str], mask: Callable[[str], str]) -> Failure:
    frames = "\n".join(filter(None, (told(error, roots), getattr(error, THERE, ""))))
    if isinstance(error, ProcessEnded):
        return error.failure
    if isinstance(error, Throttled):
        message = _text(str(error), "", mask)
        wait = _seconds(error.retry_after)
        return Failure(FailureKind.THROTTLED, "throttled", message, retry_after=wait)
    if isinstance(error, Permanent):
        text = str(error) or "Permanent"
        return Failure(FailureKind.REJECTED, _reason(text, mask), _text(text, frames, mask))
    if isinstance(error, SystemExit):
        told_code = "" if error.code is None else repr(error.code)
        message = _text(f"it called sys.exit({told_code})", frames, mask)
        return Failure(FailureKind.ERROR, "sys.exit", message)
    answered = _response(error)
    if answered is not None:
        status, headers, body = answered
        known = failures.classify(status, headers, body, now=time.time())
        return Failure(
            known.kind,
            _reason(known.reason, mask),
            _text(known.message, frames, mask),
            retry_after=known.retry_after,
            status=status,
            doubtful=known.doubtful,
        )
    name = type(error).__qualname__[-_MOST_REASON:]
    text = f"{name}: {error}" if str(error) else name
    if _is_nobody_there(error):
        known = failures.unreachable(name, "")
        return replace(known, message=_text(text, frames, mask))
    return Failure(FailureKind.ERROR, name, _text(text, frames, mask))


def _seconds(told: object) -> float | None:
    """Seconds to wait: a number, or what stands in a Retry-After header."""
    return None if told is None else web.retry_after({"retry-after": str(told)}, time.time())


def _is_nobody_there(error: BaseException | None) -> bool:
    """Whether a connection came about neither for it nor for what it was raised from: then what it
    was to be used for did not begin."""
    for _ in range(_CHAIN):
        if error is None:
            return False
        known = isinstance(error, ConnectionRefusedError | socket.gaierror)
        if known or type(error).__name__ == "ConnectTimeout":
            return True
        error = error.__cause__ or error.__context__
    return False


def _response(error: BaseException) -> tuple[int, Mapping[str, str], bytes] | None:
    """Status, headers and body of the answer that an exception carries, as those of httpx, openai,
    requests and aiohttp do."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    headers = getattr(response, "headers", None)
    if status is None:
        status, headers = getattr(error, "status", None), getattr(error, "headers", None)
    if not isinstance(status, int) or isinstance(status, bool) or not 400 <= status < 600:
        return None
    try:
        body = response.content if response is not None else b""
    except Exception:  # one that was streamed has none
        body = b""
    lower = {str(name).lower(): str(value) for name, value in dict(headers or {}).items()}
    return status, lower, body if isinstance(body, bytes) else b""


def _reason(text: str, mask: Callable[[str], str]) -> str:
    line = " ".join(storable(mask(text)).split())
    return line if len(line) <= _MOST_REASON else line[: _MOST_REASON - 1] + "…"


def _text(message: str, frames: str, mask: Callable[[str], str]) -> str:
    """The message and the lines it came from."""
    line = failures.clean(mask(message))
    lines = [storable(one) for one in mask(frames).splitlines()]
    return "\n".join([*([line] if line else []), *lines])[:_MOST_TOLD]
