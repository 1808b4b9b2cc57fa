"""Parquet, read in small batches of rows. pyarrow (35 MB) is imported only when a file is one.

Decimals, dates and times become text (ISO 8601), NaN and empty cells null. Columns of bytes are
refused: JSON cannot say them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from penstock.errors import InputError
from penstock.sources.files import DataFile
from penstock.sources.opening import opened
from penstock.sources.records import BadRecord, NoRows, Record, check_header, plain

_BATCH = 1000
_READ_AHEAD = 1024 * 1024


def rows(file: DataFile, on_header: Callable[[Sequence[str], str], None]) -> Generator[Record]:
    """The rows as objects. Places are `name row N`, from 1.

    on_header is called with the column names and the file's name. Raises InputError for a file that
    is damaged or not Parquet, and for columns that cannot become JSON.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with opened(file, unpack=False) as stream:
        if not stream.peek(1):
            raise NoRows.at(file.name, "the file is empty")
        try:
            table = pq.ParquetFile(stream, buffer_size=_READ_AHEAD)
            schema = table.schema_arrow
            check_header(schema.names, file.name)
            _refuse_bytes(schema, file)
            on_header(schema.names, file.name)
            number = 0
            uneasy = [field.name for field in schema if not _is_plain(field.type)]
            for batch in table.iter_batches(_BATCH, use_threads=False):
                for row in _exact_times(batch).to_pylist():
                    number += 1
                    yield _record(f"{file.name} row {number}", row, uneasy)
        except (pa.ArrowException, ValueError, OverflowError, KeyError) as error:
            raise InputError.at(file.name, f"cannot be read as Parquet: {error}") from error
        if not number:
            raise NoRows.at(file.name, "there are columns, but no rows")


def _record(place: str, row: dict[str, Any], uneasy: Sequence[str]) -> Record:
    for name in uneasy:
        try:
            row[name] = plain(row[name])
        except BadRecord as error:
            return place, None, f"column {name!r}: {error}"
    return place, row, None


def _is_plain(kind: Any) -> bool:
    """Whether pyarrow's Python values of this type are JSON as they are."""
    from pyarrow import types

    return bool(
        types.is_integer(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_boolean(kind)
        or types.is_null(kind)
    )


def _refuse_bytes(schema: Any, file: DataFile) -> None:
    names = [field.name for field in schema if _has_bytes(field.type)]
    if names:
        raise InputError.at(
            file.name,
            f"bytes in column {', '.join(names)}: JSON cannot say them; "
            "write the file without, or with the bytes as text (base64)",
        )


def _has_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_nested(kind):
        return any(_has_bytes(kind.field(index).type) for index in range(kind.num_fields))
    if types.is_dictionary(kind):
        return _has_bytes(kind.value_type)
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )


def _exact_times(batch: Any) -> Any:
    """The batch with nanosecond timestamps, which Python does not have, as microseconds or text."""
    import pyarrow as pa
    from pyarrow import compute, types

    for index, field in enumerate(batch.schema):
        if not (types.is_timestamp(field.type) and field.type.unit == "ns"):
            continue
        column = batch.column(index)
        try:
            column = column.cast(pa.timestamp("us", field.type.tz))
        except pa.ArrowInvalid:
            text = column.cast(pa.string())
            column = compute.replace_substring(text, " ", "T", max_replacements=1)
        batch = batch.set_column(index, field.name, column)
    return batch
