"""JSON Lines: one flat object a row, values as they are. Keys a row lacks are absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from penstock import jsons
from penstock.export.rows import ExportRow, Layout


class JsonlWriter:
    """Writes UTF-8 lines into an open binary file, which stays the caller's to close."""

    def __init__(self, file: IO[bytes], layout: Layout) -> None:
        self._file = file
        self._layout = layout

    def write(self, rows: Sequence[ExportRow]) -> None:
        """Append rows. Raises OSError."""
        record, dumps = self._layout.record, jsons.dumps
        lines = [dumps(record(row)) for row in rows]
        lines.append("")
        self._file.write("\n".join(lines).encode())

    def close(self) -> None:
        """Nothing is left to write."""

    def abandon(self) -> None:
        """Nothing is held."""
