"""Excel workbooks: the rows of one sheet below its header row.

Text stays text (00123 keeps its zeros), whole numbers are integers (Excel stores them all as
floating point), dates are ISO 8601 text, empty cells and Excel's error values null. The library
unpacks a whole sheet at once, so here alone memory grows with the file: a million rows belong
into CSV or Parquet.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from penstock.errors import InputError
from penstock.sources.files import DataFile
from penstock.sources.opening import opened
from penstock.sources.records import NoRows, Record, check_header, plain, some
from penstock.spec.suggest import did_you_mean

SHEET_FIELD = "spec.source.xlsx.sheet"
_EXACT = 2.0**53  # up to here every whole number is exact in floating point
_SHEET_ROWS = Iterator[list[Any]]


def rows(
    file: DataFile, sheet: str | None, on_header: Callable[[Sequence[str], str], None]
) -> Generator[Record]:
    """The rows as objects. Places are `name sheet 'S' row N`, N as Excel counts.

    Wholly empty rows are no rows. on_header is called with the column names and their place. Raises
    InputError for an unknown sheet (listing them), a bad header, and what is not a workbook.
    """
    name, lines = _sheet(file, sheet)
    place = f"{file.name} sheet {name!r}"
    numbered = (
        (number, [_cell(value) for value in line])
        for number, line in enumerate(lines, 1)
        if any(value != "" for value in line)
    )
    first = next(numbered, None)
    if first is None:
        raise NoRows.at(place, "the sheet is empty")
    header = _header(first[1], f"{place} row {first[0]}")
    columns = [(index, title) for index, title in enumerate(header) if title]
    blind = [index for index, title in enumerate(header) if not title]
    on_header([title for _, title in columns], f"{place} row {first[0]}")
    found = False
    for number, cells in numbered:
        found = True
        here = f"{place} row {number}"
        stray = next((index for index in blind if cells[index] is not None), None)
        if stray is not None:
            problem = f"cell {_letters(stray)}{number} has a value, but its column has no name"
            yield here, None, problem
            continue
        yield here, {title: cells[index] for index, title in columns}, None
    if not found:
        raise NoRows.at(place, "there is a header row, but no row below it")


def _sheet(file: DataFile, wanted: str | None) -> tuple[str, _SHEET_ROWS]:
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum

    with opened(file, unpack=False) as stream:
        if not stream.peek(1):
            raise NoRows.at(file.name, "the file is empty")
        try:
            book = CalamineWorkbook.from_filelike(stream)
            sheets = [
                one.name for one in book.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet
            ]
            name = wanted if wanted is not None else next(iter(sheets), None)
            if name is None:
                raise NoRows.at(file.name, "there is no sheet in the workbook")
            if name not in sheets:
                raise InputError.at(
                    SHEET_FIELD,
                    f"{file.name} has no sheet {name!r}{did_you_mean(name, sheets)} "
                    f"Sheets: {some(sheets)}",
                )
            return name, book.get_sheet_by_name(name).iter_rows()
        except PasswordError as error:
            raise InputError.at(file.name, "protected by a password: save it without") from error
        except (CalamineError, ValueError) as error:
            raise InputError.at(file.name, f"cannot be read as a workbook: {error}") from error
        except BaseException as error:
            # A panic of the library, which is no Exception, must not look like a crash of ours.
            if type(error).__name__ != "PanicException":
                raise
            raise InputError.at(file.name, "cannot be read as a workbook: damaged") from error


def _header(cells: Sequence[Any], place: str) -> list[str]:
    """Column names, "" for a column without: harmless as long as the column is empty."""
    titles = ["" if cell is None else str(cell) for cell in cells]
    named = [(title, _letters(index)) for index, title in enumerate(titles) if title]
    check_header([title for title, _ in named], place, [letters for _, letters in named])
    return titles


def _cell(value: Any) -> Any:
    if value == "":
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value
    return plain(value)


def _letters(index: int) -> str:
    """Excel's name of a column: 0 is A, 26 is AA."""
    text = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        text = chr(ord("A") + rest) + text
    return text
