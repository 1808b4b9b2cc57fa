"""One Kubernetes object laid over another, as `kubectl patch --type strategic` does it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

_KEYS = {
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""What tells the elements of a list apart. Other lists are replaced as a whole."""
_MERGED = ("containers",)
"""Lists whose elements are merged. Elsewhere an element is one value of several kinds (`value` or
`valueFrom`, `emptyDir` or `configMap`), and two of them in one would be refused."""


def overlaid(base: Any, over: Any) -> Any:
    """`base` as `over` changes it; neither is changed itself.

    Objects are merged, a null in `over` takes a field away. Of lists that _KEYS names, elements
    with the same key are one; there a null means nothing. Anything else is what `over` says.
    """
    if isinstance(over, dict):
        result = dict(base) if isinstance(base, dict) else {}
        for key, value in over.items():
            if key in _KEYS and isinstance(result.get(key), list):
                result[key] = _list(result[key], value or [], key)
            elif value is None:
                result.pop(key, None)
            else:
                result[key] = overlaid(result.get(key), value)
        return result
    return over


def identity(item: Mapping[str, Any], key: str) -> Any:
    """What tells an element from others: `/data/` and `/data` are the same place."""
    value = item.get(key)
    return posixpath.normpath(value) if key == "mountPath" and isinstance(value, str) else value


def _list(base: list[Any], over: list[Any], field: str) -> list[Any]:
    key = _KEYS[field]
    result = {identity(item, key): item for item in base}
    for item in over:
        name = identity(item, key)
        merge = field in _MERGED and name in result
        result[name] = overlaid(result[name], item) if merge else item
    return list(result.values())
