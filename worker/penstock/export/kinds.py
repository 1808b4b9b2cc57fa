"""Which type a Parquet column gets, from all the values it holds.

Nothing may change on the way: a column is a number only when each of its values survives as that
number. What fits no type together is kept as JSON text, so that "1" and 1 stay apart. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

_INT64 = 1 << 63
_EXACT_IN_DOUBLE = 1 << 53


class Kind(StrEnum):
    """The type of a column."""

    BOOL = "bool"
    INT = "int64"
    FLOAT = "double"
    TEXT = "string"
    INTS = "list<int64>"
    FLOATS = "list<double>"
    JSON = "json"


# First match, by what the values are: `short` integers are exact as a double too, `long` ones only
# as an int64; the plural is a list of them.
_DECISIONS: tuple[tuple[frozenset[str], Kind], ...] = (
    (frozenset({"text"}), Kind.TEXT),  # also a column without any value
    (frozenset({"bool"}), Kind.BOOL),
    (frozenset({"short", "long"}), Kind.INT),
    (frozenset({"short", "float"}), Kind.FLOAT),
    (frozenset({"empty"}), Kind.FLOATS),  # no numbers to go by: taken for a vector
    (frozenset({"empty", "shorts", "longs"}), Kind.INTS),
    (frozenset({"empty", "shorts", "floats"}), Kind.FLOATS),
)


class Kinds:
    """Watches the cells of every row, then gives a kind for each column."""

    def __init__(self, columns: int) -> None:
        self._seen: list[set[str]] = [set() for _ in range(columns)]

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Take note of the cells of these rows."""
        for cells in rows:
            for seen, value in zip(self._seen, cells, strict=True):
                if value is not None:
                    seen.add(_shape(value))

    def decide(self) -> list[Kind]:
        """One kind a column."""
        return [_decide(seen) for seen in self._seen]


def _decide(seen: set[str]) -> Kind:
    return next((kind for allowed, kind in _DECISIONS if seen <= allowed), Kind.JSON)


def _shape(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return _width(value, value)
    if isinstance(value, float):
        return "float"
    if isinstance(value, list):
        return _list_shape(value)
    return "json"


def _width(low: int, high: int) -> str:
    if low >= -_EXACT_IN_DOUBLE and high <= _EXACT_IN_DOUBLE:
        return "short"
    return "long" if low >= -_INT64 and high < _INT64 else "json"


def _list_shape(values: list[Any]) -> str:
    types = set(map(type, values))
    if not types:
        return "empty"
    if types == {float}:
        return "floats"
    if types == {int}:
        width = _width(min(values), max(values))
        return "json" if width == "json" else f"{width}s"
    if types == {int, float}:
        whole = [value for value in values if type(value) is int]
        return "floats" if _width(min(whole), max(whole)) == "short" else "json"
    return "json"
