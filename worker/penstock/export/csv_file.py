"""CSV after RFC 4180: commas, CRLF, quotes where needed, UTF-8 without a byte-order mark.

Data stays exact: 00123 keeps its zeros, and a text that begins with = or + is not altered. A
spreadsheet program may run such a cell as a formula, so data from people nobody knows is better
opened as xlsx, where texts are always texts. null and the empty text are both an empty cell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import IO, Any

from penstock import jsons
from penstock.export.rows import ExportRow, Layout


class CsvWriter:
    """Writes a header and rows into an open binary file, which stays the caller's to close."""

    def __init__(self, file: IO[bytes], layout: Layout) -> None:
        self._file = file
        self._layout = layout
        self._append([layout.columns])

    def write(self, rows: Sequence[ExportRow]) -> None:
        """Append rows. Raises OSError."""
        cells = self._layout.cells
        self._append([[_text(value) for value in cells(row)] for row in rows])

    def close(self) -> None:
        """Nothing is left to write."""

    def abandon(self) -> None:
        """Nothing is held."""

    def _append(self, lines: list[list[Any]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(lines)
        self._file.write(text.getvalue().encode())


def _text(value: Any) -> Any:
    """What the csv module is to write; numbers and None it knows itself."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return jsons.dumps(value)
    return value
