"""What the API server checks across fields: CEL rules, each with what would be right.

Only what can be seen from fields side by side stands here. Templates, expressions, encodings and
whatever is not supported yet take the program itself, which answers in the job's status. Nothing
reads another field's default from the schema, which has none: the model's own stands in the rule.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from penstock.spec.names import LONGEST_JOB_NAME
from penstock.spec.running import Concurrency, Scaling
from penstock.spec.validate import OUTPUTS, PROCESSORS, SOURCES


@dataclass(frozen=True, slots=True)
class Rule:
    """One condition in CEL on an object. `message_expression` wins over `message`.

    field_path: the field that is at fault, as `.scaling.minParallelism`; default: the object.
    """

    rule: str
    message: str
    message_expression: str = ""
    field_path: str = ""


_UNIONS = {"Source": SOURCES, "Processor": PROCESSORS, "Output": OUTPUTS}
_ADDRESS = "wanted an address such as https://example.org/v1"
_NO_PASSWORD = "user and password do not belong in an address"


def exactly_one(model: str, properties: Collection[str]) -> Iterator[Rule]:
    """The rule of a model that holds exactly one of several fields."""
    names = [name for name in _UNIONS.get(model, ()) if name in properties]
    if not names:
        return
    given = ", ".join(f"has(self.{name})" for name in names)
    # A sum of words is cheap to the API server's reckoning, `join` and `string` are not.
    listed = " + ".join(f"(has(self.{name}) ? ' {name}' : '')" for name in names)
    wanted = f"wanted exactly one of {', '.join(names)}"
    # Where each item has a file of its own, no other place is needed.
    unless = "has(self.perItem) || " if "perItem" in properties else ""
    yield Rule(
        f"{unless}[{given}].exists_one(one, one)",
        wanted,
        f"'{wanted}; given:' + ([{given}].exists(one, one) ? {listed} : ' none')",
    )


def rules_of(model: str) -> tuple[Rule, ...]:
    """All other rules of a model, by its name."""
    return _RULES.get(model, ())


def _at_most(low: str, high: str, low_default: int, high_default: int) -> Rule:
    least = f"(has(self.{low}) ? self.{low} : {low_default})"
    most = f"(has(self.{high}) ? self.{high} : {high_default})"
    return Rule(
        f"{least} <= {most}",
        f"{low} is more than {high} (left out, they are {low_default} and {high_default})",
        "",
        f".{low}",
    )


def _never_falls(counter: str, does: str) -> Rule:
    now, before = (f"(has({of}.{counter}) ? {of}.{counter} : 0)" for of in ("self", "oldSelf"))
    return Rule(
        f"{now} >= {before}",
        f"never falls; leave it as it was, or raise it to {does}",
        "",
        f".{counter}",
    )


def _address(field: str, optional: bool = True) -> tuple[Rule, Rule]:
    absent = f"!has(self.{field}) || " if optional else ""
    return (
        Rule(f"{absent}self.{field}.matches('^https?://[^/?#]')", _ADDRESS, "", f".{field}"),
        Rule(f"{absent}!self.{field}.matches('^[a-z]+://[^/?#]*@')", _NO_PASSWORD, "", f".{field}"),
    )


def _needs(operation: str, condition: str, message: str, field: str) -> Rule:
    """For `operation` (a condition in CEL) another condition holds."""
    return Rule(f"!({operation}) || {condition}", message, "", f".{field}")


_AUTO = "dyn('auto')"
_SHARDING = (
    "(has({0}.sharding) && has({0}.sharding.itemsPerShard) ? dyn({0}.sharding.itemsPerShard) : "
    f"{_AUTO})"
)
_SPEC = (
    Rule(
        f"{_SHARDING.format('self')} == {_SHARDING.format('oldSelf')}",
        "cannot be changed: the items are divided already; make another BatchJob with the same "
        "resultSet, which skips what is done",
        "",
        ".sharding",
    ),
    _never_falls("redrive", "run the failed items again"),
    _never_falls("rerun", "start a new run"),
    Rule(
        "has(self.managedBy) == has(oldSelf.managedBy) && "
        "(!has(self.managedBy) || self.managedBy == oldSelf.managedBy)",
        "cannot be changed: two controllers would run the job; make another BatchJob",
        "",
        ".managedBy",
    ),
    Rule(
        "!has(self.resultSet) || self.resultSet.matches('^[A-Za-z0-9]([A-Za-z0-9._-]*"
        "[A-Za-z0-9])?$')",
        "wanted letters, digits, dots, hyphens and underscores, a letter or digit at both ends",
        "",
        ".resultSet",
    ),
    Rule(
        "!has(self.budget) || !has(self.budget.maxCost) || has(self.price)",
        "needs spec.price, to know what tokens cost",
        "",
        ".budget.maxCost",
    ),
)
_NAME = Rule(
    "self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
    "wanted lower-case letters, digits and hyphens, a letter or digit at both ends, at most "
    f"{LONGEST_JOB_NAME}",
    "",
    ".metadata.name",
)
_FILE = (
    Rule(
        "!self.path.matches('^[A-Za-z0-9_]+://')",
        "is an address, not a path; objectStore takes addresses",
        "",
        ".path",
    ),
    Rule("self.path.matches('[^ ]')", "is blank", "", ".path"),
)
_SUFFIX = "(jsonl|ndjson|csv|xlsx|parquet)"
_PATH = "self.file.path.lowerAscii()"
_OUTPUT = (
    Rule(
        f"!has(self.file) || has(self.format) || {_PATH}.matches('[.]{_SUFFIX}$')",
        "wanted a suffix of .jsonl, .csv, .xlsx or .parquet, or a format",
        "",
        ".file.path",
    ),
    Rule(
        f"!has(self.file) || !has(self.format) || !{_PATH}.matches('[.]{_SUFFIX}$') || "
        f"{_PATH}.endsWith('.' + self.format) || "
        f"(self.format == 'jsonl' && {_PATH}.endsWith('.ndjson'))",
        "format and the suffix of file.path say different things; change one of them",
        "",
        ".format",
    ),
)
_CHAT = "!has(self.operation) || self.operation == 'chat'"
_RESPONSES = "has(self.operation) && self.operation == 'responses'"
_EMBEDDINGS = "has(self.operation) && self.operation == 'embeddings'"
_OPENAI = (
    *_address("baseURL"),
    _needs(
        *(_CHAT, "has(self.messages)"),
        'operation chat needs messages, such as [{role: user, content: "{{ item }}"}]',
        "messages",
    ),
    _needs(_CHAT, "!has(self.input)", "operation chat takes messages in place of input", "input"),
    _needs(_EMBEDDINGS, "has(self.input)", "operation embeddings needs input", "input"),
    _needs(
        *(_EMBEDDINGS, "!has(self.messages)"),
        *("operation embeddings takes input in place of messages", "messages"),
    ),
    _needs(
        *(_EMBEDDINGS, "!has(self.responseFormat)"),
        *("embeddings are numbers, they have no format; remove it", "responseFormat"),
    ),
    _needs(
        *(_RESPONSES, "has(self.input) != has(self.messages)"),
        *("operation responses needs either input or messages", "input"),
    ),
)
_OLLAMA = (
    *_address("baseURL"),
    Rule(
        "has(self.operation) || has(self.input) != has(self.messages)",
        "wanted either input, to embed it, or messages, to chat",
    ),
    _needs(
        *("has(self.operation) && self.operation == 'chat'", "has(self.messages)"),
        *("operation chat needs messages", "messages"),
    ),
    _needs(
        *("has(self.operation) && self.operation == 'chat'", "!has(self.input)"),
        *("operation chat takes messages in place of input", "input"),
    ),
    _needs(_EMBEDDINGS, "has(self.input)", "operation embeddings needs input", "input"),
    _needs(
        *(_EMBEDDINGS, "!has(self.messages)"),
        *("operation embeddings takes input in place of messages", "messages"),
    ),
    _needs(
        *("has(self.responseFormat)", "has(self.messages)"),
        *("embeddings are numbers, they have no format; remove it", "responseFormat"),
    ),
)
_INTERVAL = "string(self.maxInterval)"
_RULES: dict[str, tuple[Rule, ...]] = {
    "BatchJob": (_NAME,),
    "BatchJobSpec": _SPEC,
    "FileSource": _FILE,
    "FileOutput": (
        *_FILE,
        Rule("!self.path.endsWith('/')", "wanted the path of a file", "", ".path"),
    ),
    "HttpSource": _address("url", optional=False),
    "CsvOptions": (
        Rule(
            "!has(self.delimiter) || !(self.delimiter in ['\"', '\\n', '\\r'])",
            *("quotes and line ends cannot separate columns", "", ".delimiter"),
        ),
    ),
    "Output": _OUTPUT,
    "OpenAIProcessor": _OPENAI,
    "OllamaProcessor": _OLLAMA,
    "HttpProcessor": _address("url", optional=False),
    "Scaling": (
        _at_most(
            *("minParallelism", "maxParallelism"),
            *(Scaling().min_parallelism, Scaling().max_parallelism),
        ),
    ),
    "Concurrency": (_at_most("min", "max", Concurrency().min, Concurrency().max),),
    "Retry": (
        Rule(
            "!has(self.requestTimeout) || string(self.requestTimeout).matches('[1-9]')",
            *("wanted more than 0s", "", ".requestTimeout"),
        ),
    ),
    "Checkpoint": (
        Rule(
            "!has(self.maxInterval) || (type(self.maxInterval) == int ? "
            "self.maxInterval >= 1 && self.maxInterval <= 60 : "
            f"!{_INTERVAL}.matches('[hd]') && duration({_INTERVAL}) >= duration('10ms') && "
            f"duration({_INTERVAL}) <= duration('60s'))",
            *("wanted 10ms to 60s", "", ".maxInterval"),
        ),
    ),
}
