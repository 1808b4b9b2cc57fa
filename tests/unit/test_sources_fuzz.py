"""Whatever the bytes: items or an InputError, never anything else; and what was written comes back.

Each example writes one small file; hypothesis and tmp_path go together because it is overwritten.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.errors import InputError
from penstock.sources.files import DataFile
from penstock.sources.items import Item, check_source, read_items
from penstock.sources.json_document import rows as json_rows
from penstock.spec.source import Source

FORMATS = ("jsonl", "json", "csv", "parquet", "xlsx")
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.lists(text.filter(str.strip), min_size=1, max_size=4, unique=True)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text
documents = st.recursive(
    scalars.filter(lambda value: not isinstance(value, float) or abs(value) != float("inf")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
# Bytes that get further than random ones: pieces of each format, broken by what is between them.
PIECES = (
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\n", b"\r", b"\\u", b"1", b"e9", b"null", b"NaN"),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xe9", b"\x00", b"\xed\xa0\x80", b";", b"\t"),
    *(b"a,b\n", b'{"a":1}', b"12345678901234567890"),
    *(b"PAR1", b"PK\x03\x04", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"),
)
pieces = st.sampled_from(PIECES)
broken = st.binary(max_size=200) | st.lists(pieces, max_size=30).map(b"".join)


def source(path: str, **options: Any) -> Source:
    return Source.model_validate({"file": {"path": path}, **options})


def read(folder: Path, path: str, **options: Any) -> list[Item]:
    return list(read_items(source(path, **options), folder))


def values(folder: Path, path: str) -> list[Any]:
    return [json.loads(item.payload) for item in read(folder, path)]


def survives(folder: Path, name: str, content: bytes, **options: Any) -> None:
    """Reading gives items that can be stored, or InputError, in both ways of treating bad rows."""
    (folder / name).write_bytes(content)
    for treatment in ("refuse", "failItem"):
        wanted = source(name, onBadRecord=treatment, **options)
        try:
            check_source(wanted, folder)
            for item in read_items(wanted, folder):
                json.loads(item.payload.encode())
                assert "\0" not in item.item_id
                item.item_id.encode()
        except InputError as error:
            told = [mistake.where and mistake.message for mistake in error.mistakes]
        else:
            told = ["read"]
        assert all(told)


@pytest.mark.parametrize("kind", FORMATS)
@shared_folder
@given(content=broken)
def test_arbitrary_bytes(tmp_path: Path, kind: str, content: bytes) -> None:
    survives(tmp_path, f"a.{kind}", content)
    survives(tmp_path, f"a.{kind}", content, idField=["a", "_position"], where="item.a")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le", "cp1252", "shift_jis", "utf-7"])
@shared_folder
@given(content=broken)
def test_arbitrary_bytes_in_other_encodings(tmp_path: Path, encoding: str, content: bytes) -> None:
    survives(tmp_path, "a.csv", content, csv={"encoding": encoding})


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
@shared_folder
@given(at=st.integers(0, 400), byte=st.integers(0, 255), cut=st.integers(0, 30))
def test_damaged_compression(tmp_path: Path, pack: Any, at: int, byte: int, cut: int) -> None:
    packed = bytearray(pack(b'{"a": "b"}\n{"c": 123}\n' * 20))
    packed[at % len(packed)] = byte
    survives(tmp_path, "a.jsonl.gz", bytes(packed[: len(packed) - cut]))


def parquet_bytes() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": ["x", "y", None], "n": [1, 2, 3], "f": [[0.5], [], None]}), out)
    return out.getvalue()


def workbook_members() -> dict[str, bytes]:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet("A")
        for row, line in enumerate([["a", "b"], ["x", 1], ["y", 2.5]]):
            sheet.write_row(row, 0, line)
    with zipfile.ZipFile(out) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


PARQUET = parquet_bytes()
WORKBOOK = workbook_members()


@shared_folder
@given(edits=st.lists(st.tuples(st.integers(0, len(PARQUET) - 1), st.integers(0, 255)), max_size=4))
def test_damaged_parquet(tmp_path: Path, edits: list[tuple[int, int]]) -> None:
    content = bytearray(PARQUET)
    for at, byte in edits:
        content[at] = byte
    survives(tmp_path, "a.parquet", bytes(content))


@shared_folder
@given(
    name=st.sampled_from(sorted(WORKBOOK)),
    at=st.integers(0, 2000),
    inserted=st.binary(max_size=4) | st.sampled_from([b"<", b"/>", b"<c>", b"99999999999", b"-1"]),
    cut=st.integers(0, 20),
)
def test_damaged_workbook(tmp_path: Path, name: str, at: int, inserted: bytes, cut: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member, content in WORKBOOK.items():
            place = at % (len(content) + 1)
            changed = content[:place] + inserted + content[place + cut :]
            archive.writestr(member, changed if member == name else content)
    survives(tmp_path, "a.xlsx", out.getvalue())


@shared_folder
@given(items=st.lists(documents, min_size=1, max_size=5), ascii_only=st.booleans())
def test_json_lines_come_back(tmp_path: Path, items: list[Any], ascii_only: bool) -> None:
    lines = "".join(json.dumps(item, ensure_ascii=ascii_only) + "\n" for item in items)
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8", newline="")
    # A line that begins like a document would is refused as one.
    if not (isinstance(items[0], list) and items[0] and isinstance(items[0][0], dict)):
        assert values(tmp_path, "a.jsonl") == items


@shared_folder
@given(
    items=st.lists(documents, min_size=1, max_size=5),
    before=st.dictionaries(text, scalars.filter(lambda value: not isinstance(value, float))),
    indent=st.none() | st.integers(0, 2),
    chunk=st.integers(1, 80),
)
def test_json_documents_come_back(
    tmp_path: Path, items: list[Any], before: dict[str, Any], indent: int | None, chunk: int
) -> None:
    before.pop("items", None)
    for document in (items, {**before, "items": items, "after": {"list": [1]}}):
        (tmp_path / "a.json").write_text(json.dumps(document, indent=indent), encoding="utf-8")
        file = DataFile(tmp_path / "a.json", "a.json", "json")
        assert [value for _, value, _ in json_rows(file, chunk)] == items


@shared_folder
@given(header=names, data=st.data(), delimiter=st.sampled_from(",;\t|"))
def test_csv_rows_come_back(
    tmp_path: Path, header: list[str], data: st.DataObject, delimiter: str
) -> None:
    row = st.lists(text, min_size=len(header), max_size=len(header))
    rows = data.draw(st.lists(row, min_size=1, max_size=5))
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerows([header, *rows])
    wanted = source("a.csv", csv={"delimiter": delimiter})
    found = [json.loads(item.payload) for item in read_items(wanted, tmp_path)]
    assert found == [dict(zip(header, row, strict=True)) for row in rows]


@shared_folder
@given(header=names, data=st.data())
def test_parquet_rows_come_back(tmp_path: Path, header: list[str], data: st.DataObject) -> None:
    row = st.lists(st.none() | text, min_size=len(header), max_size=len(header))
    rows = data.draw(st.lists(row, min_size=1, max_size=5))
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    pq.write_table(pa.table(columns, names=header), tmp_path / "a.parquet")
    assert values(tmp_path, "a.parquet") == [dict(zip(header, row, strict=True)) for row in rows]


# Excel has no control characters in XML, and takes \r for \n, like every XML reader.
cell_text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
cells = cell_text | st.integers(-(2**53), 2**53) | st.booleans() | st.none()


@shared_folder
@given(
    header=st.lists(cell_text.filter(str.strip), min_size=1, max_size=4, unique=True),
    data=st.data(),
)
def test_excel_rows_come_back(tmp_path: Path, header: list[str], data: st.DataObject) -> None:
    row = st.lists(cells, min_size=len(header), max_size=len(header)).filter(
        lambda row: any(cell is not None for cell in row)
    )
    rows = data.draw(st.lists(row, min_size=1, max_size=5))
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as book:
        sheet = book.add_worksheet("A")
        lines: list[list[Any]] = [header, *rows]
        for line, row_cells in enumerate(lines):
            for column, cell in enumerate(row_cells):
                if isinstance(cell, str):
                    sheet.write_string(line, column, cell)
                elif cell is not None:
                    sheet.write(line, column, cell)
    assert values(tmp_path, "a.xlsx") == [dict(zip(header, row, strict=True)) for row in rows]
