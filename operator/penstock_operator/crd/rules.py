"""What the API server checks across fields: CEL rules by model, each saying what would be right.

Only what can be seen from fields side by side stands here. Templates, expressions, encodings and
whatever is not supported yet take the program itself, which answers in the job's status. Nothing
reads another field's default from the schema, which has none: the model's own stands in the rule.
"""

from __future__ import annotations

from penstock.spec.names import LONGEST_JOB_NAME
from penstock.spec.running import Concurrency, Scaling
from penstock.spec.validate import OUTPUTS, PROCESSORS, SOURCES
from penstock_operator.crd.rule import (
    Rule,
    address,
    at_most,
    exactly_one,
    never_changes,
    never_falls,
    when,
)

_ENDS = "a letter or digit at both ends"
_NAME = Rule(
    "self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
    f"wanted lower-case letters, digits and hyphens, {_ENDS}, at most {LONGEST_JOB_NAME}",
    ".metadata.name",
)

# What is left out and what is written as `auto` is the same.
_SHARD = (
    "(has({0}.sharding) && has({0}.sharding.itemsPerShard) ? dyn({0}.sharding.itemsPerShard) : "
    "dyn('auto'))"
)
_SPEC = (
    Rule(
        f"{_SHARD.format('self')} == {_SHARD.format('oldSelf')}",
        "cannot be changed: the items are divided already; make another BatchJob with the same "
        "resultSet, which skips what is done",
        ".sharding",
    ),
    never_falls("redrive", "run the failed items again"),
    never_falls("rerun", "start a new run"),
    never_changes("managedBy", "two controllers would run the job; make another BatchJob"),
    Rule(
        "!has(self.resultSet) || "
        "self.resultSet.matches('^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$')",
        f"wanted letters, digits, dots, hyphens and underscores, {_ENDS}",
        ".resultSet",
    ),
    Rule(
        "!has(self.budget) || !has(self.budget.maxCost) || has(self.price)",
        "needs spec.price, to know what tokens cost",
        ".budget.maxCost",
    ),
)

_PATH = Rule("self.path.matches('[^ ]')", "is blank", ".path")
_SCHEME = "!self.path.matches('^[A-Za-z0-9_]+://')"
_FILE_SOURCE = (
    _PATH,
    Rule(_SCHEME, "is an address, not a path; objectStore and http read from addresses", ".path"),
)
_FILE_OUTPUT = (
    _PATH,
    Rule(_SCHEME, "is an address, not a path; objectStore writes to addresses", ".path"),
    Rule("!self.path.endsWith('/')", "wanted the path of a file", ".path"),
)
_DELIMITER = Rule(
    r"""!has(self.delimiter) || !(self.delimiter in ['"', '\n', '\r'])""",
    "quotes and line ends cannot separate columns",
    ".delimiter",
)

_LOWER = "self.file.path.lowerAscii()"
_SUFFIXED = f"{_LOWER}.matches('[.](jsonl|ndjson|csv|xlsx|parquet)$')"
_OUTPUT = (
    exactly_one(OUTPUTS, unless="perItem"),
    Rule(
        f"!has(self.file) || has(self.format) || {_SUFFIXED}",
        "wanted a suffix of .jsonl, .csv, .xlsx or .parquet, or a format",
        ".file.path",
    ),
    Rule(
        f"!has(self.file) || !has(self.format) || !{_SUFFIXED} || "
        f"{_LOWER}.endsWith('.' + self.format) || "
        f"(self.format == 'jsonl' && {_LOWER}.endsWith('.ndjson'))",
        "the suffix of file.path says another format; change one of them",
        ".format",
    ),
)

_CHAT = "has(self.operation) && self.operation == 'chat'"
_RESPONSES = "has(self.operation) && self.operation == 'responses'"
_EMBEDDINGS = "has(self.operation) && self.operation == 'embeddings'"
_CHAT_BY_DEFAULT = "!has(self.operation) || self.operation == 'chat'"
_EXAMPLE = '[{role: user, content: "{{ item }}"}]'
_NO_FORMAT = "embeddings are numbers, they have no format; remove it"


def _chat(condition: str) -> tuple[Rule, Rule]:
    return (
        when(
            *(condition, "has(self.messages)"),
            *(f"is missing: operation chat needs it, such as {_EXAMPLE}", "messages"),
        ),
        when(condition, "!has(self.input)", "operation chat takes messages in its place", "input"),
    )


_EMBEDS = (
    when(_EMBEDDINGS, "has(self.input)", "is missing: operation embeddings needs it", "input"),
    when(
        *(_EMBEDDINGS, "!has(self.messages)"),
        *("operation embeddings takes input in their place", "messages"),
    ),
)
_OPENAI = (
    *address("baseURL"),
    *_chat(_CHAT_BY_DEFAULT),
    *_EMBEDS,
    when(
        *(_RESPONSES, "has(self.input) != has(self.messages)"),
        *("operation responses needs either input or messages", "input"),
    ),
    when(_EMBEDDINGS, "!has(self.responseFormat)", _NO_FORMAT, "responseFormat"),
)
_OLLAMA = (
    *address("baseURL"),
    Rule(
        "has(self.operation) || has(self.input) != has(self.messages)",
        "wanted either input, to embed it, or messages, to chat",
    ),
    *_chat(_CHAT),
    *_EMBEDS,
    when("has(self.responseFormat)", "has(self.messages)", _NO_FORMAT, "responseFormat"),
)

_SCALING = at_most(
    *("minParallelism", "maxParallelism"),
    *(Scaling().min_parallelism, Scaling().max_parallelism),
)
_CONCURRENCY = at_most("min", "max", Concurrency().min, Concurrency().max)
_TIMEOUT = Rule(
    "!has(self.requestTimeout) || string(self.requestTimeout).matches('[1-9]')",
    "wanted more than 0s",
    ".requestTimeout",
)
# A plain number means seconds. CEL knows no days, and hours are too long in any case.
_TEXT = "string(self.maxInterval)"
_INTERVAL = Rule(
    "!has(self.maxInterval) || (type(self.maxInterval) == int "
    "? self.maxInterval >= 1 && self.maxInterval <= 60 "
    f": !{_TEXT}.matches('[hd]') && duration({_TEXT}) >= duration('10ms') "
    f"&& duration({_TEXT}) <= duration('60s'))",
    "wanted 10ms to 60s",
    ".maxInterval",
)

RULES: dict[str, tuple[Rule, ...]] = {
    "BatchJob": (_NAME,),
    "BatchJobSpec": _SPEC,
    "Source": (exactly_one(SOURCES),),
    "FileSource": _FILE_SOURCE,
    "HttpSource": address("url", required=True),
    "CsvOptions": (_DELIMITER,),
    "Processor": (exactly_one(PROCESSORS),),
    # What a stage does is not made of stages again.
    "Processor in Stage": (exactly_one([name for name in PROCESSORS if name != "stages"]),),
    "OpenAIProcessor": _OPENAI,
    "OllamaProcessor": _OLLAMA,
    "HttpProcessor": address("url", required=True),
    "Scaling": (_SCALING,),
    "Concurrency": (_CONCURRENCY,),
    "Retry": (_TIMEOUT,),
    "Checkpoint": (_INTERVAL,),
    "Output": _OUTPUT,
    "FileOutput": _FILE_OUTPUT,
}
"""By the name of the model that they are about."""
