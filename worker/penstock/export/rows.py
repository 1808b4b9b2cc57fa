"""What an exported row looks like: one rule for every format.

    _position, _id, _status, _attempts, _error, the item's own fields, the output

An object's keys become columns of their own; anything else goes to a column `item` or `output`.
Names are settled once for the whole result, not row by row: where any item has a field `title`, the
output's `title` is `output.title` in every row, so a column never changes its meaning half way
down. That is why all rows are seen (`Survey`) before the first is written (`Layout`).

Pure: no I/O here. Called by write.py; the writers ask `Layout` for a row as a dict or as cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

FIXED = ("_position", "_id", "_status", "_attempts", "_error")
"""The columns every result starts with."""

_WITH_OUTPUT = frozenset({"succeeded", "skipped"})


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One item and what came of it.

    position: 0-based place among the input rows. status: succeeded, skipped (output is the earlier
        result), failed or pending (a partial export). attempts: calls made for it. error: why it
        failed. item, output: decoded JSON; the output counts only when succeeded or skipped.
    """

    position: int
    item_id: str
    status: str
    attempts: int
    error: str | None
    item: Any
    output: Any

    @property
    def answer(self) -> Any:
        """The output to show: None for an item that has not succeeded."""
        return self.output if self.status in _WITH_OUTPUT else None


class Survey:
    """Collects the keys of items and outputs, in the order they first appear.

    Memory grows with the number of different keys, not of rows.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._items = _Keys()
        self._outputs = _Keys()

    def add(self, rows: Sequence[ExportRow]) -> None:
        """Take note of these rows."""
        self.rows += len(rows)
        for row in rows:
            self._items.add(row.item)
            self._outputs.add(row.answer)

    def layout(self) -> Layout:
        """Name the columns, now that every row has been seen."""
        taken = set(FIXED)
        item_names, item_whole = self._items.name("item", taken)
        output_names, output_whole = self._outputs.name("output", taken)
        return Layout(item_names, item_whole, output_names, output_whole)


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one result: which key is found under which name.

    item_names, output_names: key -> column. item_whole, output_whole: the column of what is not
        an object; None when there was none.
    """

    item_names: dict[str, str]
    item_whole: str | None
    output_names: dict[str, str]
    output_whole: str | None

    @property
    def columns(self) -> list[str]:
        """Every column, in order, no name twice."""
        item = [] if self.item_whole is None else [self.item_whole]
        output = [] if self.output_whole is None else [self.output_whole]
        return [*FIXED, *self.item_names.values(), *item, *self.output_names.values(), *output]

    def record(self, row: ExportRow) -> dict[str, Any]:
        """The row as a flat dict. Keys the item or the output lacks are absent."""
        record = dict(zip(FIXED, _fixed(row), strict=True))
        for value, names, whole in (
            (row.item, self.item_names, self.item_whole),
            (row.answer, self.output_names, self.output_whole),
        ):
            if isinstance(value, dict):
                for key, field in value.items():
                    record[names[key]] = field
            elif value is not None and whole is not None:
                record[whole] = value
        return record

    def cells(self, row: ExportRow) -> list[Any]:
        """The row as one value a column; None where it has nothing."""
        cells = list(_fixed(row))
        for value, names, whole in (
            (row.item, self.item_names, self.item_whole),
            (row.answer, self.output_names, self.output_whole),
        ):
            is_object = isinstance(value, dict)
            if is_object:
                cells += map(value.get, names)
            else:
                cells += [None] * len(names)
            if whole is not None:
                cells.append(None if is_object else value)
        return cells


class _Keys:
    """The keys of many JSON values, and whether some were no objects."""

    def __init__(self) -> None:
        self.keys: dict[str, None] = {}
        self.whole = False

    def add(self, value: Any) -> None:
        if isinstance(value, dict):
            if not value.keys() <= self.keys.keys():
                self.keys.update(dict.fromkeys(value))
        elif value is not None:
            self.whole = True

    def name(self, prefix: str, taken: set[str]) -> tuple[dict[str, str], str | None]:
        """A column for every key (and for `prefix` itself when needed); adds them to `taken`.

        Keys whose own name is free get it; only then are the others qualified, so that a key
        called `output.title` keeps its name whatever else there is.
        """
        free = self.keys.keys() - taken
        taken |= free
        names = {
            key: key if key in free else _qualify(f"{prefix}.{key}", prefix, taken)
            for key in self.keys
        }
        return names, _qualify(prefix, prefix, taken) if self.whole else None


def _fixed(row: ExportRow) -> Iterable[Any]:
    return (row.position, row.item_id, row.status, row.attempts, row.error)


def _qualify(name: str, prefix: str, taken: set[str]) -> str:
    while name in taken:
        name = f"{prefix}.{name}"
    taken.add(name)
    return name
