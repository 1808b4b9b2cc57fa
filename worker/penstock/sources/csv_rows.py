"""CSV with a header row. Every cell is text, an empty one is "": nothing is guessed.

The delimiter, where none is given: the one of comma, semicolon, tab and bar that the header row
has most of (outside quotes; comma when there is none; in a .tsv file always the tab).
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from penstock.errors import InputError
from penstock.sources.files import DataFile
from penstock.sources.opening import PeekableStream, check_text, encoding_hint, opened
from penstock.sources.records import NoRows, Record, check_header, some
from penstock.spec.source import CsvOptions

if TYPE_CHECKING:
    from _csv import Reader as _CsvReader

_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"[^"]*"?')
_LARGEST_CELL = 256 * 1024 * 1024
ENCODING_FIELD = "spec.source.csv.encoding"
DELIMITER_FIELD = "spec.source.csv.delimiter"


def rows(
    file: DataFile, options: CsvOptions, on_header: Callable[[Sequence[str], str], None]
) -> Generator[Record]:
    """The rows as objects of text. Places are `name:line`, the line a row begins at, from 1.

    Blank lines are no rows. on_header is called with the column names and their place. A row with
    too many or too few cells, bad quotes or bytes of another encoding is a bad record. Raises
    InputError for a bad header and for a quote that never closes (rows after it cannot be told).
    """
    encoding = _encoding(options.encoding)
    csv.field_size_limit(_LARGEST_CELL)  # the default, 128 KiB, is less than a long document
    with opened(file) as stream, _text(stream, encoding) as text:
        check_text(stream, file, encoding)
        reader = _reader(text, file, options.delimiter, encoding)
        header, place = _header(reader, file, encoding)
        on_header(header, place)
        columns = len(header)
        found = False
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                _refuse_endless(error, file, line)
                found = True
                yield f"{file.name}:{line}", None, f"not CSV: {error}"
                continue
            except UnicodeError as error:
                raise _undecodable(file, line, encoding, error) from error
            if cells is None:
                break
            if not cells:
                continue
            found = True
            if len(cells) != columns:
                yield f"{file.name}:{line}", None, _wrong_count(cells, header)
            elif _escaped(cells):
                yield f"{file.name}:{line}", None, _wrong_bytes(file, cells, encoding)
            else:
                yield f"{file.name}:{line}", dict(zip(header, cells, strict=True)), None
        if not found:
            raise NoRows.at(file.name, "there is a header row, but no row below it")


def delimiter_of(header: str, *, tabs: bool = False) -> str:
    """The delimiter that the header row speaks for. tabs: the file is called .tsv."""
    if tabs:
        return "\t"
    bare = _QUOTED.sub("", header)
    return max(_DELIMITERS, key=bare.count)  # the first of equals: the comma


def _encoding(name: str) -> str:
    try:
        encoding = codecs.lookup(name).name
        io.TextIOWrapper(io.BytesIO(), encoding=encoding).close()
    except (LookupError, ValueError) as error:
        raise InputError.at(
            ENCODING_FIELD, f"{name!r} is no text encoding; write for example utf-8, cp1252, utf-16"
        ) from error
    return "utf-8-sig" if encoding == "utf-8" else encoding


def _text(stream: PeekableStream, encoding: str) -> io.TextIOWrapper:
    # Bytes that are not text become lone surrogates, so that only their own row is bad.
    return io.TextIOWrapper(stream, encoding, errors="surrogateescape", newline="")


def _reader(
    lines: Iterator[str], file: DataFile, delimiter: str | None, encoding: str
) -> _CsvReader:
    if delimiter is None:
        leading = _through_header(lines, file, encoding)
        delimiter = delimiter_of(leading[-1], tabs=file.bare_suffix == ".tsv")
        lines = chain(leading, lines)
    if delimiter in '"\r\n':
        raise InputError.at(DELIMITER_FIELD, f"{delimiter!r} cannot be a delimiter")
    return csv.reader(lines, delimiter=delimiter, strict=True)


def _through_header(lines: Iterator[str], file: DataFile, encoding: str) -> list[str]:
    """The first lines, up to the first that is not blank."""
    taken = [""]
    try:
        for line in lines:
            taken.append(line)
            if line.strip():
                break
    except UnicodeError as error:
        raise _undecodable(file, len(taken), encoding, error) from error
    return taken[1:] or taken


def _header(reader: _CsvReader, file: DataFile, encoding: str) -> tuple[list[str], str]:
    place = f"{file.name}:1"
    try:
        header = next((cells for cells in reader if cells), None)
    except csv.Error as error:
        _refuse_endless(error, file, 1)
        raise InputError.at(place, f"the header row is not CSV: {error}") from error
    except UnicodeError as error:
        raise _undecodable(file, 1, encoding, error) from error
    if header is None:
        raise NoRows.at(file.name, "there is nothing but blank lines in it")
    place = f"{file.name}:{reader.line_num}"
    if _escaped(header):
        raise InputError.at(place, _wrong_bytes(file, header, encoding))
    check_header(header, place)
    return header, place


def _refuse_endless(error: csv.Error, file: DataFile, line: int) -> None:
    """Raise for what has swallowed the rest of the file; other errors concern one row."""
    if "unexpected end" in str(error):
        problem = "a quoted cell in the row that begins here never closes"
    elif "field limit" in str(error):
        problem = "a cell in the row that begins here has more than 256 MiB: a quote not closed?"
    else:
        return
    raise InputError.at(f"{file.name}:{line}", problem) from error


def _wrong_count(cells: Sequence[str], header: Sequence[str]) -> str:
    much = "many" if len(cells) > len(header) else "few"
    return (
        f"too {much} cells: {len(cells)} in the row, {len(header)} in the header ({some(header)})"
    )


def _escaped(cells: Sequence[str]) -> bool:
    """Whether some bytes of the row were not text."""
    text = "".join(cells)
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _wrong_bytes(file: DataFile, cells: Sequence[str], encoding: str) -> str:
    cell = next(cell for cell in cells if _escaped([cell]))
    plain_name = encoding.removesuffix("-sig")
    try:
        raw = cell.encode(plain_name, "surrogateescape")
    except UnicodeEncodeError:  # two-byte encodings cannot give single bytes back
        return f"there are bytes that are not {plain_name.upper()}; set {ENCODING_FIELD}"
    return encoding_hint(file, raw, plain_name)


def _undecodable(file: DataFile, line: int, encoding: str, error: UnicodeError) -> InputError:
    """Where an encoding cannot go on after an error; the place is near, a block is read ahead."""
    return InputError.at(
        f"{file.name}:{line}",
        f"from about here on it is not {encoding.upper()} ({error}); set {ENCODING_FIELD}",
    )
