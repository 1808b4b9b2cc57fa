"""What a result puts into the columns of a table, as PostgreSQL reads values: as text. Pure.

a column is filled from   the output's key of that name
                          else `_position`, `_id`, `_status`, `_attempts` of the same name
                          else the item's field of that name
`output`, `item`          hold the whole of it; `output` not where the output has a key of that name
`embedding`               holds an output that is a list of numbers where there is no `output`
the key                   is filled from the item's field of that name, else from the item ID

A row that is there gets only what comes from the answer: the item may be what a query made of that
row. A new one gets the item's fields as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from penstock import jsons

FIXED = ("_position", "_id", "_status", "_attempts")
_JSON = {"json", "jsonb"}
_VECTORS = {"vector", "halfvec"}
_WHOLE = {"int2", "int4", "int8"}
_LONGEST_EXACT = 2.0**53
_RANGES = {"int2": 15, "int4": 31, "int8": 63}
_UUID = re.compile(r"\{?[0-9a-fA-F]{4}(-?[0-9a-fA-F]{4}){7}\}?")
_NUMBER = re.compile(r"[ \t\n]*[+-]?[0-9]+[ \t\n]*")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table that can be written to.

    type: its name in the catalog, below domains. category: of the type, as pg_type has it (`S` is
    text, `A` an array). cast: the type as SQL. must: it takes no NULL
    and has no default.
    """

    name: str
    type: str
    category: str
    cast: str
    must: bool = False


class Cells(NamedTuple):
    """The columns that a result fills, with their values; others are to be left alone.

    answer: in every row. item: the key, and what only a new row gets.
    """

    answer: dict[str, str | None]
    item: dict[str, str | None]


def record(
    columns: Mapping[str, Column],
    key: str,
    *,
    position: int,
    item_id: str,
    attempts: int,
    item: Any,
    output: Any,
) -> Cells:
    """What a result puts into a row."""
    answer: dict[str, Any] = dict(
        zip(FIXED, (position, item_id, "succeeded", attempts), strict=True)
    )
    answer["output"] = output
    if "output" not in columns and is_vector(output):
        answer["embedding"] = output
    if isinstance(output, dict):
        answer |= output
    given = {"item": item} | (item if isinstance(item, dict) else {})
    given = {name: value for name, value in given.items() if name not in answer}
    answer.pop(key, None)
    given[key] = key_of(item, item_id, key)
    return Cells(_texts(answer, columns), _texts(given, columns))


def _texts(given: Mapping[str, Any], columns: Mapping[str, Column]) -> dict[str, str | None]:
    return {name: as_text(given[name], column) for name, column in columns.items() if name in given}


def key_of(item: Any, item_id: str, key: str) -> Any:
    """The value of the key column for an item."""
    found = item.get(key) if isinstance(item, dict) else None
    return item_id if found is None or (isinstance(found, str) and not found.strip()) else found


def unplaced(output: Any, columns: Mapping[str, Column]) -> list[str]:
    """What of an output no column holds: its keys, or `output` when it is no object."""
    if "output" in columns and not (isinstance(output, dict) and "output" in output):
        return []
    if isinstance(output, dict):
        return [name for name in output if name not in columns]
    return [] if is_vector(output) and "embedding" in columns else ["output"]


def is_vector(value: Any) -> bool:
    """Whether this is a list of numbers."""
    return isinstance(value, list) and bool(value) and set(map(type, value)) <= {int, float}


def as_text(value: Any, column: Column) -> str | None:
    """The value as text that the column's type reads; None for NULL.

    Blank text is NULL where the column does not hold text: so CSV says that there is nothing.
    """
    if value is None:
        return None
    if column.type in _JSON:
        return jsons.dumps(value)
    if isinstance(value, list) and column.category == "A":
        return _array(value)
    if isinstance(value, list) and column.type in _VECTORS:
        return jsons.dumps(value)
    text = plain(value)
    if column.category != "S" and isinstance(value, str) and not value.strip():
        return None
    if isinstance(value, float) and column.type in _WHOLE and value.is_integer():
        return str(int(value))
    return text


def readable(text: str | None, key: Column) -> str | None:
    """The text of a key to look for; None for one that no row can have, since its type cannot read
    it: a whole statement would fail for it."""
    if text is None:
        return None
    if key.type in _RANGES:
        limit = 1 << _RANGES[key.type]
        good = bool(_NUMBER.fullmatch(text)) and len(text) < 40 and -limit <= int(text) < limit
    elif key.type == "uuid":
        good = bool(_UUID.fullmatch(text))
    else:
        good = "\0" not in text
    return text if good else None


def plain(value: Any) -> str:
    """A value as text: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LONGEST_EXACT:
        return str(int(value))
    return jsons.dumps(value)


def _array(values: Sequence[Any]) -> str:
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return _array(value)
    if isinstance(value, bool | int | float):
        return jsons.dumps(value)
    text = plain(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
