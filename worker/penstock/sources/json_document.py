"""A JSON document: an array of items, or an object with exactly one array in it.

The array is read element by element through a window on the text, so memory stays the same
however long it is; one element may have up to 256 MiB. What follows a syntax error cannot be
told apart, so an error ends the reading whatever `onBadRecord` says.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Generator, Iterator
from typing import Any, NoReturn

from penstock.errors import InputError
from penstock.sources.files import FORMAT_FIELD, DataFile
from penstock.sources.opening import PeekableStream, check_text, encoding_hint, opened
from penstock.sources.records import NoRows, Record

_CHUNK = 64 * 1024
_LARGEST_ELEMENT = 256 * 1024 * 1024
_CUT = 32
"""An error this close to the end of the window may only mean that a token is cut in two."""
_BLANKS = re.compile(r"[ \t\r\n]*")


def rows(file: DataFile, chunk: int = _CHUNK) -> Generator[Record]:
    """The elements of the array. Places are `name[index]`, from 0.

    chunk: bytes read at a time. Raises InputError with the line for what is not JSON.
    """
    with opened(file) as stream:
        check_text(stream, file)
        text = _Window(stream, file, chunk)
        match text.next():
            case "[":
                yield from _elements(text, file)
            case "{":
                yield from _members(text, file)
            case "":
                raise NoRows.at(file.name, "there is nothing but blanks in it")
            case _:
                text.value()
                text.fail("the document is a single value; an array of items is needed")
        text.expect_end()


def _elements(text: _Window, file: DataFile) -> Iterator[Record]:
    """The elements of the array that starts here; leaves the window behind its bracket."""
    text.step()
    if text.next() == "]":
        text.step()
        raise NoRows.at(file.name, "the array of items is empty")
    index = 0
    while True:
        yield f"{file.name}[{index}]", text.value(), None
        index += 1
        following = text.next()
        text.step()
        if following == "]":
            return
        if following != ",":
            text.fail(f"',' or ']' is missing after element {index - 1}", back=1)


def _members(text: _Window, file: DataFile) -> Iterator[Record]:
    """The one array among the members of the object that starts here."""
    text.step()
    array: str | None = None
    empty: NoRows | None = None
    following = text.next()
    while following != "}":
        if following != '"':
            text.fail("a member's name in double quotes is missing")
        name = str(text.value())
        if text.next() != ":":
            text.fail(f"':' is missing after {name!r}")
        text.step()
        if text.next() == "[":
            if array is not None:
                text.fail(f"there are two arrays, {array!r} and {name!r}: keep only the items")
            array = name
            try:
                yield from _elements(text, file)
            except NoRows as error:
                empty = error
        else:
            text.value()
        following = text.next()
        if following == ",":
            text.step()
            following = text.next()
        elif following != "}":
            text.fail(f"',' or '}}' is missing after {name!r}")
    text.step()
    if array is None:
        hint = f"; for one object a line set {FORMAT_FIELD}: jsonl" if text.next() == "{" else ""
        text.fail(f"the object has no array of items in it{hint}")
    if empty is not None:
        raise empty


class _Window:
    """The part of the text that is being looked at: grows at its end, forgets what was read."""

    def __init__(self, stream: PeekableStream, file: DataFile, chunk: int) -> None:
        self._stream = stream
        self._file = file
        self._chunk = chunk
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
        self._text = ""
        self._at = 0
        self._line = 1  # of the window's first character
        self._ended = False

    def next(self) -> str:
        """The next character that is not blank, without taking it; "" at the end."""
        while True:
            blanks = _BLANKS.match(self._text, self._at)
            self._at = blanks.end() if blanks else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._grow():
                return ""

    def step(self) -> None:
        """Take one character."""
        self._at += 1

    def value(self) -> Any:
        """Take one JSON value. Raises InputError when there is none."""
        self.next()
        while True:
            problem: json.JSONDecodeError | None = None
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                problem, end = error, error.pos
            except RecursionError:
                self.fail("nested too deeply")
            except ValueError as error:
                self.fail(str(error))
            unclosed = problem is not None and problem.msg.startswith("Unterminated string")
            if (unclosed or len(self._text) - end < _CUT) and self._grow():
                continue
            if problem is not None:
                self.fail(problem.msg, back=self._at - problem.pos)
            self._at = end
            return value

    def expect_end(self) -> None:
        """Raise InputError when something but blanks follows."""
        if self.next():
            self.fail("something follows the end of the document")

    def fail(self, message: str, back: int = 0) -> NoReturn:
        """Raise InputError at the line of the current place, or of `back` characters before it."""
        line = self._line + self._text.count("\n", 0, max(0, self._at - back))
        raise InputError.at(f"{self._file.name}:{line}", f"not a JSON array of items: {message}")

    def _grow(self) -> bool:
        """Read on; False at the end. Reads as much as is waiting, so that retries stay few."""
        if self._ended:
            return False
        waiting = len(self._text) - self._at
        if waiting > _LARGEST_ELEMENT:
            self.fail("one value has more than 256 MiB")
        data = self._stream.read(max(self._chunk, waiting))
        self._ended = not data
        try:
            text = self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            before = self._text.count("\n") + error.object.count(b"\n", 0, error.start)
            raise InputError.at(
                f"{self._file.name}:{self._line + before}",
                encoding_hint(self._file, _line_around(error.object, error.start)),
            ) from None
        self._line += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + text
        self._at = 0
        return True


def _line_around(data: bytes, at: int) -> bytes:
    start = data.rfind(b"\n", 0, at) + 1
    end = data.find(b"\n", at)
    return data[max(start, at - 200) : end if 0 <= end < at + 200 else at + 200]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits} is too large")
    return number
