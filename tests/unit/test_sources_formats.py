"""What each format makes of its rows: values, places, and what is said about broken ones."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
import zstandard

from penstock.errors import InputError
from penstock.sources.csv_rows import delimiter_of
from penstock.sources.files import DataFile
from penstock.sources.items import check_source, read_items
from penstock.sources.json_document import rows as json_rows
from penstock.sources.records import plain
from penstock.spec.source import Source


def source(path: str, **options: Any) -> Source:
    return Source.model_validate({"file": {"path": path}, **options})


def values(folder: Path, path: str, **options: Any) -> list[Any]:
    return [json.loads(item.payload) for item in read_items(source(path, **options), folder)]


def places(folder: Path, path: str, **options: Any) -> list[str]:
    return [item.where for item in read_items(source(path, **options), folder)]


def refusal(folder: Path, path: str, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        list(read_items(source(path, **options), folder))
    return str(caught.value)


def workbook(path: Path, sheets: dict[str, list[list[Any]]]) -> None:
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as book:
        for name, lines in sheets.items():
            sheet = book.add_worksheet(name)
            for row, line in enumerate(lines):
                for column, value in enumerate(line):
                    if isinstance(value, str):
                        sheet.write_string(row, column, value)
                    elif value is not None:
                        sheet.write(row, column, value)


class TestJsonLines:
    def test_any_json_value_is_an_item_and_blank_lines_are_none(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"a":1}\r\n\n  \n"text"\n[1]\n7')
        assert values(tmp_path, "a.jsonl") == [{"a": 1}, "text", [1], 7]
        assert places(tmp_path, "a.jsonl") == ["a.jsonl:1", "a.jsonl:4", "a.jsonl:5", "a.jsonl:6"]

    def test_integers_beyond_64_bits_survive(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text('{"n": 123456789012345678901234567890}\n')
        items = list(read_items(source("a.jsonl", idField="n"), tmp_path))
        assert items[0].payload == '{"n":123456789012345678901234567890}'
        assert items[0].item_id == "123456789012345678901234567890"

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (b'{"a": }', "a.jsonl:2: not JSON: "),
            (b'{"a": NaN}', "a.jsonl:2: not JSON: "),
            (b'{"a": "\\ud800"}', "a.jsonl:2: not JSON: "),
            (b'{"a": "\\ud800", "n": 1234567890123456789012}', "a.jsonl:2: half a character"),
            (b"[" * 100_000, "a.jsonl:2: not JSON: "),
            (b"[" * 100_000 + b"1" * 20, "a.jsonl:2: not JSON: nested too deeply"),
            (b'{"a": "caf\xe9"}', "byte 0xe9 is not UTF-8; it looks like cp1252 ("),
            (b'{"a": "caf\xe9"}', "iconv -f cp1252 -t utf-8 a.jsonl"),
        ],
    )
    def test_a_broken_line(self, tmp_path: Path, line: bytes, message: str) -> None:
        (tmp_path / "a.jsonl").write_bytes(b"{}\n" + line + b"\n{}\n")
        assert message in refusal(tmp_path, "a.jsonl")

    @pytest.mark.parametrize("content", [b'[{"a": 1}]', b'[\n  {"a": 1}\n]'])
    def test_a_document_under_the_wrong_name(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.jsonl").write_bytes(content)
        assert "set spec.source.format: json" in refusal(tmp_path, "a.jsonl")


class TestJsonDocument:
    @pytest.mark.parametrize(
        "text",
        [
            '[{"a":1},2,"x",null,[3]]',
            '\ufeff [ {"a": 1} , 2, "x", null, [3] ] ',
            '{"count":5,"items":[{"a":1},2,"x",null,[3]],"more":{"list":[1]}}',
        ],
    )
    def test_the_array_wherever_it_is(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "a.json").write_text(text)
        assert values(tmp_path, "a.json") == [{"a": 1}, 2, "x", None, [3]]
        assert places(tmp_path, "a.json")[3] == "a.json[3]"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[1, 2", "a.json:1: not a JSON array of items: ',' or ']' is missing after element 1"),
            ("[1,\n2,\n}]", "a.json:3: not a JSON array of items: Expecting value"),
            ("[1\n\n 2]", "a.json:3: not a JSON array of items: ',' or ']' is missing"),
            ('["\n', "a.json:1: not a JSON array of items: Invalid control character"),
            ('[1, "abc', "Unterminated string"),
            ("[NaN]", "NaN is not JSON"),
            ("[1e999]", "the number 1e999 is too large"),
            ("[" * 100_000, "nested too deeply"),
            ("[1] 2", "something follows the end"),
            ("5", "the document is a single value"),
            ("[]", "a.json: the array of items is empty"),
            ('{"items": []}', "a.json: the array of items is empty"),
            ("  ", "nothing but blanks"),
            ("", "the file is empty"),
            ('{"a": 1}', "the object has no array of items in it"),
            ('{"a": 1}\n{"a": 2}', "for one object a line set spec.source.format: jsonl"),
            ('{"a": [1], "b": [2]}', "two arrays, 'a' and 'b'"),
            ('{"a" [1]}', "':' is missing after 'a'"),
            ('{"a": [1] "b": 2}', "',' or '}' is missing after 'a'"),
            ("{a: [1]}", "name in double quotes is missing"),
            ('{"a": [1],', "name in double quotes is missing"),
        ],
    )
    def test_what_is_not_one(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "a.json").write_text(text)
        assert message in refusal(tmp_path, "a.json")

    def test_bytes_of_another_encoding_name_their_line(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_bytes(b'[\n"abc",\n"caf\xe9"]')
        message = refusal(tmp_path, "a.json")
        assert message.startswith("a.json:3: byte 0xe9 is not UTF-8; it looks like cp1252")

    @pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
    def test_elements_across_the_edges_of_chunks(self, tmp_path: Path, chunk: int) -> None:
        elements = [
            1.5e10,
            -0.25,
            'é\U0001f600"\\',
            {"k": [True, False, None]},
            12345678901234567890,
        ]
        (tmp_path / "a.json").write_text(json.dumps({"n": 1, "items": elements}, indent=1))
        file = DataFile(tmp_path / "a.json", "a.json", "json")
        assert [value for _, value, _ in json_rows(file, chunk)] == elements


class TestCsv:
    def test_everything_is_text_and_nothing_is_guessed(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_bytes(
            b'\xef\xbb\xbfsku,note,n\r\n00123,"two\r\nlines, ""quoted""",1.0\r\n\r\n5" TV,, \r\n'
        )
        assert values(tmp_path, "a.csv") == [
            {"sku": "00123", "note": 'two\r\nlines, "quoted"', "n": "1.0"},
            {"sku": '5" TV', "note": "", "n": " "},
        ]
        assert places(tmp_path, "a.csv") == ["a.csv:2", "a.csv:5"]

    @pytest.mark.parametrize(
        ("header", "tabs", "expected"),
        [
            ("a,b,c", False, ","),
            ("a;b;c", False, ";"),
            ("a\tb", False, "\t"),
            ("a|b|c", False, "|"),
            ("one", False, ","),
            ("a,b;c", False, ","),
            ('"a,b,c";d', False, ";"),
            ("a,b", True, "\t"),
        ],
    )
    def test_the_delimiter_is_told_by_the_header(
        self, header: str, tabs: bool, expected: str
    ) -> None:
        assert delimiter_of(header, tabs=tabs) == expected

    def test_a_delimiter_that_is_given_wins(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("a,b;c\n1,2;3\n")
        assert values(tmp_path, "a.csv", csv={"delimiter": ";"}) == [{"a,b": "1,2", "c": "3"}]
        message = refusal(tmp_path, "a.csv", csv={"delimiter": '"'})
        assert message.startswith("spec.source.csv.delimiter: ")

    def test_tsv_by_name(self, tmp_path: Path) -> None:
        (tmp_path / "a.tsv").write_text("a,b\tc\n1\t2\n")
        assert values(tmp_path, "a.tsv") == [{"a,b": "1", "c": "2"}]

    def test_old_line_ends_and_huge_cells(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("a,b\r1,2\r" + "x" * 200_000 + ",3\r", newline="")
        assert [len(value["a"]) for value in values(tmp_path, "a.csv")] == [1, 200_000]

    @pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16", "utf-8"])
    def test_other_encodings(self, tmp_path: Path, encoding: str) -> None:
        (tmp_path / "a.csv").write_bytes("name\nTélé\n".encode(encoding))
        assert values(tmp_path, "a.csv", csv={"encoding": encoding}) == [{"name": "Télé"}]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "a.csv: the file is empty"),
            (b"\n\n", "nothing but blank lines"),
            (b"a,b\n", "a.csv: there is a header row, but no row below it"),
            (b"a,,c\n1,2,3\n", "a.csv:1: column 2 has no name"),
            (b"\na,b,a\n1,2,3\n", "a.csv:2: columns 1 and 3 are both named 'a'"),
            (b"a,b\n1,2\n1,2,3\n", "a.csv:3: too many cells: 3 in the row, 2 in the header (a, b)"),
            (b'a,b\n"x\ny",2\n1\n', "a.csv:4: too few cells: 1 in the row, 2 in the header (a, b)"),
            (b'a,b\n"x"y,2\n', "a.csv:2: not CSV: "),
            (b'"a"b,c\n1,2\n', "a.csv:1: the header row is not CSV"),
            (b'a,b\n1,2\n"x,2\n3,4\n', "a.csv:3: a quoted cell in the row that begins here never"),
            (b'"a,b\n1,2\n', "a.csv:1: a quoted cell in the row that begins here never closes"),
            (b"a,b\n1,2\nT\xe9l\xe9,4\n", "a.csv:3: byte 0xe9 is not UTF-8; it looks like cp1252"),
            (b"a,b\n1,2\nT\xe9l\xe9,4\n", "('Télé'): set spec.source.csv.encoding: cp1252"),
            (b"T\xe9l\xe9,b\n1,2\n", "a.csv:1: byte 0xe9 is not UTF-8"),
            (b"a,b\n1,\x81\n", "looks like latin-1"),
            (b"a\n\xff\x001\x00\n", "perhaps UTF-16"),
            ("a,b\n1,2\n".encode("utf-16"), "a.csv: the text is UTF-16; set spec.source.csv.enc"),
            ("a,b\n1,2\n".encode("utf-32"), "a.csv: the text is UTF-32"),
            (b"PK\x03\x04....", "if it is xlsx, set spec.source.format: xlsx"),
        ],
    )
    def test_what_is_wrong_has_its_line(self, tmp_path: Path, content: bytes, message: str) -> None:
        (tmp_path / "a.csv").write_bytes(content)
        assert message in refusal(tmp_path, "a.csv")

    @pytest.mark.parametrize("name", ["utf-9", "base64"])
    def test_no_such_encoding(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "a.csv").write_text("a\n1\n")
        message = refusal(tmp_path, "a.csv", csv={"encoding": name})
        assert message.startswith(f"spec.source.csv.encoding: {name!r} is no text encoding")

    @pytest.mark.parametrize(
        "content", [b"a\x00,\x00b\x00\n\x00\x00", b"a\x00\n\x001\x00\n\x00\xdc"]
    )
    def test_text_that_breaks_off_in_a_wide_encoding(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.csv").write_bytes(content)
        assert "UTF-16-LE" in refusal(tmp_path, "a.csv", csv={"encoding": "utf-16-le"})


class TestParquet:
    def test_what_json_has_no_type_for_becomes_text(self, tmp_path: Path) -> None:
        moment = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
        table = pa.table(
            {
                "i": [2**62],
                "f": [float("nan")],
                "d": [Decimal("12.50")],
                "day": [date(2024, 1, 2)],
                "at": pa.array([moment], pa.timestamp("us", "UTC")),
                "ns": pa.array([1_704_164_645_123_456_789], pa.timestamp("ns")),
                "ms": pa.array([1_704_164_645_000_000_000], pa.timestamp("ns")),
                "clock": pa.array([time(1, 2)], pa.time64("us")),
                "long": pa.array([timedelta(hours=30, seconds=1.5)]),
                "nested": [{"x": [Decimal("1")], "y": None}],
                "kind": pa.array(["a"]).dictionary_encode(),
                "none": pa.nulls(1),
            }
        )
        pq.write_table(table, tmp_path / "a.parquet")
        assert values(tmp_path, "a.parquet") == [
            {
                "i": 2**62,
                "f": None,
                "d": "12.50",
                "day": "2024-01-02",
                "at": "2024-01-02T03:04:05+00:00",
                "ns": "2024-01-02T03:04:05.123456789",
                "ms": "2024-01-02T03:04:05",
                "clock": "01:02:00",
                "long": "30:00:01.5",
                "nested": {"x": ["1"], "y": None},
                "kind": "a",
                "none": None,
            }
        ]
        assert places(tmp_path, "a.parquet") == ["a.parquet row 1"]

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            (pa.table({"a": [b"x"]}), "bytes in column a: JSON cannot say them"),
            (pa.table({"a": [[b"x"]]}), "bytes in column a"),
            (pa.table({"a": [1.0, float("inf")]}), "a.parquet row 2: column 'a': an infinite numb"),
            (pa.table({"a": pa.array([], pa.int64())}), "there are columns, but no rows"),
            (pa.table([[1], [2]], names=["a", "a"]), "columns 1 and 2 are both named 'a'"),
        ],
    )
    def test_what_cannot_be_said(self, tmp_path: Path, table: pa.Table, message: str) -> None:
        pq.write_table(table, tmp_path / "a.parquet")
        assert message in refusal(tmp_path, "a.parquet")

    def test_not_parquet(self, tmp_path: Path) -> None:
        (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
        assert "cannot be read as Parquet" in refusal(tmp_path, "a.parquet")
        (tmp_path / "a.parquet").write_bytes(b"")
        assert "the file is empty" in refusal(tmp_path, "a.parquet")
        (tmp_path / "a.parquet").write_bytes(gzip.compress(b"PAR1"))
        assert "unpack it first" in refusal(tmp_path, "a.parquet")

    def test_many_batches(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"n": range(2500)}), tmp_path / "a.parquet", row_group_size=700)
        assert [value["n"] for value in values(tmp_path, "a.parquet")] == list(range(2500))


