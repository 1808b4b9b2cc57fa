"""One file an item: which items are written, as what, and under which paths."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from penstock import jsons
from penstock.errors import ExportError, InputError, Mistake
from penstock.export.rows import ExportRow
from penstock.sources.items import Item
from penstock.spec.item_path import FIELD, BadPath, ItemPaths

INPUT = "is, or would be, one of the input's files"
_MOST_PROBLEMS = 10
_WRITTEN = ("succeeded", "skipped")

Problem = Callable[[str], str]
"""Why nothing can be written at a path below the target; empty when it can be."""
Rows = Callable[[], AsyncIterator[Sequence[ExportRow]]]
"""All rows of a run in chunks, from the first whenever it is called."""


def content(output: Any) -> bytes:
    """What is written: text as it is, anything else as JSON."""
    return output.encode() if isinstance(output, str) else f"{jsons.dumps(output)}\n".encode()


async def item_files(
    every: Rows, template: str, problem: Problem | None
) -> AsyncIterator[Sequence[tuple[str, ExportRow]]]:
    """Path and row of every item that has a result, in chunks. All paths are looked at before the
    first is given. Raises ExportError, naming the items whose paths will not do."""
    paths = ItemPaths(template, problem)
    problems = []
    async for chunk in every():
        for row in _with_result(chunk):
            try:
                paths.claim(_path(paths, row), row.position)
            except BadPath as error:
                problems.append(f"item {row.item_id!r}: {error}")
                if len(problems) == _MOST_PROBLEMS:
                    raise _unwritten(problems) from None
    if problems:
        raise _unwritten(problems)
    async for chunk in every():
        yield [(_path(paths, row), row) for row in _with_result(chunk)]


def planned(items: Iterator[Item], template: str, problem: Problem | None = None) -> Iterator[Item]:
    """The same items, after a look at the paths that their results will have. Raises InputError
    when two have the same, or one will not do; a path that needs the output is left to the export.
    """
    paths = ItemPaths(template, problem)
    if paths.needs_output:
        yield from items
        return
    mistakes = []
    for item in items:
        if item.error is None:
            try:
                value = jsons.loads(item.payload)
                path = paths.path(item=value, id=item.item_id, position=item.position)
                paths.claim(path, item.position)
            except BadPath as error:
                mistakes.append(Mistake(FIELD, f"item {item.item_id!r} ({item.where}): {error}"))
                if len(mistakes) == _MOST_PROBLEMS:
                    raise InputError(mistakes) from None
        yield item
    if mistakes:
        raise InputError(mistakes)


def _with_result(chunk: Sequence[ExportRow]) -> Iterator[ExportRow]:
    return (row for row in chunk if row.status in _WRITTEN)


def _path(paths: ItemPaths, row: ExportRow) -> str:
    return paths.path(item=row.item, id=row.item_id, position=row.position, output=row.output)


def _unwritten(problems: Sequence[str]) -> ExportError:
    listed = "\n".join(f"  {problem}" for problem in problems)
    return ExportError(f"{FIELD}: nothing was written, as these paths will not do:\n{listed}")
