"""The structural schema that Kubernetes wants, out of what pydantic says about a model.

Kept from pydantic are types, bounds, enums and patterns. Where a field takes any JSON, or text as
well as a list, Kubernetes has no type for it: it stays as written, and the operator judges it.

Defaults are told in the descriptions and never written into the schema. The API server would store
them in every object: `kubectl get -o yaml` would show fields that nobody wrote, and a default that
is changed later would not reach the jobs that are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from penstock.spec.types import DURATION_PATTERN, format_duration
from penstock_operator.crd.limits import LIMITS
from penstock_operator.crd.rules import RULES

Schema = dict[str, Any]

_KEPT = ("description", "enum", "format", "maxItems", "maxLength", "maximum", "minItems",
         "minLength", "minimum", "pattern", "type")  # fmt: skip
_EXACT = 2**53
"""Numbers in a schema are floats to Kubernetes; a bound beyond this would not be the one meant."""
_ANY_JSON = {"x-kubernetes-preserve-unknown-fields": True}


def structural_schema(model: type[BaseModel]) -> Schema:
    """The schema of a model with everything it holds, its CEL rules included; no references."""
    whole = model.model_json_schema(by_alias=True)
    definitions = whole.pop("$defs", {})
    return _schema(whole, definitions, ())


def _schema(node: Schema, definitions: dict[str, Schema], within: tuple[str, ...]) -> Schema:
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        target = definitions[name]
        told = _both(node.get("description", ""), target["description"])
        return _schema({**target, "description": told}, definitions, within)
    choices = [one for one in node.get("anyOf", ()) if one.get("type") != "null"]
    if len(choices) == 1:
        given = {key: value for key, value in node.items() if key != "anyOf"}
        return _schema({**choices[0], **given}, definitions, within)
    if choices:
        return _one_of_several(node, choices)
    schema = _leaf(node)
    if "properties" in node:
        return _object(schema, node, definitions, within)
    if node.get("type") == "array":
        schema["items"] = _schema(node["items"], definitions, within)
        schema.setdefault("x-kubernetes-list-type", "atomic")
    elif node.get("type") == "object":
        values = node.get("additionalProperties", True)
        schema |= _ANY_JSON if values is True else {"additionalProperties": values}
    elif "type" not in node:
        schema |= _ANY_JSON
    return schema


def _object(
    schema: Schema, node: Schema, definitions: dict[str, Schema], within: tuple[str, ...]
) -> Schema:
    name = node["title"]
    # A schema has an end: what a stage does is not made of stages again.
    innermost = name == "Processor" and "Stage" in within
    properties: dict[str, Schema] = {}
    for field, value in node["properties"].items():
        if not (innermost and field == "stages"):
            inner = _schema(value, definitions, (*within, name))
            properties[field] = inner | LIMITS.get((name, field), {})
    schema["properties"] = properties
    if "required" in node:
        schema["required"] = node["required"]
    rules = RULES.get(f"{name} in Stage" if innermost else name)
    if rules:
        schema["x-kubernetes-validations"] = [rule.as_json() for rule in rules]
    return schema


def _one_of_several(node: Schema, choices: list[Schema]) -> Schema:
    schema = _leaf(node)
    if {choice.get("type") for choice in choices} != {"integer", "string"}:
        return schema | _ANY_JSON
    for choice in choices:  # each bound is heeded for values of its own type only
        schema |= {key: value for key, value in _leaf(choice).items() if key != "type"}
    if "enum" in schema:  # that one would be heeded for both
        schema["pattern"] = f"^({'|'.join(schema.pop('enum'))})$"
    schema.pop("format", None)
    return schema | {
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
    }


def _leaf(node: Schema) -> Schema:
    schema = {key: node[key] for key in _KEPT if key in node}
    schema |= {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}
    if "const" in node:
        schema["enum"] = [node["const"]]
    if "exclusiveMinimum" in node:
        schema |= {"minimum": node["exclusiveMinimum"], "exclusiveMinimum": True}
    if schema.get("maximum", 0) > _EXACT:
        del schema["maximum"]
    if schema.get("type") == "integer":
        schema["format"] = "int32" if schema.get("maximum", 2**31) < 2**31 else "int64"
    if "description" in schema:
        schema["description"] = " ".join([*schema["description"].split(), *_added(node)])
    return schema


def _both(of_field: str, of_model: str) -> str:
    """What a field says of itself, or what its model says where that begins the same way."""
    of_model = " ".join(of_model.split())
    return of_model if of_model.startswith(of_field.rstrip(".")) else of_field


def _added(node: Schema) -> Iterator[str]:
    """What a description says beyond its own text: how durations are written, the default."""
    choices = node.get("anyOf", ())
    duration = any(choice.get("pattern") == DURATION_PATTERN for choice in choices)
    if duration:
        yield "A duration: 500ms, 60s, 10m, 1h30m, 2d."
    default = node.get("default")
    if (
        default in (None, "", [], {})
        or isinstance(default, dict)
        or "efault" in node["description"]
    ):
        return
    if duration:
        default = format_duration(default)
    elif isinstance(default, bool):
        default = str(default).lower()
    elif isinstance(default, float):
        default = f"{default:g}"
    yield f"Default: {default}."
