"""What pydantic found wrong, in the words of someone who writes manifests.

Values that were given are repeated only where they can hardly be a secret: in place of a number,
of true and false, or of one of a few words.
"""

from __future__ import annotations

import re
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from penstock.errors import Mistake
from penstock.spec.sandbox import kind_of
from penstock.spec.suggest import did_you_mean

Path = Sequence[int | str]

_WANTED = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "list_type": "a list",
    "string_type": "text",
}
_PERHAPS_SECRET = frozenset({"dict_type", "list_type", "string_type"})
"""Where something else is wanted, even a number that is given may be a key or a PIN."""
_NEVER = re.compile(r"(?!)")
_UNQUOTED = {
    "bool_type": re.compile(r"true|false", re.IGNORECASE),
    "float_type": re.compile(r"[+-]?\d+(\.\d*)?"),
    "int_type": re.compile(r"[+-]?\d+"),
}
"""Texts that would be of the type that is wanted without their quotes."""
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def path_text(path: Path) -> str:
    """`spec.messages[0].content` of `("spec", "messages", 0, "content")`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def in_words(root: type[BaseModel], error: ErrorDetails) -> Mistake:
    """One pydantic error as a mistake: at its path, with what would be right."""
    return Mistake(path_text(error["loc"]), _message(root, error))


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    """The fields of a model as they are written in a manifest, each with its type."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def type_at(root: type[BaseModel], path: Path) -> Any:
    """The type that a path of the manifest has; Any below free-form values, None when unknown."""
    found: Any = root
    for step in path:
        found = _inner(found)
        if isinstance(found, type) and issubclass(found, BaseModel):
            fields = fields_of(found)
            if step not in fields:
                return None
            found = fields[str(step)]
        elif get_origin(found) is list and isinstance(step, int):
            found = get_args(found)[0]
        elif get_origin(found) is dict and isinstance(step, str):
            found = get_args(found)[1]
        else:
            return Any if found is Any else None
    return _inner(found)


def _inner(found: Any) -> Any:
    """A type without Annotated and `| None`; of another union the member that has parts."""
    while get_origin(found) is Annotated:
        found = get_args(found)[0]
    if get_origin(found) in (Union, types.UnionType):
        members = [_inner(one) for one in get_args(found) if one is not type(None)]
        return next((one for one in members if get_origin(one) is list), members[0])
    return found


def _message(root: type[BaseModel], error: ErrorDetails) -> str:
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    path = error["loc"]
    if kind == "extra_forbidden":
        return _unknown(root, path)
    if kind == "missing":
        return _missing(root, path)
    if kind == "literal_error":
        return _choice(str(context["expected"]), given)
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_too_short" and given == "":
        return "is empty"
    if kind == "string_too_long" and context["max_length"] == 1:
        return 'wanted a single character; a tab is written "\\t", in double quotes'
    if kind == "string_pattern_mismatch":
        return "wanted a module and a function, written package.module:function"
    if kind == "model_type":
        return f"wanted an object with {_one_of_fields(root, path)}, given {kind_of(given)}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"wanted {words} {context[name]:g}, given {_shown(given)}"
    if kind in _WANTED:
        shown = kind_of(given) if kind in _PERHAPS_SECRET else _shown(given)
        return f"wanted {_WANTED[kind]}, given {shown}{_quotes_hint(kind, given)}"
    return error["msg"]


def _unknown(root: type[BaseModel], path: Path) -> str:
    name = str(path[-1])
    parent = type_at(root, path[:-1])
    names = sorted(fields_of(parent))
    elsewhere = _elsewhere(root, name) if not did_you_mean(name, names) else ""
    hint = did_you_mean(name, names) or elsewhere
    return f"there is no field {name!r} here{hint or ';'} known fields: {', '.join(names)}"


def _elsewhere(root: type[BaseModel], name: str) -> str:
    """`; it belongs in spec.source;` for a field that was put at the wrong level."""
    found = [place for place, names in _levels(root, "") if name in names]
    return f"; it belongs in {found[0]};" if len(found) == 1 else ""


def _levels(model: type[BaseModel], place: str) -> list[tuple[str, set[str]]]:
    fields = fields_of(model)
    levels = [(place, set(fields))] if place else []
    for name, annotation in fields.items():
        inner = _inner(annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            levels += _levels(inner, f"{place}.{name}" if place else name)
    return levels


def _missing(root: type[BaseModel], path: Path) -> str:
    wanted = type_at(root, path)
    if get_origin(wanted) is Literal:
        return f"is missing; write {path[-1]}: {get_args(wanted)[0]}"
    parent = type_at(root, path[:-1])
    described = {
        field.alias or name: field.description for name, field in parent.model_fields.items()
    }
    return f"is missing: {described[str(path[-1])]}"


def _one_of_fields(root: type[BaseModel], path: Path) -> str:
    names = sorted(fields_of(type_at(root, path)))
    return f"the field {names[0]}" if len(names) == 1 else f"fields such as {', '.join(names)}"


def _choice(expected: str, given: Any) -> str:
    choices = [one.strip("'") for one in expected.replace(" or ", ", ").split(", ")]
    wanted = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if not isinstance(given, str):
        return f"wanted {wanted}, given {_shown(given)}{_quotes_hint('literal_error', given)}"
    return f"wanted {wanted}, given {given[:40]!r}{did_you_mean(given, choices)}"


def _shown(given: Any) -> str:
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, int | float):
        return f"the number {given}" if abs(given) < 1e15 else "a number that is far too large"
    return kind_of(given)


def _quotes_hint(kind: str, given: Any) -> str:
    if kind not in ("string_type", "literal_error"):
        quoted = isinstance(given, str) and _UNQUOTED.get(kind, _NEVER).fullmatch(given)
        return "; write it without quotes" if quoted else ""
    if isinstance(given, bool):
        return "; YAML reads yes, no, on and off as true and false: put the text in quotes"
    return "; put it in quotes" if isinstance(given, int | float) else ""