class TestExcel:
    def test_text_stays_text_and_whole_numbers_are_integers(self, tmp_path: Path) -> None:
        lines = [
            ["code", "n", "x", "day", "at", "ok", 2024],
            ["00123", 5, 5.5, date(2024, 1, 2), datetime(2024, 1, 2, 3, 4), True, None],
        ]
        with xlsxwriter.Workbook(tmp_path / "a.xlsx") as book:
            sheet = book.add_worksheet("A")
            day = book.add_format({"num_format": "yyyy-mm-dd"})
            at = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
            for row, line in enumerate(lines):
                for column, value in enumerate(line):
                    if isinstance(value, datetime):
                        sheet.write_datetime(row, column, value, at)
                    elif isinstance(value, date):
                        sheet.write_datetime(row, column, value, day)
                    elif isinstance(value, str):
                        sheet.write_string(row, column, value)
                    elif value is not None:
                        sheet.write(row, column, value)
        assert values(tmp_path, "a.xlsx") == [
            {
                "code": "00123",
                "n": 5,
                "x": 5.5,
                "day": "2024-01-02",
                "at": "2024-01-02T03:04:00",
                "ok": True,
                "2024": None,
            }
        ]
        assert type(values(tmp_path, "a.xlsx")[0]["n"]) is int
        assert places(tmp_path, "a.xlsx") == ["a.xlsx sheet 'A' row 2"]

    def test_empty_rows_and_the_margin_are_no_rows(self, tmp_path: Path) -> None:
        lines: list[list[Any]] = [
            [],
            [None, "a", "b"],
            [],
            [None, "1", None],
            [None, "", ""],
            [None, None, 2],
        ]
        workbook(tmp_path / "a.xlsx", {"A": lines})
        assert values(tmp_path, "a.xlsx") == [{"a": "1", "b": None}, {"a": None, "b": 2}]
        assert places(tmp_path, "a.xlsx") == ["a.xlsx sheet 'A' row 4", "a.xlsx sheet 'A' row 6"]

    def test_a_sheet_by_name(self, tmp_path: Path) -> None:
        workbook(tmp_path / "a.xlsx", {"One": [["a"], ["1"]], "Two": [["a"], ["2"]]})
        assert values(tmp_path, "a.xlsx") == [{"a": "1"}]
        assert values(tmp_path, "a.xlsx", xlsx={"sheet": "Two"}) == [{"a": "2"}]
        message = refusal(tmp_path, "a.xlsx", xlsx={"sheet": "Tow"})
        assert message.startswith("spec.source.xlsx.sheet: a.xlsx has no sheet 'Tow'")
        assert message.endswith("Sheets: One, Two")

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            ([], "the sheet is empty"),
            ([["a", "b"]], "there is a header row, but no row below it"),
            ([["a", "b", "a"], ["1"]], "row 1: columns A and C are both named 'a'"),
            ([["a", " "], ["1"]], "row 1: column B has no name"),
            ([["a"] + [None] * 26 + ["z"], [None] * 26 + ["x"]], "row 2: cell AA2 has a value"),
        ],
    )
    def test_what_is_wrong_has_its_cell(
        self, tmp_path: Path, lines: list[list[Any]], message: str
    ) -> None:
        workbook(tmp_path / "a.xlsx", {"A": lines})
        assert message in refusal(tmp_path, "a.xlsx")

    def test_not_a_workbook(self, tmp_path: Path) -> None:
        (tmp_path / "a.xlsx").write_bytes(b"a,b\n1,2\n")
        assert "cannot be read as a workbook" in refusal(tmp_path, "a.xlsx")
        (tmp_path / "a.xlsx").write_bytes(b"")
        assert "the file is empty" in refusal(tmp_path, "a.xlsx")

    def test_a_number_too_large_to_be_exact_is_no_id(self, tmp_path: Path) -> None:
        workbook(tmp_path / "a.xlsx", {"A": [["n"], [12345678901234567890]]})
        assert "store it as text" in refusal(tmp_path, "a.xlsx", idField="n")


