"""Every format gives back what went in: read with the libraries people read such files with."""

from __future__ import annotations

import asyncio
import csv
import json
import math
import tempfile
import zipfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from xml.parsers import expat

import openpyxl
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils.escape import unescape
from python_calamine import CalamineWorkbook

from penstock.errors import ExportError
from penstock.export.rows import ExportRow, Layout, Survey
from penstock.export.write import write_rows
from penstock.export.xlsx import MAX_CHARACTERS, MAX_COLUMNS, MAX_ROWS, check_size

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["=1+1", "00123", "http://x.y", "<r>a & b</r>", "_x0041_", "a\r\nb", "\x00", "\ufffe", " "]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(["a", "b", "", "_id", "item", "output", "output.a", "ü", "=x", "A", "\n"])
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)
STATUSES = st.sampled_from(["succeeded", "skipped", "failed", "pending"])


@st.composite
def results(draw: st.DrawFn) -> list[ExportRow]:
    return [
        ExportRow(
            position,
            draw(st.text(max_size=8)),
            draw(STATUSES),
            draw(st.integers(0, 5)),
            draw(st.none() | st.text(max_size=8)),
            draw(OBJECTS | VALUES),
            draw(OBJECTS | VALUES),
        )
        for position in range(draw(st.integers(0, 5)))
    ]


