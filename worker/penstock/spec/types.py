"""The small types a manifest is written with: durations, counts, and the base of every model."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_HOW = "write for example 500ms, 60s, 10m or 1h30m"
_LONGEST = 3660 * 86400.0


def parse_duration(value: Any) -> float:
    """Seconds of `500ms`, `60s`, `10m`, `1h30m`, `2d`, or of a plain number of seconds.

    Raises ValueError for anything else: negative values, and more than ten years, included.
    """
    if isinstance(value, bool):
        raise ValueError(f"true and false are no durations; {_HOW}")
    if isinstance(value, int | float):
        return _bounded(float(value) if abs(value) < 1e300 else math.inf)
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("-") and _DURATION.match(text, 1):
            raise ValueError("a duration cannot be negative")
        parts = _DURATION.findall(text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            return _bounded(math.fsum(float(number) * _UNITS[unit] for number, unit in parts))
        raise ValueError(f"{text[:40]!r} is not a duration; {_HOW}")
    raise ValueError(f"this is not a duration; {_HOW}")


def format_duration(seconds: float) -> str:
    """The shortest manifest spelling of so many seconds, exact to the millisecond: `1h30m`."""
    rest = round(seconds * 1000)
    text = ""
    for unit in ("d", "h", "m", "s", "ms"):
        size = round(_UNITS[unit] * 1000)
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _bounded(seconds: float) -> float:
    if seconds < 0:
        raise ValueError("a duration cannot be negative")
    if not seconds <= _LONGEST:  # also when it is no number at all
        raise ValueError("a duration cannot be longer than ten years")
    return seconds


DURATION_PATTERN = r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"
"""What a duration that is written as text looks like."""

Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": DURATION_PATTERN},
            ]
        }
    ),
]
"""Seconds, written as `500ms`, `60s`, `10m`, `1h30m`."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|M|G|T)?", re.ASCII)
_BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
          "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}  # fmt: skip
_SMALLEST, _LARGEST = 2**20, 2**50


def parse_size(value: Any) -> int:
    """Bytes of `512Mi`, `2G`, or of a plain number of bytes. Raises ValueError for anything else,
    and below a MiB."""
    if isinstance(value, int | str) and not isinstance(value, bool):
        match = _SIZE.fullmatch(str(value).strip())
        if match is not None:
            size = round(float(match[1]) * _BYTES[match[2] or ""])
            if not _SMALLEST <= size <= _LARGEST:
                raise ValueError("wanted from 1Mi to 1024Ti")
            return size
    raise ValueError(f"{str(value)[:40]!r} is not an amount of memory; write for example 512Mi")


SIZE_PATTERN = r"^\d+(\.\d+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$"

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": _SMALLEST},
                {"type": "string", "pattern": SIZE_PATTERN},
            ]
        }
    ),
]
"""Bytes, written as Kubernetes does: `512Mi`, `2G`."""

Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""A whole number from 1, small enough for every place that holds one."""


class Model(BaseModel):
    """Base of every part of a manifest: camelCase outside, snake_case inside, nothing unknown.

    Types are strict (`"5"` is no number), because the API server of a cluster is strict too and
    one file has to do for both. A null counts as not given, as it does there.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data
