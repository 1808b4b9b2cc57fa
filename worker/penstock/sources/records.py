"""What every format hands on: a record, its place, and whether it could be read.

The format modules know how to find rows and nothing of items; `items` knows nothing of formats.
This is the shape between them, and the rules that several formats share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from penstock.errors import InputError

Record = tuple[str, Any, str | None]
"""(place for messages, value, why it is bad or None). A bad record that could still be read keeps
its value; otherwise the value is None. A plain tuple: one is made for each of millions of rows."""


class BadRecord(ValueError):
    """One record cannot become an item; the others can (`onBadRecord` decides what happens)."""


class NoRows(InputError):
    """A file without a single record: wrong on its own, harmless among others."""


def check_header(names: Sequence[str], place: str, column_of: Sequence[str] | None = None) -> None:
    """Refuse columns without a name and names that occur twice.

    column_of: how to call each column in messages (default: 1, 2, …). Raises InputError at `place`.
    """
    called = column_of or [str(number) for number in range(1, len(names) + 1)]
    seen: dict[str, str] = {}
    for name, column in zip(names, called, strict=True):
        if not name.strip():
            raise InputError.at(
                place, f"column {column} has no name: give every column a name in the header row"
            )
        if name in seen:
            raise InputError.at(
                place, f"columns {seen[name]} and {column} are both named {name!r}: rename one"
            )
        seen[name] = column


def plain(value: Any) -> Any:
    """What JSON can say of a cell: times as ISO 8601 text, decimals as text, NaN as null.

    Lengths of time become `hours:minutes:seconds`. Raises BadRecord for what has no such form.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise BadRecord("an infinite number, which JSON cannot say")
        return None if math.isnan(value) else value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, timedelta):
        return _clock(value)
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, bytes):
        raise BadRecord("bytes, which JSON cannot say")
    return str(value)


def some(names: Sequence[str], most: int = 12) -> str:
    """The names for a message, cut short when there are many."""
    listed = ", ".join(names[:most])
    return f"{listed}, … ({len(names)} in all)" if len(names) > most else listed


def _clock(length: timedelta) -> str:
    sign = "-" if length < timedelta(0) else ""
    minutes, seconds = divmod(abs(length), timedelta(minutes=1))
    whole, fraction = divmod(seconds, timedelta(seconds=1))
    text = f"{sign}{minutes // 60}:{minutes % 60:02}:{whole:02}"
    if fraction:
        text += f".{fraction // timedelta(microseconds=1):06}".rstrip("0")
    return text
