"""Mistakes in data files and options, and how each should be told."""

from __future__ import annotations

import io

import xlsxwriter

from tests.integration.bad_input_support import (
    ITEMS,
    JSON_LINES,
    Case,
    data,
    edit,
    options,
)


def workbook(sheet: str) -> bytes:
    """An Excel file with the items in this sheet."""
    raw = io.BytesIO()
    with xlsxwriter.Workbook(raw) as book:
        page = book.add_worksheet(sheet)
        for number, row in enumerate([("id", "text"), ("a", "one"), ("b", "two")]):
            page.write_row(number, 0, row)
    return raw.getvalue()


FILES = [
    edit(
        *("no such file", "items.jsonl", "itens.jsonl"),
        *("spec.source.file.path: no file 'itens.jsonl'", "did you mean 'items.jsonl'?"),
    ),
    edit(
        *("no such folder", "items.jsonl", "data/items.jsonl"),
        *("spec.source.file.path: no file 'data/items.jsonl'", "there is no folder"),
    ),
    data(
        *("a folder for a file", "parts", None),
        "spec.source.file.path: 'parts' is a folder; for its files write parts/*",
    ),
    edit(
        *("a pattern that matches nothing", "items.jsonl", "parts/*.jsonl"),
        "spec.source.file.path: no file matches 'parts/*.jsonl'",
    ),
    data("an empty file", JSON_LINES, "", "items.jsonl: the file is empty"),
    data("blank lines", JSON_LINES, "\n\n", "items.jsonl: there is nothing but blank lines"),
    data(
        *("a header and no row", "items.csv", "id,text\n"),
        "items.csv: there is a header row, but no row below it",
    ),
    data(
        *("a name that does not tell the format", "items.dat", ITEMS),
        "spec.source.format: the name 'items.dat' does not tell the format",
    ),
    data(
        *("a damaged archive", "items.jsonl.gz", b"\x1f\x8b\x08\x00garbage"),
        "items.jsonl.gz: the compressed data is damaged or cut off",
    ),
    data(
        *("an Excel file that is none", "items.xlsx", "id,text\na,one\n"),
        "items.xlsx: cannot be read as a workbook",
    ),
    data(
        *("no such sheet", "items.xlsx", workbook("Products")),
        *("xlsx.sheet", "no sheet 'Product'", "did you mean 'Products'?"),
        extra="xlsx: {sheet: Product}",
    ),
    data(
        *("a Parquet file that is none", "items.parquet", "id,text\na,one\n"),
        "items.parquet: cannot be read as Parquet",
    ),
    data(
        *("an array that is called lines", JSON_LINES, '[\n{"id": 1}\n]\n'),
        "items.jsonl:1: this is a JSON array, not one object a line: set spec.source.format: json",
    ),
    edit(
        *("an address for a path", "items.jsonl", "https://example.org/items.jsonl"),
        "job.yaml:6 spec.source.file.path: is an address, not a path",
    ),
]
ROWS = [
    data(
        *("a broken line", JSON_LINES, f'{ITEMS}{{"id": "c"\n'),
        "items.jsonl:3: not JSON: unexpected end of data (column 11)",
    ),
    data(
        *("several broken lines", JSON_LINES, f"{ITEMS}oops\n\n{{]\n"),
        *("job.yaml: 2 mistakes", "  items.jsonl:3: not JSON: ", "  items.jsonl:5: not JSON: "),
    ),
    data(
        *("too few cells", "items.csv", "id,text\na,one\nb\n"),
        "items.csv:3: too few cells: 1 in the row, 2 in the header (id, text)",
    ),
    data(
        *("too many cells", "items.csv", "id,text\na,one\nb,two,three\n"),
        "items.csv:3: too many cells: 3 in the row, 2 in the header (id, text)",
    ),
    data(
        *("a quote that never closes", "items.csv", 'id,text\na,one\nb,"two\n'),
        "items.csv:3: a quoted cell in the row that begins here never closes",
    ),
    data(
        *("a column twice", "items.csv", "id,text,id\na,one,b\n"),
        "items.csv:1: columns 1 and 3 are both named 'id'",
    ),
    data(
        *("a column without a name", "items.csv", "id,,text\na,b,c\n"),
        "items.csv:1: column 2 has no name",
    ),
    data(
        *("a row without its ID", JSON_LINES, f'{ITEMS}{{"text": "three"}}\n'),
        "items.jsonl:3: no ID: there is no field 'id'",
    ),
    data(
        *("an empty ID", "items.csv", "id,text\na,one\n,two\n"),
        "items.csv:3: no ID: 'id' is empty",
    ),
    data(
        *("a list for an ID", JSON_LINES, f'{ITEMS}{{"id": ["c"], "text": "three"}}\n'),
        "items.jsonl:3: 'id' cannot be the ID: it is a list",
    ),
    data(
        *("no column for the ID", "items.csv", "sku,text\na,one\n"),
        "spec.source.idField: items.csv:1 has no column 'id'; columns: sku, text",
    ),
    data(
        *("the same ID twice", JSON_LINES, f'{ITEMS}{{"id": "a", "text": "three"}}\n'),
        "items.jsonl:3: has the ID 'a', as has items.jsonl:1; IDs must be unique",
    ),
    data(
        *("lines that are not UTF-8", JSON_LINES, '{"id": "Größe"}\n'.encode("cp1252")),
        "items.jsonl:1: byte 0xf6 is not UTF-8; it looks like cp1252",
        "iconv -f cp1252 -t utf-8 items.jsonl",
    ),
    data(
        *("a CSV file of Windows", "items.csv", "id,text\na,Größe\n".encode("cp1252")),
        "items.csv:2: byte 0xf6 is not UTF-8; it looks like cp1252 ('Größe')",
        "set spec.source.csv.encoding: cp1252",
    ),
    data(
        *("a UTF-16 file", "items.csv", "id,text\na,one\n".encode("utf-16")),
        "items.csv: the text is UTF-16; set spec.source.csv.encoding: utf-16",
    ),
    data(
        *("an encoding that is none", "items.csv", "id\na\n"),
        "job.yaml:7 spec.source.csv.encoding: there is no encoding 'utf9'",
        extra="csv: {encoding: utf9}",
    ),
    data(
        *("two delimiters", "items.csv", "id\na\n"),
        "job.yaml:7 spec.source.csv.delimiter: wanted a single character",
        extra="csv: {delimiter: '||'}",
    ),
]
OPTIONS = [
    options(
        *("--set without a value", "--set source.limit"),
        "--set source.limit: wanted path=value, such as source.limit=10",
        validated=True,
    ),
    options(
        *("--set of an unknown field", "--set source.limits=5"),
        "--set source.limits: spec.source has no field 'limits'; did you mean 'limit'?",
        validated=True,
    ),
    options(
        *("--set below a text", "--set processor.http.url.port=5"),
        "--set processor.http.url.port: spec.processor.http.url has no parts, so no 'port'",
        validated=True,
    ),
    options(
        *("--set of a bad value", "--set source.limit=none"),
        "--set source.limit: wanted a whole number",
        validated=True,
    ),
    options(
        *("--set beyond a list", "--set processor.openai.messages[3].role=user"),
        "--set processor.openai.messages[3].role: spec.processor.openai.messages has 0 elements",
        validated=True,
    ),
    options(
        *("an --output in no known format", "--output out.doc"),
        *("out.doc: no format is known by the suffix .doc", ".jsonl (.ndjson), .csv, .xlsx"),
    ),
    options(
        *("an --output that is a folder", "--output ."),
        *("--output: cannot write ", "it is a folder; name a file in it"),
    ),
    options(
        *("an --output below a file", "-o job.yaml/x.csv"),
        *("--output: cannot write ", "job.yaml is a file, not a folder"),
    ),
    options(
        *("everything and what failed", "--force --redrive"),
        "--force and --redrive exclude each other",
    ),
    options(
        *("a redrive of what never ran", "--redrive"),
        "Error: products has never run, there is nothing to redrive",
    ),
    options("no items", "--limit 0", "'--limit'", "greater than or equal to 1"),
    options("no workers", "--workers 0", "'--workers'", "greater than or equal to 1"),
    options("a word for a number", "--concurrency many", "'--concurrency'", "valid integer"),
    options("a preview of nothing", "--preview 0", "'--preview'", "greater than or equal to 1"),
    options("an option that there is not", "--fast", "No such option: --fast"),
]
DATA: list[Case] = [*FILES, *ROWS, *OPTIONS]
