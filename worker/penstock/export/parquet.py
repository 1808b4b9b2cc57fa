"""Parquet: typed columns, vectors as lists, anything else as JSON text.

Row groups are bounded in rows and bytes, so memory is the same for any number of rows. Columns that
hold JSON text carry the field metadata `penstock.encoding: json`. pyarrow is imported only here,
when a Parquet file is really written: it alone costs some 35 MB.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import IO, Any

from penstock import jsons
from penstock.export.kinds import Kind
from penstock.export.rows import ExportRow, Layout

_GROUP_ROWS = 65_536
_GROUP_BYTES = 4 << 20


class ParquetWriter:
    """Writes rows into an open binary file, which stays the caller's to close.

    kinds: one a column of the layout, from a pass over all rows.
    """

    def __init__(self, file: IO[bytes], layout: Layout, kinds: Sequence[Kind]) -> None:
        # Read once, when the library loads. Its own allocator keeps what it once had: 148 MB at
        # the peak where the system's needs 95, and growing with the rows.
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
        import pyarrow
        import pyarrow.parquet

        self._pyarrow = pyarrow
        self._layout = layout
        self._kinds = kinds
        self._schema = _schema(pyarrow, layout.columns, kinds)
        self._writer = pyarrow.parquet.ParquetWriter(
            file,
            self._schema,
            compression="zstd",
            # Texts repeat. A dictionary of vectors helps nothing: 60 MB more, twice the file.
            use_dictionary=[
                name
                for name, kind in zip(layout.columns, kinds, strict=True)
                if kind in (Kind.TEXT, Kind.JSON)
            ],
        )
        self._batches: list[Any] = []

    def write(self, rows: Sequence[ExportRow]) -> None:
        """Append rows. Raises OSError."""
        columns = zip(*map(self._layout.cells, rows), strict=True)
        arrays = [
            self._pyarrow.array(_encode(values, kind), type=field.type)
            for values, kind, field in zip(columns, self._kinds, self._schema, strict=True)
        ]
        self._batches.append(self._pyarrow.record_batch(arrays, schema=self._schema))
        held_rows = sum(batch.num_rows for batch in self._batches)
        held_bytes = sum(batch.nbytes for batch in self._batches)
        if held_rows >= _GROUP_ROWS or held_bytes >= _GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is held and the footer. Raises OSError."""
        if self._batches:
            self._flush()
        self._writer.close()

    def abandon(self) -> None:
        """Close the library's writer now: later, its finalizer would find the file gone."""
        self._batches.clear()
        with contextlib.suppress(OSError, self._pyarrow.ArrowException):
            self._writer.close()

    def _flush(self) -> None:
        table = self._pyarrow.Table.from_batches(self._batches, schema=self._schema)
        self._batches.clear()
        self._writer.write_table(table, row_group_size=_GROUP_ROWS)


def _schema(pyarrow: Any, names: Sequence[str], kinds: Sequence[Kind]) -> Any:
    types = {
        Kind.BOOL: pyarrow.bool_(),
        Kind.INT: pyarrow.int64(),
        Kind.FLOAT: pyarrow.float64(),
        Kind.TEXT: pyarrow.string(),
        Kind.INTS: pyarrow.list_(pyarrow.int64()),
        Kind.FLOATS: pyarrow.list_(pyarrow.float64()),
        Kind.JSON: pyarrow.string(),
    }
    return pyarrow.schema(
        [
            pyarrow.field(
                name,
                types[kind],
                metadata={"penstock.encoding": "json"} if kind is Kind.JSON else None,
            )
            for name, kind in zip(names, kinds, strict=True)
        ]
    )


def _encode(values: Sequence[Any], kind: Kind) -> Sequence[Any]:
    if kind is not Kind.JSON:
        return values
    return [None if value is None else jsons.dumps(value) for value in values]
