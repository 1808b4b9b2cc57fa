"""An example for a JSON schema, the same every time for the same random numbers.

Covers what structured outputs use: types, enum, const, objects, arrays, bounds on numbers and
lengths, common formats, anyOf/oneOf/allOf, `$ref` inside the schema, recursion. Not covered:
`pattern`, `not`, `if` and dependencies: an answer may break those, as a careless model's would.

One rule of its own makes calls for several items work: where a list's elements are objects with an
`id` whose enum holds strings, the list gets exactly one element for each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from penstock import jsons

WORDS = (
    "amber",
    "birch",
    "cobalt",
    "dune",
    "ember",
    "fjord",
    "granite",
    "harbor",
    "indigo",
    "juniper",
    "kelp",
    "lagoon",
    "meadow",
    "nickel",
    "ochre",
    "pebble",
    "quartz",
    "river",
    "saffron",
    "timber",
    "umber",
    "valley",
    "willow",
    "yarrow",
    "zephyr",
)

_DEEP = 6  # from here on only what is required, so that recursive schemas end
_MOST_VALUES = 100_000  # in one answer; and so many characters in one text
_FORMATS: Mapping[str, Callable[[Random], str]] = {
    "date": lambda rng: f"20{rng.randrange(100):02}-{1 + rng.randrange(12):02}-15",
    "time": lambda rng: f"{rng.randrange(24):02}:{rng.randrange(60):02}:00Z",
    "date-time": lambda rng: f"20{rng.randrange(100):02}-06-{1 + rng.randrange(28):02}T12:00:00Z",
    "duration": lambda rng: f"PT{1 + rng.randrange(90)}M",
    "email": lambda rng: f"{rng.choice(WORDS)}@example.com",
    "hostname": lambda rng: f"{rng.choice(WORDS)}.example.com",
    "ipv4": lambda rng: f"192.0.2.{rng.randrange(256)}",
    "ipv6": lambda rng: f"2001:db8::{rng.randrange(65536):x}",
    "uri": lambda rng: f"https://example.com/{rng.choice(WORDS)}",
    "uuid": lambda rng: f"{rng.getrandbits(32):08x}-0000-4000-8000-{rng.getrandbits(48):012x}",
}


def words(rng: Random, count: int) -> str:
    """So many words."""
    return " ".join(rng.choices(WORDS, k=count))


def example(schema: Any, rng: Random, keep: Callable[[], bool] = lambda: True) -> Any:
    """A value that fits the schema. `keep` is asked once for each element of a list by IDs.

    Raises some built-in error when the schema is none, or asks for an answer without bounds.
    """
    return _Example(schema, rng, keep).of(schema, 0)


class _Example:
    def __init__(self, root: Any, rng: Random, keep: Callable[[], bool]) -> None:
        self._root = root
        self._rng = rng
        self._keep = keep
        self._values = 0

    def of(self, schema: Any, depth: int) -> Any:
        self._values += 1
        if self._values > _MOST_VALUES:
            raise ValueError("the schema asks for too large an answer")
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._rng.choice(schema["enum"])
        for union in ("anyOf", "oneOf"):
            if schema.get(union):
                chosen = self._resolve(self._choose(schema[union], depth))
                return self.of(_merge(_without(schema, union), chosen), depth + 1)
        kind = self._kind(schema, depth)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return self._string(schema)
        if kind in ("integer", "number"):
            return self._number(schema, whole=kind == "integer")
        return self._rng.random() < 0.5 if kind == "boolean" else None

    def _resolve(self, schema: Any) -> dict[str, Any]:
        """The schema with `$ref` and `allOf` worked in."""
        # `true`, or something that is no schema at all: anything fits.
        whole: dict[str, Any] = schema if isinstance(schema, dict) else {}
        if "$ref" in whole:
            target = self._resolve(self._lookup(whole["$ref"]))
            whole = _merge(target, _without(whole, "$ref"))
        if whole.get("allOf"):
            parts = whole["allOf"]
            whole = _without(whole, "allOf")
            for part in parts:
                whole = _merge(whole, self._resolve(part))
        return whole

    def _lookup(self, pointer: str) -> dict[str, Any]:
        place: Any = self._root
        for step in pointer.lstrip("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            place = place.get(name, {}) if isinstance(place, dict) else {}
        return place if isinstance(place, dict) else {}

    def _choose(self, options: list[Any], depth: int) -> Any:
        if depth < _DEEP:
            return self._rng.choice(options)
        deepening = {"$ref", "properties", "items"}
        flat = [one for one in options if isinstance(one, dict) and not deepening & one.keys()]
        return (flat or options)[0]

    def _kind(self, schema: dict[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list) and kind:
            flat = [name for name in kind if name not in ("object", "array")]
            return str((flat or kind)[0] if depth >= _DEEP else self._rng.choice(kind))
        if isinstance(kind, str):
            return kind
        if "properties" in schema or "required" in schema:
            return "object"
        return "array" if "items" in schema or "prefixItems" in schema else "string"

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        names = [name for name in properties if depth < _DEEP or name in required]
        names += [name for name in required if name not in properties]
        value = {name: self.of(properties.get(name, {}), depth + 1) for name in names}
        extra = schema.get("additionalProperties", {})
        while len(value) < schema.get("minProperties", 0):
            value[f"field{len(value) + 1}"] = self.of(extra, depth + 1)
        return value

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        items = schema.get("items", {})
        ids = self._ids(items)
        if ids is not None:
            keep = self._keep if len(ids) > 1 else (lambda: True)
            return [self._with_id(items, one, depth) for one in ids if keep()]
        fixed = [self.of(part, depth + 1) for part in schema.get("prefixItems") or []]
        least = schema.get("minItems", 0 if fixed or depth >= _DEEP else 1)
        most = schema.get("maxItems", max(least, len(fixed), 0 if depth >= _DEEP else 3))
        size = self._rng.randint(least, max(least, min(most, least + 3)))
        if not schema.get("uniqueItems"):
            return fixed[:most] + [self.of(items, depth + 1) for _ in range(size - len(fixed))]
        return self._distinct(items, fixed[:most], least, size, depth)

    def _distinct(
        self, items: Any, value: list[Any], least: int, size: int, depth: int
    ) -> list[Any]:
        options = self._resolve(items).get("enum")
        if options is not None:
            pool = self._rng.sample(options, len(options))
        else:
            pool = [self.of(items, depth + 1) for _ in range(8 * size)]
        seen = {jsons.canonical(element) for element in value}
        for element in pool:
            if len(value) >= max(size, least):
                break
            mark = jsons.canonical(element)
            if mark not in seen:
                seen.add(mark)
                value.append(element)
        return value

    def _ids(self, items: Any) -> list[str] | None:
        """The IDs a list has to cover, when its elements are told apart by an enum of strings."""
        element = self._resolve(items)
        properties = element.get("properties")
        if not isinstance(properties, dict) or "id" not in properties:
            return None
        ids = self._resolve(properties["id"]).get("enum")
        return ids if ids and all(isinstance(one, str) for one in ids) else None

    def _with_id(self, items: Any, one: str, depth: int) -> dict[str, Any]:
        element = self._resolve(items)
        properties = {**element["properties"], "id": {"const": one}}
        return self._object({**element, "properties": properties}, depth + 1)

    def _string(self, schema: dict[str, Any]) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        made = _FORMATS.get(schema.get("format", ""))
        text = made(self._rng) if made else words(self._rng, 1 + self._rng.randrange(4))
        if least > _MOST_VALUES:
            raise ValueError("the schema asks for too long a text")
        while len(text) < least:
            text += " " + self._rng.choice(WORDS)
        if len(text) > most:
            text = text[: int(most)]
        return text

    def _number(self, schema: dict[str, Any], *, whole: bool) -> int | float:
        low, high = _bounds(schema, whole=whole)
        step = schema.get("multipleOf") or (1 if whole else None)
        if step is not None:
            first, last = math.ceil(low / step), math.floor(high / step)
            multiple = self._rng.randint(first, max(first, last)) * step
            return int(multiple) if whole else multiple
        value = round(low + (high - low) * (0.1 + 0.8 * self._rng.random()), 2)
        return value if low < value < high else (low + high) / 2


def _bounds(schema: dict[str, Any], *, whole: bool) -> tuple[float, float]:
    """The smallest and the largest number allowed; where one is open, 100 steps from the other."""
    grid = schema.get("multipleOf") or (1 if whole else None)

    def beyond(bound: float) -> float:
        # On a grid the next point; without one the draw stays inside the bounds anyway.
        return bound if grid is None else (math.floor(bound / grid) + 1) * grid

    lows = [schema["minimum"]] if "minimum" in schema else []
    highs = [schema["maximum"]] if "maximum" in schema else []
    if "exclusiveMinimum" in schema:
        lows.append(beyond(schema["exclusiveMinimum"]))
    if "exclusiveMaximum" in schema:
        highs.append(-beyond(-schema["exclusiveMaximum"]))
    span = 100 * (grid or 1)
    if lows:
        low = max(lows)
        return low, min(highs) if highs else low + span
    if highs:
        high = min(highs)
        return min(0, high - span), high
    return 0, span


def _without(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != name}


def _merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Both schemas at once, as far as one dictionary can say it."""
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    for name, pick in (("minimum", max), ("minLength", max), ("minItems", max)):
        if name in one and name in other:
            merged[name] = pick(one[name], other[name])
    for name, pick in (("maximum", min), ("maxLength", min), ("maxItems", min)):
        if name in one and name in other:
            merged[name] = pick(one[name], other[name])
    return merged
