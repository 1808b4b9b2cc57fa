"""docs/reference/manifest.md, written from the model: `python -m penstock.spec.reference`.

A test fails when the page and the model differ.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from penstock.spec.job import API_VERSION, KIND, BatchJob
from penstock.spec.types import Duration, format_duration

_INTRODUCTION = f"""\
# The manifest

Every field of a `{KIND}` (`{API_VERSION}`). The same file runs on one machine (`penstock run`) and
on a cluster (`kubectl apply`). `penstock validate` tells every mistake in one, with its line.

This page is written from the model by `python -m penstock.spec.reference`; edit the model instead.

Templates are [Jinja2](https://jinja.palletsprojects.com/) in a sandbox. They know `item`, `id` (the
item's ID) and `position` (its place in the input, from 0); the body of a call for several items
knows `items`. A field of the item comes before a method of the same name, a field that is missing
fails the item (unless `default` or `is defined` asks for it), and what is written follows JSON:
text as it is, null as nothing, `true` and `false`, objects and lists as JSON. `tojson` writes any
value as exact JSON. Where a template stands in an object, a string that is exactly one
`{{{{ … }}}}` gives the value itself, not its text.

Durations are written `500ms`, `60s`, `10m`, `1h30m`, `2d`.
"""


def reference() -> str:
    """The page, as Markdown."""
    return "\n".join([_INTRODUCTION, *_sections(BatchJob, "")])


def _sections(model: type[BaseModel], place: str) -> Iterator[str]:
    yield f"## `{place}`\n" if place else "## Top level\n"
    yield f"{' '.join((model.__doc__ or '').split())}\n"
    yield "| field | type | default | |\n|---|---|---|---|"
    inner: list[tuple[type[BaseModel], str]] = []
    for attribute, field in model.model_fields.items():
        name = field.alias or attribute
        wanted = _duration_or(field)
        cells = (f"`{name}`", _type(wanted), _default(field, wanted), field.description or "")
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        found, listed = _model_in(field.annotation)
        path = f"{place}.{name}" if place else name
        if found is not None and not path.endswith("stages[].processor"):
            inner.append((found, f"{path}[]" if listed else path))
    yield ""
    for found, path in inner:
        yield from _sections(found, path)


def _duration_or(field: FieldInfo) -> Any:
    """The type of a field: pydantic keeps what makes a float a duration in its metadata."""
    marks = get_args(Duration)[1:]
    return Duration if any(mark in marks for mark in field.metadata) else field.annotation


def _type(wanted: Any) -> str:
    if wanted is Duration:
        return "duration"
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_type(one) for one in arguments if one is not type(None))
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin is list:
        return "list" if arguments[0] is Any else f"list of {_type(arguments[0])}"
    if origin is dict or (isinstance(wanted, type) and issubclass(wanted, BaseModel)):
        return "object"
    names = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`"}
    return names.get(wanted, "any")


def _default(field: FieldInfo, wanted: Any) -> str:
    if field.is_required():
        return "required"
    default = field.default
    if default is None or default is PydanticUndefined or isinstance(default, BaseModel):
        return ""
    if wanted is Duration:
        return f"`{format_duration(default)}`"
    return f"`{str(default).lower()}`" if isinstance(default, bool) else f"`{default}`"


def _model_in(wanted: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model a field holds, and whether it holds a list of them."""
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return wanted, False
    for argument in get_args(wanted):
        found, listed = _model_in(argument)
        if found is not None:
            return found, listed or get_origin(wanted) is list
    return None, False


if __name__ == "__main__":
    sys.stdout.write(reference())
