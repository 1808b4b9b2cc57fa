"""What a row looks like: golden rows, and names that would collide."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.export.rows import ExportRow, Layout, Survey


def row(item: Any, output: Any = None, status: str = "succeeded", position: int = 0) -> ExportRow:
    error = "no answer" if status == "failed" else None
    return ExportRow(position, f"id-{position}", status, 1, error, item, output)


def layout_of(*rows: ExportRow) -> Layout:
    survey = Survey()
    for one in rows:
        survey.add([one])
    return survey.layout()


def test_an_object_output_becomes_columns_after_the_items_own_fields() -> None:
    one = row({"sku": "00123", "title": "TV"}, {"color": "black", "ports": ["hdmi"]})
    layout = layout_of(one)
    assert layout.columns == [
        "_position", "_id", "_status", "_attempts", "_error", "sku", "title", "color", "ports",
    ]  # fmt: skip
    assert layout.cells(one) == [0, "id-0", "succeeded", 1, None, "00123", "TV", "black", ["hdmi"]]
    assert layout.record(one) == {
        "_position": 0,
        "_id": "id-0",
        "_status": "succeeded",
        "_attempts": 1,
        "_error": None,
        "sku": "00123",
        "title": "TV",
        "color": "black",
        "ports": ["hdmi"],
    }


def test_an_output_key_the_item_has_is_qualified_in_every_row() -> None:
    first = row({"sku": "a"}, {"title": "answer"})
    second = row({"sku": "b", "title": "own"}, {"title": "answer"}, position=1)
    layout = layout_of(first, second)
    assert layout.columns[5:] == ["sku", "title", "output.title"]
    assert layout.cells(first)[5:] == ["a", None, "answer"]
    assert layout.record(first)["output.title"] == "answer"
    assert "title" not in layout.record(first)


@pytest.mark.parametrize(
    ("item", "output", "columns"),
    [
        ({"a": 1}, {"_id": 2}, ["a", "output._id"]),
        ({"_id": 1}, None, ["item._id"]),
        ({"_id": 1}, {"_id": 2}, ["item._id", "output._id"]),
        ({"_id": 1, "item._id": 2}, None, ["item.item._id", "item._id"]),
        ({"a": 1, "output.a": 2}, {"a": 3}, ["a", "output.a", "output.output.a"]),
        ({"a": 1}, {"a": 2, "output.a": 3}, ["a", "output.output.a", "output.a"]),
        ({"output": 1}, [1.0, 2.0], ["output", "output.output"]),
        ("text", {"item": 1}, ["item", "output.item"]),
        ("text", "answer", ["item", "output"]),
        ({"": 1}, {"": 2}, ["", "output."]),
        ({"A": 1}, {"a": 2}, ["A", "a"]),
    ],
)
def test_no_two_columns_share_a_name_and_no_value_is_lost(
    item: Any, output: Any, columns: list[str]
) -> None:
    one = row(item, output)
    layout = layout_of(one)
    assert layout.columns[5:] == columns
    values = [
        *(item.values() if isinstance(item, dict) else [item]),
        *(output.values() if isinstance(output, dict) else [] if output is None else [output]),
    ]
    assert layout.cells(one)[5:] == values
    assert list(layout.record(one).values())[5:] == values


def test_objects_and_other_values_side_by_side() -> None:
    rows = [row({"a": 1}, [1, 2]), row("plain", {"b": 3}, position=1)]
    layout = layout_of(*rows)
    assert layout.columns[5:] == ["a", "item", "b", "output"]
    assert [layout.cells(one)[5:] for one in rows] == [
        [1, None, None, [1, 2]],
        [None, "plain", 3, None],
    ]


@pytest.mark.parametrize(
    ("status", "shown"), [("succeeded", 7), ("skipped", 7), ("failed", None), ("pending", None)]
)
def test_only_an_item_that_succeeded_shows_an_output(status: str, shown: int | None) -> None:
    other = row({"a": 0}, {"b": 1}, position=1)
    one = row({"a": 1}, {"b": 7}, status)
    layout = layout_of(one, other)
    assert layout.cells(one)[5:] == [1, shown]
    assert layout.record(one).get("b") == shown


def test_an_unreadable_item_keeps_its_place_without_a_column_of_its_own() -> None:
    broken = row(None, None, "failed")
    layout = layout_of(broken, row({"a": 1}, {"b": 2}, position=1))
    assert layout.columns[5:] == ["a", "b"]
    assert layout.cells(broken) == [0, "id-0", "failed", 1, "no answer", None, None]


def test_a_null_is_kept_and_a_missing_key_is_absent() -> None:
    one, other = row({"a": None}), row({}, position=1)
    layout = layout_of(one, other)
    assert layout.record(one)["a"] is None
    assert "a" not in layout.record(other)


def test_columns_come_in_the_order_they_first_appear() -> None:
    rows = [row({"b": 1}, {"z": 1}), row({"a": 1, "b": 2}, {"y": 1, "z": 2}, position=1)]
    assert layout_of(*rows).columns[5:] == ["b", "a", "z", "y"]


def test_no_rows_leave_the_fixed_columns() -> None:
    assert layout_of().columns == ["_position", "_id", "_status", "_attempts", "_error"]
