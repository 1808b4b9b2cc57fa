"""JSON Lines: one JSON value a line. A broken line is one bad record; the next one is read."""

from __future__ import annotations

import json
import re
from collections.abc import Generator

from penstock import jsons
from penstock.errors import InputError
from penstock.sources.files import FORMAT_FIELD, DataFile
from penstock.sources.opening import PeekableStream, check_text, encoding_hint, opened
from penstock.sources.records import NoRows, Record

_MARK = b"\xef\xbb\xbf"
_DOCUMENT = re.compile(rb"\s*\[\s*(\{|$)")


def rows(file: DataFile) -> Generator[Record]:
    """The values, one a line; blank lines are no records. Places are `name:line`, from 1.

    Holds one line at a time. Raises InputError for what is wrong with the file as a whole.
    """
    with opened(file) as stream:
        check_text(stream, file)
        _check_start(stream, file)
        found = False
        for number, line in enumerate(stream, 1):
            try:
                value = jsons.loads(line)
            except (ValueError, RecursionError) as error:
                # Asked only now, so that it costs nothing for all the other lines.
                if not line.strip():
                    continue
                found = True
                yield f"{file.name}:{number}", None, _why(file, line, error)
            else:
                found = True
                yield f"{file.name}:{number}", value, None
        if not found:
            raise NoRows.at(file.name, "there is nothing but blank lines in it")


def _check_start(stream: PeekableStream, file: DataFile) -> None:
    """Pass over a byte order mark; refuse what is plainly one JSON document, not lines of them."""
    if stream.peek(3)[:3] == _MARK:
        stream.read(3)
    if _DOCUMENT.match(stream.peek(64)[:64]):
        raise InputError.at(
            f"{file.name}:1",
            f"this is a JSON array, not one object a line: set {FORMAT_FIELD}: json",
        )


def _why(file: DataFile, line: bytes, error: ValueError | RecursionError) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return encoding_hint(file, line)
    if isinstance(error, RecursionError):
        return "not JSON: nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        reason = error.msg.split(": line ")[0]
        # Not error.colno: for a line that is cut off it counts from behind the line's end.
        column = min(error.pos, len(text.rstrip("\r\n"))) + 1
        return f"not JSON: {reason} (column {column})"
    return f"not JSON: {error}"
