"""The Jinja2 sandbox that templates and `where` run in: what may be reached, and what is written.

It differs from Jinja2's own in three ways, all because items are data that users bring:
an item's keys win over Python's methods (`item.items`, `item.values`), a missing field is an
error that names the nearest one, and what a template writes follows JSON, not Python.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jinja2 import StrictUndefined, Undefined
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from penstock import jsons
from penstock.spec.suggest import did_you_mean

NAMES = ("item", "items", "id", "position")
"""What templates may be given; which of them depends on the place."""

_MAPPING_METHODS = frozenset({"get", "items", "keys", "values"})
_PADDING_METHODS = frozenset({"center", "expandtabs", "ljust", "rjust", "zfill"})
_MAX_REPEATED = 1_000_000
_MAX_BITS = 4096
_MAX_KEYS_SHOWN = 12
_LARGE_WIDTH = re.compile(r"\d{5}|\*|\{[^{}]*\{")
"""In a format: a width of five digits, or one that is itself an argument."""


class MissingField(StrictUndefined):
    """What a name stands for that is not there: any use of it says which names there are."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        name, owner = self._undefined_name, self._undefined_obj
        if self._undefined_hint:
            return self._undefined_hint
        if owner is missing:
            others = [other for other in NAMES if other != name]
            return f"{name!r} is not known here{did_you_mean(str(name), others)}"
        if isinstance(owner, Mapping):
            keys = [str(key) for key in owner]
            hint = did_you_mean(str(name), keys)
            return f"there is no field {name!r}{hint or known(keys)}"
        if isinstance(owner, str | list | tuple) and isinstance(name, int):
            return f"there is no element {name}: there are {len(owner)}"
        return f"there is no field {name!r}: the value is {kind_of(owner)}"


class Sandbox(ImmutableSandboxedEnvironment):
    """Immutable sandbox with guards against expressions that only use up memory."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            undefined=MissingField,
            autoescape=False,
            keep_trailing_newline=True,
            finalize=written,
        )
        self.filters["tojson"] = to_json
        self.filters["center"] = _center
        self.filters["format"] = _format
        del self.globals["lipsum"]

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`: of an object its key, and only then one of four methods."""
        if isinstance(obj, dict):
            try:
                return obj[attribute]
            except KeyError:
                if attribute not in _MAPPING_METHODS:
                    return MissingField(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`: of an object its key and nothing else."""
        if isinstance(obj, dict):
            try:
                return obj[argument]
            except (KeyError, TypeError):
                return MissingField(obj=obj, name=argument)
        return super().getitem(obj, argument)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Besides Jinja2's rules: no method that makes a text of any length asked for."""
        if attr in _PADDING_METHODS and isinstance(obj, str):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """`*`, `**` and `%`, refused where the result would be enormous."""
        if operator == "*":
            _guard_repetition(left, right)
            _guard_repetition(right, left)
        elif operator == "**":
            _guard_power(left, right)
        elif isinstance(left, str):
            _guard_width(left)
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`str.format` as the sandbox runs it, without widths that fill the memory."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        _guard_width(value.__self__)
        return wrapped


def written(value: Any) -> Any:
    """What `{{ value }}` puts into the text: text as it is, null as nothing, the rest as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list | tuple):
        return jsons.dumps(value)
    return plain_value(value)


def plain_value(value: Any) -> Any:
    """A value fit for JSON: generators become lists; a missing field or a method is an error."""
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if callable(value):
        raise SecurityError(f"{getattr(value, '__name__', 'this')!r} is a method, not a field")
    return list(value) if isinstance(value, Iterator) else value


def to_json(value: Any, indent: int | None = None) -> str:
    """The `tojson` filter: exact JSON, letters as they are, nothing escaped for HTML."""
    value = plain_value(value)
    if indent is None:
        return jsons.dumps(value)
    return json.dumps(value, indent=min(indent, 16), ensure_ascii=False, allow_nan=False)


def kind_of(value: Any) -> str:
    """What JSON calls the type of a value, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, Mapping) else f"a {type(value).__name__}"


def known(keys: list[str]) -> str:
    """`; there are: a, b, c`, cut where it gets long."""
    if not keys:
        return "; the object is empty"
    shown = ", ".join(keys[:_MAX_KEYS_SHOWN])
    return f"; there are: {shown}{', …' if len(keys) > _MAX_KEYS_SHOWN else ''}"


def _center(value: Any, width: int = 80) -> str:
    if width > _MAX_REPEATED:
        raise SecurityError("center: the width is too large")
    return str(value).center(width)


def _format(value: Any, *args: Any, **kwargs: Any) -> str:
    text = str(value)
    _guard_width(text)
    return text % (kwargs or args)


def _guard_repetition(sequence: Any, times: Any) -> None:
    if isinstance(times, int):
        if isinstance(sequence, str | list | tuple) and len(sequence) * times > _MAX_REPEATED:
            raise SecurityError("'*' would repeat this more than a million times over")
        if isinstance(sequence, int) and sequence.bit_length() + times.bit_length() > _MAX_BITS:
            raise SecurityError("'*' would give a number of more than 1,200 digits")


def _guard_power(base: Any, exponent: Any) -> None:
    if (
        isinstance(base, int)
        and isinstance(exponent, int)
        and base.bit_length() * exponent > _MAX_BITS
    ):
        raise SecurityError("'**' would give a number of more than 1,200 digits")


def _guard_width(text: str) -> None:
    if _LARGE_WIDTH.search(text):
        raise SecurityError("a format may not ask for a width of five digits or a computed one")
