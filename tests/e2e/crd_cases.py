"""Manifests that the API server takes or refuses, each the difference to one that works."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import yaml

MESSAGES = [{"role": "user", "content": "{{ item }}"}]
GOOD: dict[str, Any] = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "BatchJob",
    "metadata": {"name": "products"},
    "spec": {
        "source": {"file": {"path": "items.jsonl"}, "idField": "id"},
        "processor": {"http": {"url": "http://127.0.0.1/products"}},
    },
}


@dataclass(frozen=True)
class Case:
    """`changes`: values by path from the top (None takes a field away). says: what is said of it,
    in this order; empty where the manifest is taken."""

    name: str
    changes: dict[str, Any]
    says: tuple[str, ...] = ()

    def manifest(self) -> dict[str, Any]:
        """The manifest as an object."""
        return changed(GOOD, self.changes)

    def text(self) -> str:
        """The manifest as YAML."""
        return yaml.safe_dump(self.manifest())


def changed(manifest: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy with values set by path, or taken away where they are None."""
    new = copy.deepcopy(manifest)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = new
        for name in parents:
            place = place.setdefault(name, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return new


def _spec(name: str, path: str, value: Any, *says: str) -> Case:
    """One value of the spec; what is said begins with its path."""
    return Case(name, {f"spec.{path}": value}, (f"spec.{path}: ", *says))


def _source(name: str, source: Any, *says: str) -> Case:
    return Case(name, {"spec.source": source}, says)


def _processor(name: str, processor: Any, *says: str) -> Case:
    return Case(name, {"spec.processor": processor}, says)


def _openai(name: str, fields: dict[str, Any], *says: str) -> Case:
    return _processor(name, {"openai": {"model": "m", **fields}}, *says)


_PASSWORD = "user and password do not belong in an address"
TAKEN = [
    Case("the one that works", {}),
    Case("the longest name", {"metadata.name": "a" * 52}),
    _source("any JSON as an item", {"inline": {"items": [1, "a", None, [None], {"b": None}]}}),
    _source("twenty thousand items", {"inline": {"items": [{"i": n} for n in range(20_000)]}}),
    _source("several ID fields", {"file": {"path": "a.csv"}, "idField": ["sku", "_position"]}),
    _openai("a chat", {"messages": MESSAGES, "parameters": {"stop": None, "n": [1]}}),
    _openai("parts of content", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}),
    _openai("an embedding", {"operation": "embeddings", "input": "{{ item }}"}),
    _openai("a response", {"operation": "responses", "messages": MESSAGES}),
    _processor("an embedding by default", {"ollama": {"model": "m", "input": "x"}}),
    _processor("templates in an address", {"http": {"url": "HTTPS://{{ item.a }}/b@c"}}),
    _processor("a body that is text", {"http": {"url": "http://h", "body": "{{ item }}"}}),
    Case("durations", {"spec.retry": {"maxElapsed": "1d2h3.5m", "requestTimeout": 90}}),
    Case("a second between checkpoints", {"spec.checkpoint": {"maxInterval": "0.01s"}}),
    Case("items in a shard", {"spec.sharding": {"itemsPerShard": 250}}),
    Case("an output in capitals", {"spec.output": {"file": {"path": "Out.CSV"}}}),
    Case(
        "a suffix by another name",
        {"spec.output": {"file": {"path": "o.ndjson"}, "format": "jsonl"}},
    ),
    Case("a pod template", {"spec.template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}),
]
"""Taken by the API server, and by `penstock validate`."""
REFUSED = [
    Case("no spec", {"spec": None}, ("spec: Required value",)),
    Case("no source", {"spec.source": None}, ("spec.source: Required value",)),
    _source(
        "none of the sources",
        {"idField": "id"},
        "spec.source: ",
        "wanted exactly one of inline, configMap, file, objectStore, http, postgres; given: none",
    ),
    _source(
        "two sources",
        {"inline": {"items": [1]}, "file": {"path": "a"}},
        *("spec.source: ", "wanted exactly one of ", "given: inline file"),
    ),
    _source("a source without items", {"inline": {"items": []}}, "spec.source.inline.items: "),
    _source("a path of nothing", {"file": {"path": ""}}, "spec.source.file.path: "),
    _source("a blank path", {"file": {"path": "  "}}, "spec.source.file.path: ", "is blank"),
    _source(
        "an address for a path",
        {"file": {"path": "s3://bucket/a.csv"}},
        *("spec.source.file.path: ", "is an address, not a path; objectStore"),
    ),
    _spec("text for a number", "source.limit", "5", "must be of type integer"),
    _spec("a limit of zero", "source.limit", 0, "greater than or equal to 1"),
    _spec("an unknown format", "source.format", "yaml", "Unsupported value", '"jsonl", "json"'),
    Case(
        "a quote between columns",
        {"spec.source.csv": {"delimiter": '"'}},
        ("spec.source.csv.delimiter: ", "quotes and line ends cannot separate columns"),
    ),
    Case(
        "a field misspelt",
        {"spec.source.idFeild": "id"},
        ("strict decoding error", 'unknown field "spec.source.idFeild"'),
    ),
    _processor("no processor", {}, "spec.processor: ", "wanted exactly one of openai, ", "none"),
    _processor(
        "two processors",
        {"http": {"url": "http://h"}, "ollama": {"model": "m", "input": "x"}},
        *("spec.processor: ", "given: ollama http"),
    ),
    _processor(
        "stages in a stage",
        {"stages": [{"name": "a", "processor": {"stages": []}}]},
        'unknown field "spec.processor.stages[0].processor.stages"',
    ),
    _processor(
        "a stage that does nothing",
        {"stages": [{"name": "a", "processor": {}}]},
        *("spec.processor.stages[0].processor: ", "wanted exactly one of openai, ollama, http, p"),
    ),
    _processor(
        "no scheme", {"http": {"url": "localhost:80"}}, "spec.processor.http.url: ", "wanted an ad"
    ),
    _processor(
        "a password in an address",
        {"http": {"url": "http://me:secret@h/"}},
        *("spec.processor.http.url: ", _PASSWORD),
    ),
    _processor(
        "an unknown method",
        {"http": {"url": "http://h", "method": "FETCH"}},
        *("spec.processor.http.method: Unsupported value", '"GET"'),
    ),
    _processor(
        "no model", {"openai": {"messages": MESSAGES}}, "spec.processor.openai.model: Required"
    ),
    _openai("no messages", {}, "spec.processor.openai.messages: ", "operation chat needs it"),
    _openai(
        "an input to a chat",
        {"messages": MESSAGES, "input": "x"},
        *("spec.processor.openai.input: ", "operation chat takes messages in its place"),
    ),
    _openai(
        "an unknown role",
        {"messages": [{"role": "usr", "content": "x"}]},
        *("spec.processor.openai.messages[0].role: Unsupported value", '"user"'),
    ),
    _openai(
        "an embedding of nothing",
        {"operation": "embeddings"},
        *("spec.processor.openai.input: ", "operation embeddings needs it"),
    ),
    _openai(
        "an embedding of messages",
        {"operation": "embeddings", "input": "x", "messages": MESSAGES},
        *("spec.processor.openai.messages: ", "operation embeddings takes input in their place"),
    ),
    _openai(
        "an embedding by a schema",
        {"operation": "embeddings", "input": "x", "responseFormat": {"type": "object"}},
        *("spec.processor.openai.responseFormat: ", "embeddings are numbers"),
    ),
    _openai(
        "a response to two things",
        {"operation": "responses", "input": "x", "messages": MESSAGES},
        *("spec.processor.openai.input: ", "either input or messages"),
    ),
    _openai(
        "an address that is none",
        {"messages": MESSAGES, "baseURL": "api.openai.com"},
        *("spec.processor.openai.baseURL: ", "wanted an address such as https://"),
    ),
    _processor(
        "neither input nor messages",
        {"ollama": {"model": "m"}},
        *("spec.processor.ollama: ", "wanted either input, to embed it, or messages, to chat"),
    ),
    _processor(
        "a function without its module",
        {"python": {"entrypoint": "work"}},
        "spec.processor.python.entrypoint: ",
    ),
    _spec("no duration", "retry.maxElapsed", "ten minutes", "should match"),
    _spec("no time at all", "retry.requestTimeout", "0s", "wanted more than 0s"),
    _spec("too many attempts", "retry.maxAttempts", 1001, "less than or equal to 1000"),
    _spec("rare checkpoints", "checkpoint.maxInterval", "2m", "wanted 10ms to 60s"),
    _spec("checkpoints all the time", "checkpoint.maxInterval", "9ms", "wanted 10ms to 60s"),
    _spec("shards of another word", "sharding.itemsPerShard", "many", "should match"),
    _spec("shards of nothing", "sharding.itemsPerShard", 0, "greater than or equal to 1"),
    _spec(
        "more than the default",
        "scaling.minParallelism",
        11,
        "minParallelism is more than maxParallelism (left out, they are 1 and 10)",
    ),
    Case(
        "min above max",
        {"spec.scaling": {"concurrency": {"min": 9, "max": 3}}},
        ("spec.scaling.concurrency.min: ", "min is more than max"),
    ),
    _spec("no requests a minute", "rateLimit.requestsPerMinute", 0, "should be greater than 0"),
    _spec(
        "more than everything",
        *("failurePolicy.toleratedFailurePercentage", 150, "less than or equal to 100"),
    ),
    _spec("an unknown word", "existing", "skipped", "Unsupported value", '"skip", "skipByID"'),
    _spec("a result set that is a path", "resultSet", "a/b", "wanted letters, digits, dots"),
    _spec("a result set without an end", "resultSet", "a" * 129, "Too long"),
    _spec("a budget in no currency", "budget.maxCost", 5, "needs spec.price"),
    _spec("an output to nowhere", "output", {"format": "csv"}, "file, objectStore, postgres; giv"),
    _spec("an output in no known format", "output.file.path", "o.doc", "wanted a suffix of"),
    _spec("an output that is a folder", "output.file.path", "out/", "wanted the path of a file"),
    Case(
        "an output in two formats",
        {"spec.output": {"file": {"path": "o.csv"}, "format": "xlsx"}},
        ("spec.output.format: ", "the suffix of file.path says another format"),
    ),
    _spec("a counter below zero", "rerun", -1, "greater than or equal to 0"),
    _spec("a policy that there is not", "deletionPolicy", "Keep", "Unsupported value", '"Retain"'),
    Case("a name with a dot", {"metadata.name": "a.b"}, ("metadata.name: ", "wanted lower-case")),
    Case("a name without an end", {"metadata.name": "a" * 53}, ("metadata.name: ", "Too long")),
]
"""Refused by both, each with the path of the field and what would be right."""
