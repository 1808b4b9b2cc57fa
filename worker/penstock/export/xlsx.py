"""Excel: one sheet, `results`, that opens without a repair prompt.

What Excel cannot hold becomes text rather than something else: integers beyond its 15 digits,
numbers at the very ends of the range. Texts are never read as formulas, links or numbers. A text
beyond 32,767 characters is cut with a mark, and `warn` is told how many were. Rows go to a
temporary file as they come (xlsxwriter's constant_memory), so memory does not grow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from xlsxwriter import Workbook
from xlsxwriter.exceptions import FileCreateError, FileSizeError
from xlsxwriter.worksheet import Worksheet

from penstock import jsons
from penstock.errors import ExportError
from penstock.export.rows import ExportRow, Layout

MAX_ROWS = 1_048_575  # the sheet's 1,048,576 less the header
MAX_COLUMNS = 16_384
MAX_CHARACTERS = 32_767  # in UTF-16 units: an emoji counts as two

_CUT_MARK = "…[cut at 32,767 characters]"
_EXACT_INTEGERS = 10**15
_SMALLEST, _LARGEST = 2.2250738585072014e-308, 1e308


def check_size(rows: int, columns: int) -> None:
    """Raises ExportError when a sheet cannot hold so many."""
    for count, limit, what in ((rows, MAX_ROWS, "rows"), (columns, MAX_COLUMNS, "columns")):
        if count > limit:
            raise ExportError(
                f"an Excel sheet holds {limit:,} {what} and the result has more: "
                "write .csv, .jsonl or .parquet instead"
            )


class XlsxWriter:
    """Writes a bold, frozen header and rows into an open binary file.

    folder: where temporary files go (as large as the sheet unpacked). warn: told once, at the end.
    """

    def __init__(
        self, file: IO[bytes], layout: Layout, folder: Path, warn: Callable[[str], object]
    ) -> None:
        check_size(0, len(layout.columns))
        self._layout = layout
        self._warn = warn
        self._cut = 0
        self._row = 0
        self._out = _Output(file)
        self._book = Workbook(self._out, {"constant_memory": True, "tmpdir": str(folder)})
        self._sheet = self._book.add_worksheet("results", worksheet_class=_PlainSheet)
        self._sheet.freeze_panes(1, 0)
        bold = self._book.add_format({"bold": True})
        for column, name in enumerate(layout.columns):
            self._sheet.write_string(0, column, self._fit(name), bold)

    def write(self, rows: Sequence[ExportRow]) -> None:
        """Append rows. Raises OSError, ExportError when the sheet is full."""
        check_size(self._row + len(rows), 0)
        for row in rows:
            self._row += 1
            for column, value in enumerate(self._layout.cells(row)):
                if value is not None:
                    self._put(self._row, column, value)

    def close(self) -> None:
        """Pack the sheet. Raises OSError, ExportError when it is larger than Excel opens."""
        try:
            self._book.close()
        except FileCreateError as error:
            cause = error.args[0] if error.args else error
            raise cause if isinstance(cause, OSError) else ExportError(str(cause)) from error
        except FileSizeError as error:
            raise ExportError(
                "the sheet is larger than an Excel file can be (4 GB unpacked): "
                "write .csv, .jsonl or .parquet instead"
            ) from error
        if self._cut:
            cells = "1 cell was" if self._cut == 1 else f"{self._cut:,} cells were"
            self._warn(
                f"{cells} longer than the {MAX_CHARACTERS:,} characters Excel can hold and cut; "
                "write .csv, .jsonl or .parquet to have them whole"
            )

    def abandon(self) -> None:
        """Let go of the files of a sheet that will not be finished."""
        self._out.abandoned = True
        handle = self._sheet.row_data_fh
        if handle is not None:
            handle.close()

    def _put(self, row: int, column: int, value: Any) -> None:
        sheet = self._sheet
        if isinstance(value, str):
            sheet.write_string(row, column, self._fit(value))
        elif isinstance(value, bool):
            sheet.write_boolean(row, column, value)
        elif isinstance(value, int | float):
            if _is_exact(value):
                sheet.write_number(row, column, value)
            else:
                sheet.write_string(row, column, self._fit(str(value)))
        else:
            sheet.write_string(row, column, self._fit(jsons.dumps(value)))

    def _fit(self, text: str) -> str:
        if len(text) <= MAX_CHARACTERS // 2 or _units(text) <= MAX_CHARACTERS:
            return text
        self._cut += 1
        room = (MAX_CHARACTERS - _units(_CUT_MARK)) * 2
        kept = text.encode("utf-16-le")[:room].decode("utf-16-le", errors="ignore")
        return kept + _CUT_MARK


class _Output:
    """The file, until the sheet is given up: then nothing reaches it any more.

    The library's archive, when it is collected unfinished, writes its end into whatever it was
    given; on a full disk or a closed file that prints a traceback nobody asked for.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.abandoned = False
        self._file = file
        self._at = 0

    def write(self, data: bytes) -> int:
        if not self.abandoned:
            self._file.write(data)
        self._at += len(data)
        return len(data)

    def seek(self, offset: int) -> int:
        if not self.abandoned:
            self._file.seek(offset)
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        if not self.abandoned:
            self._file.flush()


class _PlainSheet(Worksheet):  # type: ignore[misc]
    """A sheet without rich text.

    In constant_memory mode the library takes any text of the form <r>…</r> for markup of its own
    and writes it unescaped, which breaks the file. Rich text is not used here: it is a plain text.
    """

    def _xml_rich_inline_string(self, string: str, attributes: Any = ()) -> None:
        self._xml_inline_string(string, False, attributes)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _is_exact(number: float) -> bool:
    if isinstance(number, int):
        return -_EXACT_INTEGERS < number < _EXACT_INTEGERS
    return math.isfinite(number) and (number == 0 or _SMALLEST <= abs(number) < _LARGEST)
