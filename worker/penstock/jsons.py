"""JSON in and out: orjson, with the standard library behind it for what orjson cannot hold.

orjson reads integers beyond 64 bits as floats, which would quietly change a 20-digit
product code, and 1e400 as infinity, which it writes as null. Such documents (found by a run of 19
digits before the point, or by an exponent of three) take the slow road.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

_SHAPE = bytes(
    {**dict.fromkeys(b"0123456789", 48), **dict.fromkeys(b"eE", 101), 43: 43, 46: 46}.get(one, 44)
    for one in range(256)
)
"""Digits as 0, e and E as e, point and plus as they are, all else as a comma."""
_RISKY = (b"," + b"0" * 19, b"e000", b"e+000")


def loads(data: bytes | str) -> Any:
    """Parse one JSON document. Raises ValueError (with the position) when it is not JSON."""
    raw = data.encode() if isinstance(data, str) else data
    if _is_risky(raw):
        return json.loads(raw, parse_constant=_refuse_constant, parse_float=_finite)
    return orjson.loads(raw)


def dumps(value: Any) -> str:
    """Compact JSON text, keys in their order. Raises ValueError for what JSON cannot say."""
    return _dump(value, sort_keys=False).decode()


def canonical(value: Any) -> bytes:
    """Compact JSON with sorted keys: the same content gives the same bytes."""
    return _dump(value, sort_keys=True)


def _is_risky(raw: bytes) -> bool:
    """Whether there may be a number in it that orjson would change. Searched for as fixed text: an
    expression takes ten times as long as the whole of orjson does."""
    shape = b"," + raw.translate(_SHAPE)
    return any(risk in shape for risk in _RISKY)


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
