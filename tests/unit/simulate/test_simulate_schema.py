"""Answers fit the schema they were asked for, whatever the schema."""

from __future__ import annotations

from random import Random
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.simulate.schema import example

NAMES = st.sampled_from(["brand", "size", "colour", "notes", "ports", "id"])
BOUND = st.integers(-50, 50)


@st.composite
def strings(draw: st.DrawFn) -> dict[str, Any]:
    low = draw(st.integers(0, 20))
    return {"type": "string", "minLength": low, "maxLength": low + draw(st.integers(0, 20))}


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Any]:
    low = draw(BOUND)
    schema: dict[str, Any] = {"type": draw(st.sampled_from(["integer", "number"]))}
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + 20
    if draw(st.booleans()):
        schema["multipleOf"] = draw(st.sampled_from([1, 2, 5]))
    return schema


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    required = (
        draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    )
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    low = draw(st.integers(0, 4))
    return {
        "type": "array",
        "items": draw(inner),
        "minItems": low,
        "maxItems": low + draw(st.integers(0, 3)),
    }


LEAVES = st.one_of(
    strings(),
    numbers(),
    st.sampled_from(
        [
            {"type": "boolean"},
            {"type": "null"},
            {"const": {"fixed": [1]}},
            {"enum": ["OLED", "QLED", 3, None]},
            {"type": ["string", "null"]},
            {"type": ["integer", "null"], "exclusiveMinimum": 0},
            {"type": "array", "items": {"enum": ["hdmi", "usb"]}, "uniqueItems": True},
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
            *(
                {"type": "string", "format": name}
                for name in ("date", "time", "date-time", "email", "uri", "uuid", "ipv4", "ipv6")
            ),
            True,
            {},
        ]
    ),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        objects(inner),
        arrays(inner),
        st.builds(lambda *options: {"anyOf": list(options)}, inner, inner),
    ),
    max_leaves=12,
)


@given(SCHEMAS, st.integers(0, 2**64))
def test_an_example_fits_its_schema_and_is_the_same_every_time(schema: Any, seed: int) -> None:
    value = example(schema, Random(seed))
    assert jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(value)
    assert example(schema, Random(seed)) == value


NODE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
    },
    "required": ["name", "children", "next"],
}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
        {
            "allOf": [
                {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"minProperties": 3},
            ]
        },
        {"oneOf": [{"type": "string", "minLength": 5}, {"type": "integer", "minimum": 3}]},
        {"type": "object", "required": ["a", "b"]},
        {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "minItems": 3},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
        {"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 6},
        {
            "type": "object",
            "properties": {"size": {"$ref": "#/$defs/size"}},
            "required": ["size"],
            "$defs": {"size": {"type": "integer", "minimum": 20, "maximum": 100}},
        },
    ],
)
def test_what_structured_outputs_use_is_covered(schema: dict[str, Any]) -> None:
    validator = jsonschema_rs.validator_for(schema)
    for seed in range(50):
        value = example(schema, Random(seed))
        assert validator.is_valid(value), value


def batch(ids: list[str]) -> dict[str, Any]:
    element = {
        "type": "object",
        "properties": {"id": {"type": "string", "enum": ids}, "output": NODE},
        "required": ["id", "output"],
    }
    return {
        "type": "object",
        "properties": {"results": {"type": "array", "items": element}},
        "required": ["results"],
        "$defs": {"node": NODE},
    }


def test_a_list_by_ids_has_one_element_for_each() -> None:
    ids = [f"tv-{number}" for number in range(20)]
    value = example(batch(ids), Random(7))
    assert [one["id"] for one in value["results"]] == ids
    assert jsonschema_rs.validator_for(batch(ids)).is_valid(value)
    assert len({one["output"]["name"] for one in value["results"]}) > 5


def test_items_are_left_out_of_lists_of_several_only() -> None:
    answers = iter([True, False, True])
    value = example(batch(["a", "b", "c"]), Random(1), lambda: next(answers))
    assert [one["id"] for one in value["results"]] == ["a", "c"]
    alone = example(batch(["a"]), Random(1), lambda: False)
    assert [one["id"] for one in alone["results"]] == ["a"]
