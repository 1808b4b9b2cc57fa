"""What a result puts into the columns of a table."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.export.cells import Column, as_text, is_vector, key_of, readable, record, unplaced
from penstock.sources.database import exact, quoted

KINDS = {"text": "S", "varchar": "S", "jsonb": "U", "int4": "N", "numeric": "N", "bool": "B",
         "float8": "N", "timestamptz": "D", "vector": "U", "_text": "A"}  # fmt: skip


def columns(**types: str) -> dict[str, Column]:
    return {name: column(kind, name) for name, kind in types.items()}


def column(kind: str, name: str = "c") -> Column:
    return Column(name, kind, KINDS[kind], kind)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("text", "", ""),
        ("text", 5.0, "5"),
        ("text", True, "true"),
        ("text", {"a": 1}, '{"a":1}'),
        ("int4", " ", None),
        ("int4", 5.0, "5"),
        ("int4", 5.5, "5.5"),
        ("int4", 1e20, "100000000000000000000"),
        ("numeric", 1e300, "1e+300"),
        ("timestamptz", "", None),
        ("jsonb", "", '""'),
        ("jsonb", None, None),
        ("vector", [1, 2.5], "[1,2.5]"),
        ("_text", [1, [True], 'a"\\', None], '{1,{true},"a\\"\\\\",NULL}'),
        ("_text", [], "{}"),
    ],
)
def test_values_as_postgresql_reads_them(kind: str, value: Any, text: str | None) -> None:
    assert as_text(value, column(kind)) == text


Texts = dict[str, str | None]


def filled(types: dict[str, str], item: Any, output: Any) -> tuple[Texts, Texts]:
    return record(
        columns(**types), "id", position=3, item_id="x", attempts=2, item=item, output=output
    )


def test_which_columns_are_filled() -> None:
    types = {"id": "text", "title": "text", "year": "int4", "_attempts": "int4", "other": "text"}
    assert filled(types, {"title": "a", "year": "", "_attempts": 7}, {"title": "b"}) == (
        {"title": "b", "_attempts": "2"},
        {"id": "x", "year": None},
    )
    assert filled(types, "text", ["no object"]) == ({"_attempts": "2"}, {"id": "x"})
    assert filled({"id": "text", "output": "jsonb", "item": "jsonb"}, "i", [1]) == (
        {"output": "[1]"},
        {"id": "x", "item": '"i"'},
    )
    whole = {"id": "text", "output": "jsonb"}
    assert filled(whole, {}, {"a": 1}) == ({"output": '{"a":1}'}, {"id": "x"})
    assert filled(whole, {}, {"output": 1, "id": "y"}) == ({"output": "1"}, {"id": "x"})


def test_what_the_item_has_of_an_earlier_answer_does_not_count() -> None:
    types = {"id": "text", "output": "jsonb", "item": "text"}
    assert filled(types, {"output": None, "item": "mine"}, [1]) == (
        {"output": "[1]"},
        {"id": "x", "item": "mine"},
    )
    types = {"id": "text", "embedding": "vector"}
    assert filled(types, {"embedding": None}, [1, 2]) == ({"embedding": "[1,2]"}, {"id": "x"})


def test_a_vector_goes_to_output_or_to_embedding() -> None:
    types = {"id": "text", "embedding": "vector"}
    assert filled(types, {}, [1, 2])[0] == {"embedding": "[1,2]"}
    assert filled({**types, "output": "jsonb"}, {}, [1, 2])[0] == {"output": "[1,2]"}
    assert [is_vector(value) for value in ([1, 0.5], [], [True], ["1"], 1)] == [
        *(True, False, False, False, False)
    ]


def test_what_of_an_output_has_no_column() -> None:
    assert unplaced({"a": 1, "b": 2}, columns(a="text")) == ["b"]
    assert unplaced("text", columns(a="text")) == ["output"]
    assert unplaced([1], columns(embedding="vector")) == []
    assert unplaced({"a": 1}, columns(output="jsonb")) == []
    assert unplaced({"a": 1, "output": 2}, columns(output="jsonb")) == ["a"]


def test_the_key_is_the_field_or_the_id() -> None:
    assert key_of({"id": 0}, "x", "id") == 0
    assert [key_of(item, "x", "id") for item in ({"id": None}, {"id": " "}, {}, "id", None)] == [
        "x"
    ] * 5


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("int2", ["-32768", "+7", " 7 "], ["32768", "7.0", "", "٣", "9" * 50]),
        ("int8", ["9223372036854775807"], ["9223372036854775808"]),
        (
            "uuid",
            ["5fe4a011-75de-46c6-9f5a-a4f4daa7d82f", "{5FE4A01175DE46C69F5AA4F4DAA7D82F}"],
            ["5"],
        ),
        ("text", ["", "x"], ["nul \0"]),
    ],
)
def test_keys_that_a_type_can_read(kind: str, good: list[str], bad: list[str]) -> None:
    key = Column("id", kind, "N", kind)
    assert [readable(text, key) for text in good] == good
    assert [readable(text, key) for text in bad] == [None] * len(bad)
    assert readable(None, key) is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_numbers_lose_nothing(value: Decimal) -> None:
    assert Decimal(str(exact(format(value, "f")))) == value


def test_names_in_sql() -> None:
    assert quoted('a "b"') == '"a ""b"""'
