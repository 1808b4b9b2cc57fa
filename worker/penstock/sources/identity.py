"""The item ID: one definition, used everywhere an item is named.

`idField` names a field, or several: the first that is not empty is the ID. `_position` stands for
the item's place in the input. Without `idField` the hash of the content is the ID.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.errors import InputError
from penstock.sources.records import BadRecord, some
from penstock.spec.source import Source
from penstock.spec.suggest import did_you_mean

ID_FIELD = "spec.source.idField"
POSITION = "_position"
_LONGEST = 1000
_EXACT = 2.0**53


def id_fields(id_field: str | list[str] | None) -> tuple[str, ...]:
    """The names in `idField`; empty when the ID is to be the content's hash."""
    if id_field is None:
        return ()
    return (id_field,) if isinstance(id_field, str) else tuple(id_field)


def id_names(source: Source) -> tuple[str, ...]:
    """The fields that name an item of this source; empty for the content's hash."""
    names = id_fields(source.id_field)
    return ("path",) if not names and source.format == "files" else names


def item_id(value: Any, position: int, names: Sequence[str]) -> str:
    """The ID of an item: the first of the named fields that is not empty, as text.

    None, "", blanks and a missing field are empty; 0 is not. Numbers are written without a
    decimal point when they are whole (5.0 is `5`). Raises BadRecord when there is no ID or it
    cannot be one.
    """
    for name in names:
        if name == POSITION:
            return str(position)
        if not isinstance(value, dict):
            continue
        found = value.get(name)
        if found is None or (isinstance(found, str) and not found.strip()):
            continue
        return _text(name, found)
    raise BadRecord(_missing(value, names))


def check_columns(names: Sequence[str], columns: Sequence[str], place: str) -> None:
    """Refuse an `idField` of which a table has no column. Raises InputError naming the nearest.

    Of several, one is enough: the others are for files that lack it.
    """
    wanted = [name for name in names if name != POSITION]
    if wanted and not any(name in columns for name in wanted):
        hint = did_you_mean(wanted[0], columns) or ";"
        raise InputError.at(
            ID_FIELD, f"{place} has no column {wanted[0]!r}{hint} columns: {some(columns)}"
        )


def _text(name: str, found: Any) -> str:
    match found:
        case str():
            text = found
        case bool() | list() | dict():
            kind = {bool: "true or false", list: "a list", dict: "an object"}[type(found)]
            raise BadRecord(f"{name!r} cannot be the ID: it is {kind}, not text or a number")
        case float() if abs(found) > _EXACT:
            raise BadRecord(f"{name!r} cannot be the ID: {found} is not exact; store it as text")
        case float() if found.is_integer():
            text = str(int(found))
        case _:
            text = str(found)
    if len(text) > _LONGEST:
        raise BadRecord(f"{name!r} cannot be the ID: it has more than {_LONGEST:,} characters")
    if "\0" in text:
        raise BadRecord(f"{name!r} cannot be the ID: there is a NUL character in it")
    return text


def _missing(value: Any, names: Sequence[str]) -> str:
    if not isinstance(value, dict):
        return f"no ID: only an object has a field {names[0]!r}, and this is none"
    fields = list(value)
    if len(names) > 1:
        return f"no ID: {', '.join(map(repr, names))} are all empty or missing"
    if names[0] in value:
        return f"no ID: {names[0]!r} is empty"
    return f"no ID: there is no field {names[0]!r}{did_you_mean(names[0], fields) or ''}"
