"""The calls that scripts and Penstock both make: path and body for an item, by kind."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODEL = "gpt-5-nano"
SYSTEM = "Fill in the metafields of a product from its title and description. Answer in JSON."
SCHEMA = {
    "type": "object",
    "properties": {"panel": {"type": "string"}, "inches": {"type": "integer"}},
    "required": ["panel", "inches"],
    "additionalProperties": False,
}
RESPONSE_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "output", "strict": True, "schema": SCHEMA},
}


@dataclass(frozen=True, slots=True)
class Job:
    """What a script was asked to do. kind: a key of `PATHS`."""

    url: str
    kind: str
    items: list[dict[str, Any]]
    in_flight: int


PATHS = {
    "http": "/products",
    "chat": "/v1/chat/completions",
    "embeddings": "/v1/embeddings",
    "ollama": "/api/embed",
}


def text(item: dict[str, Any]) -> str:
    """What a model is told of an item."""
    if "overview" in item:
        return f"{item['title']} ({item['year']})\n{item['overview']}"
    return f"Title: {item['title']}\nDescription: {item['description']}"


def messages(item: dict[str, Any]) -> list[Any]:
    """Of a chat about an item."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text(item)}]


def body(kind: str, item: dict[str, Any]) -> dict[str, Any]:
    """The body of the request for an item."""
    match kind:
        case "http":
            return item
        case "chat":
            return {
                "model": MODEL,
                "messages": messages(item),
                "response_format": RESPONSE_FORMAT,
            }
    return {"model": MODEL, "input": text(item)}


def job() -> Job:
    """The command line's."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("kind", choices=PATHS)
    parser.add_argument("items", type=Path)
    parser.add_argument("in_flight", type=int)
    given = parser.parse_args()
    return Job(given.url, given.kind, items(given.items), given.in_flight)


def items(path: str | Path) -> list[dict[str, Any]]:
    """Those of a JSON Lines file."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def save(answers: Sequence[Any]) -> None:
    """Write all answers, in the order of the items."""
    with Path("answers.jsonl").open("w") as file:
        file.writelines(json.dumps(answer) + "\n" for answer in answers)
