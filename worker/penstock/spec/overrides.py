"""`--set path=value`: fields of a manifest changed from the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from penstock.errors import InputError
from penstock.spec import yaml_text
from penstock.spec.job import BatchJob
from penstock.spec.mistakes import fields_of, path_text, type_at
from penstock.spec.suggest import did_you_mean

_PATH = re.compile(r"[^.\[\]]+(?:\[\d+\])*(?:\.[^.\[\]]+(?:\[\d+\])*)*")
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_TOP = ("spec", "metadata", "apiVersion", "kind")


@dataclass(frozen=True, slots=True)
class Override:
    """One change: `path` from the top of the manifest (names, and places in lists)."""

    text: str
    path: tuple[int | str, ...]
    value: Any

    @property
    def where(self) -> str:
        """How messages call it. The value is left out: it could be anything."""
        return f"--set {self.text}"


def parse_override(text: str) -> Override:
    """`rateLimit.requestsPerMinute=500`; `spec.` may be left out, the value is YAML.

    Raises InputError when there is no `=` or the path is unknown.
    """
    name, separator, value = text.partition("=")
    name = name.strip()
    if not separator:
        raise InputError.at(f"--set {name}", "wanted path=value, such as source.limit=10")
    if not _PATH.fullmatch(name):
        raise InputError.at(f"--set {name}", "wanted a path such as source.limit before the =")
    path = tuple(int(index) if index else key for index, key in _STEP.findall(name))
    if path[0] not in _TOP:
        path = ("spec", *path)
    _check_known(name, path)
    return Override(name, path, _value(value, type_at(BatchJob, path)))


def apply(data: Any, overrides: Sequence[Override]) -> Any:
    """The manifest with the changes made, in their order; `data` itself stays as it is.

    A null takes a field away, so that its default holds again. Raises InputError where a path
    leads through something that has no fields.
    """
    for override in overrides:
        data = _changed(data, override, 0)
    return data


def _changed(data: Any, override: Override, depth: int) -> Any:
    if depth == len(override.path):
        return override.value
    step = override.path[depth]
    if isinstance(step, int):
        if not isinstance(data, list) or step >= len(data):
            count = len(data) if isinstance(data, list) else 0
            place = path_text(override.path[:depth])
            raise InputError.at(override.where, f"{place} has {count} elements, counted from 0")
        return [_changed(one, override, depth + 1) if n == step else one
                for n, one in enumerate(data)]  # fmt: skip
    if data is None:
        data = {}
    if not isinstance(data, dict):
        place = path_text(override.path[:depth])
        raise InputError.at(override.where, f"{place} is no object, it has no field {step!r}")
    return {**data, step: _changed(data.get(step), override, depth + 1)}


def _check_known(name: str, path: tuple[int | str, ...]) -> None:
    for depth in range(1, len(path) + 1):
        if type_at(BatchJob, path[:depth]) is None:
            parent, place = type_at(BatchJob, path[: depth - 1]), path_text(path[: depth - 1])
            step = path[depth - 1]
            if isinstance(parent, type) and issubclass(parent, BaseModel):
                known = sorted(fields_of(parent))
                hint = did_you_mean(str(step), known) or ";"
                raise InputError.at(
                    f"--set {name}",
                    f"{place} has no field {step!r}{hint} known fields: {', '.join(known)}",
                )
            raise InputError.at(f"--set {name}", f"{place} has no parts, so no {step!r}")


def _value(text: str, wanted: Any) -> Any:
    """The value as YAML; as the text it is where that is wanted, or where it is no YAML."""
    if not text.strip():
        return ""
    try:
        value = yaml_text.read(text, "--set").value
    except InputError:
        return text
    return text if wanted is str and not isinstance(value, str | None) else value
