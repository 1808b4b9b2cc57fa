"""JSON in and out: orjson, with the standard library behind it for what orjson cannot hold.

orjson reads integers beyond 64 bits as floats, which would quietly change a 20-digit
product code, and 1e400 as infinity, which it writes as null. Such documents (found by a run of 19
digits, or by an exponent of three) take the slow road.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_RISKY_NUMBER = re.compile(rb"\d{19}|[eE]\+?\d{3}")


def loads(data: bytes | str) -> Any:
    """Parse one JSON document. Raises ValueError (with the position) when it is not JSON."""
    raw = data.encode() if isinstance(data, str) else data
    if _RISKY_NUMBER.search(raw):
        return json.loads(raw, parse_constant=_refuse_constant, parse_float=_finite)
    return orjson.loads(raw)


def dumps(value: Any) -> str:
    """Compact JSON text, keys in their order. Raises ValueError for what JSON cannot say."""
    return _dump(value, sort_keys=False).decode()


def canonical(value: Any) -> bytes:
    """Compact JSON with sorted keys: the same content gives the same bytes."""
    return _dump(value, sort_keys=True)


def _dump(value: Any, *, sort_keys: bool) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort_keys else 0)
    except orjson.JSONEncodeError:
        try:
            text = json.dumps(
                value,
                sort_keys=sort_keys,
                ensure_ascii=False,
                allow_nan=False,
                separators=(",", ":"),
            )
            return text.encode()
        except (TypeError, UnicodeEncodeError) as error:
            raise ValueError(str(error)) from error


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