def zstd_frames(data: bytes) -> bytes:
    """Two frames, the second by a writer that does not know the length."""
    half = len(data) // 2
    out = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(out, closefd=False) as writer:
        writer.write(data[half:])
    return zstandard.ZstdCompressor().compress(data[:half]) + out.getvalue()


class TestCompression:
    DATA = b"".join(b'{"n": %d}\n' % number for number in range(5000))

    @pytest.mark.parametrize("pack", [gzip.compress, zstd_frames])
    @pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.jsonl"])
    def test_by_the_first_bytes_whatever_the_name(
        self, tmp_path: Path, pack: Callable[[bytes], bytes], name: str
    ) -> None:
        (tmp_path / name).write_bytes(pack(self.DATA))
        assert [value["n"] for value in values(tmp_path, name)] == list(range(5000))

    @pytest.mark.parametrize("pack", [gzip.compress, zstd_frames])
    @pytest.mark.parametrize("keep", [0.5, 0.999])
    def test_cut_off(self, tmp_path: Path, pack: Callable[[bytes], bytes], keep: float) -> None:
        packed = pack(self.DATA)
        (tmp_path / "a.jsonl.gz").write_bytes(packed[: int(len(packed) * keep)])
        assert "a.jsonl.gz: the compressed data is damaged or cut off" in refusal(
            tmp_path, "a.jsonl.gz"
        )

    @pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.zst"])
    def test_a_name_that_promises_too_much(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("a,b\n1,2\n")
        assert "damaged or cut off" in refusal(tmp_path, name)
        with pytest.raises(InputError, match="damaged"):
            check_source(source(name), tmp_path)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (timedelta(days=-1, hours=1), "-23:00:00"),
        (Decimal("1E+3"), "1000"),
        ((1, {2: None}), [1, {"2": None}]),
    ],
)
def test_plain(value: Any, expected: Any) -> None:
    assert plain(value) == expected
