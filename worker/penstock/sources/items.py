"""The stream of items: what `plan` reads, and what `validate` has a first look at.

    records (one module a format) ─► where ─► ID, content hash, JSON ─► onBadRecord ─► limit

One pass, one item in memory at a time (xlsx excepted). Whether two items have the same ID is not
asked here: the planner asks the database, which can hold millions of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import closing
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from penstock import jsons
from penstock.errors import InputError, Mistake
from penstock.sources import (
    csv_rows,
    database,
    file_items,
    http_pages,
    json_document,
    jsonl,
    objects,
    parquet,
    xlsx,
)
from penstock.sources.files import DataFile, data_files
from penstock.sources.identity import check_columns, id_names, item_id
from penstock.sources.records import BadRecord, NoRows, Record
from penstock.spec.source import Source
from penstock.spec.template import Expression, TemplateError
from penstock.text import storable

WHERE_FIELD = "spec.source.where"
Kept = Callable[[Sequence[tuple[str, str]]], Awaitable[set[int]]]
"""Of items (ID, payload) those that need not be done, since where results go has what it needs of
them: their places in the list. Raises InputError for one whose result could not go there."""

_MOST_MISTAKES = 10
_MOST_LOOKS = 10
_LOOK_ON = 100_000
"""Rows to look at for more mistakes after the first one."""


class Item(NamedTuple):
    """One item of the input. A tuple, because one is made for each of millions of rows.

    position: 0-based place among the input rows; rows that `where` drops leave gaps.
    item_id: stable text. content: 16-byte BLAKE2b of the item's canonical JSON. payload: the item
    as JSON text, keys in input order ("null" when it could not be read). where: its place for
    messages. error: why it cannot be processed (`onBadRecord: failItem`), else None. hashed_id:
    the ID is the hash of the content, so that equal items have equal IDs and that is no mistake.
    """

    position: int
    item_id: str
    content: bytes
    payload: str
    where: str
    error: str | None = None
    hashed_id: bool = False


def read_items(source: Source, base: Path) -> Iterator[Item]:
    """The items of a source, in input order.

    base: the folder that paths are relative to. Raises InputError for a source that cannot be
    read, one without any row, and, with `onBadRecord: refuse`, for bad records: up to ten at once,
    nothing is yielded after the first.
    """
    items = islice(_items(source, base), source.limit)
    if source.on_bad_record == "failItem":
        yield from items
        return
    for item in items:
        if item.error is not None:
            raise InputError(_mistakes(item, items))
        yield item


def is_remote(source: Source) -> bool:
    """Whether a server is waited for while items are read. What it hands out may be something else
    the next time, so it is read once."""
    return (source.http or source.postgres or source.object_store) is not None


def check_source(source: Source, base: Path) -> None:
    """Look at the beginning of each file without reading on. Raises InputError.

    Finds what is wrong with the source as a whole (missing, empty, another format or encoding, no
    such column or sheet), not bad records. What `http` and `postgres` hand out is not asked for:
    it may cost something there, and the first to read the items finds the same.
    """
    if source.where is not None:
        Expression(source.where, WHERE_FIELD)
    if source.http is not None or source.postgres is not None:
        return
    if (source.file is None and source.object_store is None) or source.format == "files":
        next(_records(source, base))
        return
    files = _files(source, base)
    # Each look from afar is a request. Planning reads all before anything is worked on.
    for file in files if source.file is not None else files[:_MOST_LOOKS]:
        try:
            with closing(_rows(file, source)) as rows:
                next(rows, None)
        except NoRows:
            if len(files) == 1:
                raise


def _items(source: Source, base: Path) -> Iterator[Item]:
    wanted = Expression(source.where, WHERE_FIELD).test if source.where is not None else None
    names = id_names(source)
    for position, (where, value, error) in enumerate(_records(source, base)):
        if error is None:
            try:
                if wanted is not None and not wanted(value):
                    continue
                canonical = jsons.canonical(value)
                content = blake2b(canonical, digest_size=16).digest()
                identity = item_id(value, position, names) if names else content.hex()
                payload = jsons.dumps(value)
            except (ValueError, TemplateError, RecursionError) as problem:
                error = _reason(problem)
            else:
                yield Item(position, identity, content, payload, where, None, not names)
                continue
        yield _bad_item(position, where, value, error, names)


def _bad_item(position: int, where: str, value: Any, error: str, names: Sequence[str]) -> Item:
    """The item that stands in the place of a bad record, with as much of it as can be told."""
    try:
        payload = jsons.dumps(value)
        content = blake2b(jsons.canonical(value), digest_size=16).digest()
    except (ValueError, RecursionError):
        value, payload, content = None, "null", blake2b(b"null", digest_size=16).digest()
    try:
        identity = item_id(value, position, names) if names else f"_position:{position}"
    except BadRecord:
        identity = f"_position:{position}"
    return Item(position, identity, content, payload, where, storable(error))


def _mistakes(first: Item, following: Iterator[Item]) -> list[Mistake]:
    """The first bad record and a few more, so that not each takes a run to be found."""
    mistakes = [Mistake(first.where, str(first.error))]
    try:
        for item in islice(following, _LOOK_ON):
            if item.error is not None:
                mistakes.append(Mistake(item.where, item.error))
                if len(mistakes) == _MOST_MISTAKES:
                    break
    except InputError as error:
        mistakes.extend(error.mistakes)
    return mistakes


def _records(source: Source, base: Path) -> Iterator[Record]:
    """The rows of the source, bad ones marked. Raises NoRows when there is none at all."""
    if source.inline is not None:
        if not source.inline.items:
            raise NoRows.at("spec.source.inline.items", "the list is empty")
        for index, value in enumerate(source.inline.items):
            yield f"inline[{index}]", value, None
        return
    if source.http is not None:
        yield from http_pages.rows(source.http)
        return
    if source.postgres is not None:
        yield from database.rows(source)
        return
    if source.format == "files":
        stored = source.object_store
        yield from objects.rows(stored) if stored is not None else file_items.rows(source, base)
        return
    empty: NoRows | None = None
    found = False
    for file in _files(source, base):
        try:
            for record in _rows(file, source):
                found = True
                yield record
        except NoRows as error:
            # One of many files may be empty; all of them may not.
            empty = empty or error
    if empty is not None and not found:
        raise empty


def _files(source: Source, base: Path) -> list[DataFile]:
    if source.object_store is not None:
        return objects.data_objects(source.object_store, source.format)
    return data_files(source, base)


def _rows(file: DataFile, source: Source) -> Generator[Record]:
    names = id_names(source)

    def on_header(columns: Sequence[str], place: str) -> None:
        check_columns(names, columns, place)

    match file.format:
        case "jsonl":
            return jsonl.rows(file)
        case "json":
            return json_document.rows(file)
        case "csv":
            return csv_rows.rows(file, source.csv, on_header)
        case "parquet":
            return parquet.rows(file, on_header)
        case "xlsx":
            return xlsx.rows(file, source.xlsx.sheet, on_header)
        case "files":
            raise AssertionError("files as items are not opened")


def _reason(problem: Exception) -> str:
    """Why a value cannot become an item, for the user."""
    if isinstance(problem, BadRecord | TemplateError):
        return str(problem)
    if isinstance(problem, RecursionError):
        return "nested too deeply"
    if "surrogate" in str(problem):
        return "half a character (a lone surrogate) in a text: it cannot be stored as UTF-8"
    return f"it cannot be written as JSON: {problem}"
