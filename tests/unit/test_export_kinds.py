"""The type of a Parquet column: one table."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.export.kinds import Kind, Kinds

LONG = 2**53 + 1


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], Kind.TEXT),
        ([None, None], Kind.TEXT),
        (["a", None], Kind.TEXT),
        ([True, False, None], Kind.BOOL),
        ([1, -2], Kind.INT),
        ([2**63 - 1, -(2**63), 1], Kind.INT),
        ([1.5, None], Kind.FLOAT),
        ([1, 1.5], Kind.FLOAT),
        ([[1.0, 2.5], []], Kind.FLOATS),
        ([[1, 2.5]], Kind.FLOATS),
        ([[1, 2], [0.5]], Kind.FLOATS),
        ([[]], Kind.FLOATS),
        ([[1, 2], []], Kind.INTS),
        ([[LONG], [1]], Kind.INTS),
        # Together in no type without a change: JSON text.
        ([LONG, 1.5], Kind.JSON),
        ([2**63], Kind.JSON),
        ([-(2**63) - 1, 1], Kind.JSON),
        ([True, 1], Kind.JSON),
        (["1", 1], Kind.JSON),
        ([{"a": 1}], Kind.JSON),
        ([{"a": 1}, "a"], Kind.JSON),
        ([[1.0], 1.0], Kind.JSON),
        ([["a"]], Kind.JSON),
        ([[1, None]], Kind.JSON),
        ([[True]], Kind.JSON),
        ([[True, 1]], Kind.JSON),
        ([[[1.0]]], Kind.JSON),
        ([[LONG, 0.5]], Kind.JSON),
        ([[LONG], [0.5]], Kind.JSON),
        ([[2**63]], Kind.JSON),
    ],
)
def test_a_column_gets_the_type_every_value_survives_in(values: list[Any], kind: Kind) -> None:
    kinds = Kinds(1)
    kinds.add([value] for value in values)
    assert kinds.decide() == [kind]


def test_columns_are_judged_apart() -> None:
    kinds = Kinds(2)
    kinds.add([[1, "a"], [2, None]])
    assert kinds.decide() == [Kind.INT, Kind.TEXT]