async def chunked(rows: Sequence[ExportRow], size: int = 2) -> AsyncIterator[Sequence[ExportRow]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def written(rows: Sequence[ExportRow], folder: str | Path, name: str) -> Path:
    path = Path(folder) / name
    assert asyncio.run(write_rows(chunked(rows), path, None)) == len(rows)
    return path


def layout_of(rows: Sequence[ExportRow]) -> Layout:
    survey = Survey()
    survey.add(rows)
    return survey.layout()


def done(output: Any, item: Any = None) -> ExportRow:
    return ExportRow(0, "a", "succeeded", 1, None, item, output)


@given(results())
def test_jsonl_round_trip(rows: list[ExportRow]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lines = written(rows, folder, "r.jsonl").read_bytes().split(b"\n")
    assert lines.pop() == b""
    layout = layout_of(rows)
    assert [json.loads(line) for line in lines] == [layout.record(row) for row in rows]


@given(results())
def test_csv_round_trip(rows: list[ExportRow]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        written(rows, folder, "r.csv").open(encoding="utf-8", newline="") as file,
    ):
        header, *lines = csv.reader(file, strict=True)
    layout = layout_of(rows)
    assert header == layout.columns
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        for text, value in zip(line, layout.cells(row), strict=True):
            if value is None or isinstance(value, str):
                assert text == (value or "")
            else:
                assert json.loads(text) == value


@given(results())
def test_xlsx_round_trip(rows: list[ExportRow]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(rows, folder, "r.xlsx")
        assert_well_formed(path)
        sheet = openpyxl.load_workbook(path)["results"]
        cells = [list(line) for line in sheet.iter_rows()]
        read = CalamineWorkbook.from_path(path).get_sheet_by_name("results")
        assert read.height == len(rows) + 1
    layout = layout_of(rows)
    width = len(layout.columns)
    expected = [layout.columns, *(layout.cells(row) for row in rows)]
    assert len(cells) == len(expected)
    for line, values in zip(cells, expected, strict=True):
        found = [cell.value for cell in line] + [None] * (width - len(line))
        for value, want in zip(found, values, strict=True):
            assert same_in_excel(value, want), (value, want)
        assert not any(cell.data_type == "f" or cell.hyperlink for cell in line)


def same_in_excel(found: Any, want: Any) -> bool:
    if want is None:
        return found is None
    if isinstance(want, str):
        return bool(unescape(found) == want)
    if isinstance(want, bool):
        return found is want
    if isinstance(found, str):  # nested, or a number Excel has no room for
        return bool(json.loads(unescape(found)) == want)
    return math.isclose(found, want, rel_tol=1e-15)


def assert_well_formed(path: Path) -> None:
    """Every part parses as XML; what does not is what Excel offers to repair."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for name in archive.namelist():
            expat.ParserCreate().Parse(archive.read(name), True)


@given(results())
def test_parquet_round_trip(rows: list[ExportRow]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = pyarrow.parquet.read_table(written(rows, folder, "r.parquet"))
    layout = layout_of(rows)
    assert table.column_names == layout.columns
    expected = [layout.cells(row) for row in rows]
    for index, field in enumerate(table.schema):
        values = table.column(index).to_pylist()
        if (field.metadata or {}).get(b"penstock.encoding") == b"json":
            values = [None if value is None else json.loads(value) for value in values]
        assert values == [cells[index] for cells in expected]


@pytest.mark.parametrize("name", ["r.jsonl", "r.csv", "r.xlsx", "r.parquet"])
@pytest.mark.parametrize(
    "rows",
    [
        [],
        [ExportRow(0, "a", "failed", 3, "500 from the server", {"sku": "00123"}, None)],
        [ExportRow(0, "a", "failed", 0, "line 3 is no JSON", None, None)],
        [done({})],
        [done(None, {"": ""})],
    ],
    ids=["no rows", "only failed", "unreadable", "empty output", "empty names"],
)
def test_the_ends_of_what_a_result_can_be(name: str, rows: list[ExportRow], tmp_path: Path) -> None:
    path = written(rows, tmp_path, name)
    columns = layout_of(rows).columns
    if name == "r.jsonl":
        assert len(path.read_text().splitlines()) == len(rows)
    elif name == "r.csv":
        with path.open(newline="") as file:
            assert next(csv.reader(file)) == columns
    elif name == "r.xlsx":
        sheet = openpyxl.load_workbook(path)["results"]
        assert [cell.value or "" for cell in sheet[1]] == [c for c in columns if c] + [""] * (
            len(sheet[1]) - len([c for c in columns if c])
        )
        assert sheet.freeze_panes == "A2"
        assert sheet["A1"].font.bold
    else:
        table = pyarrow.parquet.read_table(path)
        assert (table.num_rows, table.column_names) == (len(rows), columns)


def test_csv_is_rfc_4180(tmp_path: Path) -> None:
    path = written([done('say "hi", é\n')], tmp_path, "r.csv")
    assert path.read_bytes() == (
        b"_position,_id,_status,_attempts,_error,output\r\n"
        b'0,a,succeeded,1,,"say ""hi"", \xc3\xa9\n"\r\n'
    )


def test_vectors_are_lists_of_doubles_in_parquet(tmp_path: Path) -> None:
    vectors = [[0.1 * place + row for place in range(768)] for row in range(50)]
    rows = [ExportRow(n, str(n), "succeeded", 1, None, {}, v) for n, v in enumerate(vectors)]
    table = pyarrow.parquet.read_table(written(rows, tmp_path, "r.parquet"))
    assert str(table.schema.field("output").type) == "list<element: double>"
    assert table.column("output").to_pylist() == vectors


def test_row_groups_are_bounded_by_their_bytes(tmp_path: Path) -> None:
    rows = [
        ExportRow(n, str(n), "succeeded", 1, None, {}, [float(n)] * 2_000) for n in range(1_000)
    ]
    path = written(rows, tmp_path, "r.parquet")
    metadata = pyarrow.parquet.read_metadata(path)
    assert metadata.num_rows == 1_000
    assert metadata.num_row_groups > 1
    assert pyarrow.parquet.read_table(path).column("_position").to_pylist() == list(range(1_000))


def test_excel_cells_that_are_too_long_are_cut_visibly_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    fits, long, wide = "x" * MAX_CHARACTERS, "x" * (MAX_CHARACTERS + 1), "😀" * 16_384
    rows = [done({"fits": fits, "long": long, "wide": wide})]
    path = tmp_path / "r.xlsx"
    asyncio.run(write_rows(chunked(rows), path, None, warn=said.append))
    read = CalamineWorkbook.from_path(path).get_sheet_by_name("results").to_python()[1][-3:]
    assert read[0] == fits
    for text in map(str, read[1:]):
        assert text.endswith("…[cut at 32,767 characters]")
        assert MAX_CHARACTERS - 1 <= len(text.encode("utf-16-le")) // 2 <= MAX_CHARACTERS
    assert said == [
        "2 cells were longer than the 32,767 characters Excel can hold and cut; "
        "write .csv, .jsonl or .parquet to have them whole"
    ]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (10**15 - 1, 10.0**15 - 1),
        (10**15, "1000000000000000"),
        (-(10**15), "-1000000000000000"),
        (1.5, 1.5),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (5e-324, "5e-324"),
        (True, True),
        ("00123", "00123"),
        ("=HYPERLINK(1)", "=HYPERLINK(1)"),
        ("<r>a & b</r>", "<r>a & b</r>"),
        (float("nan"), "nan"),
    ],
)
def test_what_excel_would_change_is_a_text(value: Any, cell: Any, tmp_path: Path) -> None:
    path = written([done({"v": value})], tmp_path, "r.xlsx")
    assert_well_formed(path)
    assert CalamineWorkbook.from_path(path).get_sheet_by_name("results").to_python()[1][-1] == cell


def test_a_sheet_that_is_too_small_says_so_at_once(tmp_path: Path) -> None:
    too_many = [done(1)] * (MAX_ROWS + 1)
    with pytest.raises(ExportError, match=r"holds 1,048,575 rows .* write \.csv"):
        asyncio.run(write_rows(chunked(too_many, len(too_many)), tmp_path / "r.xlsx", None))
    wide = [done(dict.fromkeys(map(str, range(MAX_COLUMNS - 4)), 1))]
    with pytest.raises(ExportError, match="holds 16,384 columns"):
        asyncio.run(write_rows(chunked(wide), tmp_path / "r.xlsx", None))
    assert list(tmp_path.iterdir()) == []
    check_size(MAX_ROWS, MAX_COLUMNS)
