"""Several items in one chat request: the model is asked for a list, mapped back by ID.

What is said alike about all items goes out once; what differs is listed under each item's ID.
The schema of the answer names the IDs, so that a server that enforces it can neither invent nor
confuse them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from penstock import jsons
from penstock.work import failures
from penstock.work.processors.formats import Format
from penstock.work.processors.prompts import Rendered
from penstock.work.types import Failure, Output

NAME = "results"
_MAX_LABEL = 64
_MAX_LABELS = 250
"""From this many on the IDs must be short: OpenAI takes 15,000 characters of enum values then."""
_OUTPUT = "#/properties/results/items/properties/output"

_TASK = (
    "There are {count} items below. Do for each of them, by itself, what is asked. Answer with "
    'one JSON object: {{"results": [{{"id": "the ID of the item", "output": {output}}}]}} with '
    "exactly one entry for every item."
)


def labels(ids: Sequence[str]) -> list[str]:
    """What the items are called in the request: their IDs, or 1, 2, 3 … where those won't do."""
    fit = (
        len(set(ids)) == len(ids) <= _MAX_LABELS
        and all(0 < len(one) <= _MAX_LABEL for one in ids)
        and all(one.isprintable() and one.strip() == one for one in ids)
    )
    return list(ids) if fit else [str(number) for number in range(1, len(ids) + 1)]


def combine(prompts: Sequence[Rendered], names: Sequence[str], form: Format) -> Rendered:
    """One set of messages for all: the common ones in their places, the rest in a list.

    prompts: of every item, made from the same templates. names: their labels.
    """
    combined: Rendered = []
    differing: list[int] = []
    for place, message in enumerate(prompts[0]):
        if all(prompt[place]["content"] == message["content"] for prompt in prompts):
            combined.append(message)
        else:
            if not differing:
                combined.append({})  # the list stands where the first of them stood
                at = len(combined) - 1
            differing.append(place)
    if not differing:  # items that are all alike still want an answer each
        differing, at = [len(prompts[0]) - 1], len(combined) - 1
    combined[at] = {"role": "user", "content": _list(prompts, names, differing, form)}
    return combined


def list_format(form: Format, names: Sequence[str]) -> dict[str, Any]:
    """The schema of the whole answer. What the items' schema defines moves to the root, where
    its references (`#/$defs/…`) look for it."""
    output = dict(_repoint(form.as_schema()))
    definitions = {key: output.pop(key) for key in ("$defs", "definitions") if key in output}
    entry = {
        "type": "object",
        "properties": {"id": {"type": "string", "enum": list(names)}, "output": output},
        "required": ["id", "output"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"results": {"type": "array", "items": entry}},
        "required": ["results"],
        "additionalProperties": False,
        **definitions,
    }


def take_apart(
    value: Any, names: Sequence[str], check: Callable[[Any], Output | Failure]
) -> list[Output | Failure] | Failure:
    """One output or failure an item, in the order of their labels; or what is wrong with it all.

    Entries with an unknown ID are ignored, and of several with the same ID all but the first.
    """
    entries = value.get("results") if isinstance(value, dict) else value
    if not isinstance(entries, list):
        return failures.invalid(failures.UNEXPECTED, "there is no list of results in it")
    found: dict[str, Any] = {}
    for entry in entries:
        if isinstance(entry, dict) and "id" in entry and "output" in entry:
            found.setdefault(str(entry["id"]), entry["output"])
    missing = failures.invalid(failures.MISSING)
    return [check(found[name]) if name in found else missing for name in names]


def _list(
    prompts: Sequence[Rendered], names: Sequence[str], places: Sequence[int], form: Format
) -> Any:
    output = '"the answer as text"' if form.kind == "text" else "the JSON asked for"
    parts: list[Any] = [_TASK.format(count=len(prompts), output=output)]
    for name, prompt in zip(names, prompts, strict=True):
        parts.append(f"\n\n=== Item {jsons.dumps(name)} ===")
        for place in places:
            content = prompt[place]["content"]
            parts += ["\n" + content] if isinstance(content, str) else content
    if all(isinstance(part, str) for part in parts):
        return "".join(parts)
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]


def _repoint(schema: Any) -> Any:
    """The schema with references to its own root leading to where it stands now."""
    if isinstance(schema, dict):
        return {
            key: _OUTPUT if key == "$ref" and one == "#" else _repoint(one)
            for key, one in schema.items()
        }
    return [_repoint(one) for one in schema] if isinstance(schema, list) else schema
