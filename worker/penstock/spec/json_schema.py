"""`responseFormat`: the JSON Schema in it, compiled by the same rules for checking and for work.

A schema never makes Penstock fetch anything: references lead into the schema itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.errors import InputError

if TYPE_CHECKING:
    import jsonschema_rs


def schema_of(response_format: dict[str, Any]) -> dict[str, Any] | None:
    """The schema in a responseFormat: bare, or in the envelope of either of OpenAI's APIs.

    None where any text or any object will do, and where an envelope has no schema in it.
    """
    kind = response_format.get("type")
    if kind in ("json_object", "text"):
        return None
    if kind != "json_schema":
        return response_format
    envelope = response_format.get("json_schema", response_format)
    schema = envelope.get("schema") if isinstance(envelope, dict) else None
    return schema if isinstance(schema, dict) else None


def compile_schema(schema: dict[str, Any], where: str) -> jsonschema_rs.Validator:
    """A validator for this schema. Raises InputError at the wrong part of it."""
    import jsonschema_rs

    try:
        return jsonschema_rs.validator_for(schema, retriever=_refuse)
    except jsonschema_rs.ValidationError as error:
        place = where
        for step in error.instance_path:
            place += f"[{step}]" if isinstance(step, int) else f".{step}"
        raise InputError.at(place, f"not a JSON Schema: {error.message}") from None
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise InputError.at(where, f"not a JSON Schema: {error}") from None


def _refuse(uri: str) -> Any:
    raise ValueError(f"references lead into the schema itself, not to {uri}")
