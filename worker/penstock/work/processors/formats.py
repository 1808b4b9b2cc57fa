"""`responseFormat`: what a model is asked to answer in, and whether it did.

A bare JSON Schema is enough; the envelopes of OpenAI's two APIs are taken as well.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from penstock import jsons
from penstock.errors import InputError
from penstock.spec.json_schema import compile_schema
from penstock.work import failures
from penstock.work.types import Failure, Output

_FENCE = re.compile(r"```[\w-]*\s*\n(.*?)\n?\s*```", re.DOTALL)
_NAME = re.compile(r"[^\w-]")
_NOT_STRICT = {
    "allOf",
    "contains",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "minContains",
    "not",
    "oneOf",
    "patternProperties",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
}
"""Keywords that OpenAI's strict mode refuses."""
_NAMED = {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
"""Keywords that hold schemas by name."""
_VALUES = {"const", "default", "enum", "examples", "required"}
"""Keywords that hold no schemas."""


class Format:
    """What answers look like. kind: any text, any JSON object, or JSON that fits `schema`."""

    def __init__(self, given: dict[str, Any] | None, where: str) -> None:
        self.kind: Literal["text", "object", "schema"] = "text"
        self.name = "answer"
        self.schema: dict[str, Any] | None = None
        self.strict = True
        self._validator: Any = None
        kind = given.get("type") if given else None
        if given is None or kind == "text":
            return
        if kind == "json_object":
            self.kind, self.strict = "object", False
            return
        envelope = given.get("json_schema", given) if kind == "json_schema" else {"schema": given}
        schema = envelope.get("schema") if isinstance(envelope, dict) else None
        if not isinstance(schema, dict):
            raise InputError.at(where, "json_schema without a schema; a bare JSON schema does, too")
        self.kind, self.schema = "schema", in_order(schema)
        self.name = _NAME.sub("_", str(envelope.get("name") or schema.get("title") or "answer"))[
            :64
        ]
        strict = envelope.get("strict")
        self.strict = strict if isinstance(strict, bool) else is_strict(schema)
        self._validator = compile_schema(schema, where)

    def parse(self, text: str) -> Output | Failure:
        """The output in what the model said: the text itself, or the checked JSON value."""
        if self.kind == "text":
            return Output(text)
        value = parse_json(text)
        return value if isinstance(value, Failure) else self.check(value.value)

    def check(self, value: Any) -> Output | Failure:
        """The value as output if it is what was asked for."""
        if self.kind == "text" and not isinstance(value, str):
            return failures.invalid(failures.UNEXPECTED, "the output is not a text")
        if self.kind == "object" and not isinstance(value, dict):
            return failures.invalid(failures.UNEXPECTED, "the output is not an object")
        if self._validator is not None:
            try:
                error = next(self._validator.iter_errors(value), None)
            except ValueError as unfit:  # nested too deep for the checker
                return failures.invalid(failures.MISMATCH, failures.clean(str(unfit)))
            if error is not None:
                place = "/".join(str(step) for step in error.instance_path)
                message = f"{place}: {error.message}" if place else error.message
                return failures.invalid(failures.MISMATCH, failures.clean(message))
        return Output(value)

    def as_schema(self) -> dict[str, Any]:
        """A schema of the output, for a place inside another schema."""
        if self.schema is not None:
            return self.schema
        return {"type": "string" if self.kind == "text" else "object"}


def in_order(schema: Any) -> Any:
    """The schema with the properties of each object in the order of its `required`; the others
    follow as they come.

    Models answer in this order. Kubernetes keeps the order of a list, but sorts fields by name, and
    a manifest shall give the same answers there as here.
    """
    if not isinstance(schema, dict):
        return schema
    made = {key: _within(key, value) for key, value in schema.items()}
    properties, required = made.get("properties"), made.get("required")
    if isinstance(properties, dict) and isinstance(required, list):
        first = [name for name in required if isinstance(name, str) and name in properties]
        made["properties"] = {name: properties[name] for name in (*first, *properties)}
    return made


def _within(key: str, value: Any) -> Any:
    if key in _VALUES:
        return value
    if key in _NAMED and isinstance(value, dict):
        return {name: in_order(part) for name, part in value.items()}
    return [in_order(part) for part in value] if isinstance(value, list) else in_order(value)


def parse_json(text: str) -> Output | Failure:
    """The JSON value in an answer, which may stand in a Markdown fence."""
    stripped = text.strip()
    if stripped.startswith("```") and (fenced := _FENCE.match(stripped)):
        stripped = fenced.group(1)
    try:
        return Output(jsons.loads(stripped))
    except (ValueError, RecursionError) as error:
        return failures.invalid(failures.NOT_JSON, failures.clean(f"{error}: {text[:200]}"))


def is_strict(schema: Any, *, root: bool = True) -> bool:
    """Whether the schema is in the subset that OpenAI's strict mode takes.

    There an object lists all its properties as required and allows no others.
    """
    if not isinstance(schema, dict):
        return False
    if _NOT_STRICT & schema.keys() or (root and schema.get("type") != "object"):
        return False
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required", ())) != set(properties):
            return False
    parts = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    for place in ("$defs", "definitions"):
        parts += schema.get(place, {}).values()
    if "items" in schema:
        parts.append(schema["items"])
    return all(is_strict(part, root=False) for part in parts)
