"""What has to fit together in a manifest, beyond the type of each field. Everything is told."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import get_args

from pydantic import BaseModel

from penstock.errors import InputError, Mistake
from penstock.spec.check_processor import (
    header_mistakes,
    jmespath_mistake,
    processor_mistakes,
    url_mistake,
)
from penstock.spec.item_path import item_path_mistakes
from penstock.spec.job import BatchJob, BatchJobSpec, Metadata
from penstock.spec.names import (
    LONGEST_JOB_NAME,
    as_job_name,
    is_job_name,
    is_namespace,
    is_result_set,
)
from penstock.spec.object_url import url_problem
from penstock.spec.output import ObjectStoreOutput, Output, OutputFormat
from penstock.spec.source import HttpSource, ObjectStoreSource, Source, has_wildcard
from penstock.spec.unsupported import unsupported
from penstock.spec.uses import template_mistakes

SOURCES = ("inline", "configMap", "file", "objectStore", "http", "postgres")
PROCESSORS = ("openai", "ollama", "http", "python", "stages")
OUTPUTS = ("file", "objectStore", "postgres")
"""Of each of these, a manifest has exactly one."""


def validate(job: BatchJob) -> list[Mistake]:
    """Every mistake in a job whose fields have the right types, at its path."""
    spec = job.spec
    mistakes = [
        *_metadata(job.metadata),
        *_exactly_one(spec.source, SOURCES, "spec.source"),
        *_source(spec.source),
        *_exactly_one(spec.processor, PROCESSORS, "spec.processor"),
        *processor_mistakes(spec.processor),
        *_bounds(spec),
        *_functions(spec),
        *_output(spec.output),
        *unsupported(job),
        *template_mistakes(job),
    ]
    if spec.result_set is not None and not is_result_set(spec.result_set):
        message = "wanted letters, digits, dots, hyphens and underscores, at most 128"
        mistakes.append(Mistake("spec.resultSet", message))
    return mistakes


def _metadata(metadata: Metadata) -> Iterator[Mistake]:
    if not is_job_name(metadata.name):
        suggestion = as_job_name(metadata.name)
        hint = f", such as {suggestion}" if suggestion else ""
        yield Mistake(
            "metadata.name",
            "wanted lower-case letters, digits and hyphens, a letter or digit at both ends, at "
            f"most {LONGEST_JOB_NAME}{hint}",
        )
    if metadata.namespace is not None and not is_namespace(metadata.namespace):
        yield Mistake("metadata.namespace", "wanted lower-case letters, digits and hyphens")


def _exactly_one(model: BaseModel, names: tuple[str, ...], where: str) -> Iterator[Mistake]:
    fields = type(model).model_fields.items()
    present = {field.alias for attribute, field in fields if getattr(model, attribute) is not None}
    given = [name for name in names if name in present]
    wanted = f"wanted exactly one of {', '.join(names)}"
    if not given:
        yield Mistake(where, f"{wanted}; none is given")
    elif len(given) > 1:
        yield Mistake(f"{where}.{given[-1]}", f"{wanted}; {' and '.join(given)} are given")


def _source(source: Source) -> Iterator[Mistake]:
    where = "spec.source"
    if source.inline is not None and not source.inline.items:
        yield Mistake(f"{where}.inline.items", "there are no items in it")
    if source.file is not None:
        path = source.file.path
        if not path.strip():
            yield Mistake(f"{where}.file.path", "is blank")
        elif re.match(r"\w+://", path):
            message = "is an address, not a path; objectStore and http read from addresses"
            yield Mistake(f"{where}.file.path", message)
    if source.object_store is not None:
        yield from _object_store(source.object_store, f"{where}.objectStore")
    if source.format == "files" and source.file is None and source.object_store is None:
        yield Mistake(f"{where}.format", "`files` takes a `file` or `objectStore` to look for them")
    if source.http is not None:
        yield from _http_source(source.http, f"{where}.http")
    for kind, given in (("http", source.http), ("postgres", source.postgres)):
        if given is not None and source.format is not None:
            yield Mistake(f"{where}.format", f"is for files and objects; remove it with {kind}")
    if not _is_text_encoding(source.csv.encoding):
        yield Mistake(
            f"{where}.csv.encoding",
            f"there is no encoding {source.csv.encoding[:40]!r}; such as utf-8, cp1252, latin-1",
        )
    if source.csv.delimiter is not None and source.csv.delimiter in '"\r\n':
        yield Mistake(f"{where}.csv.delimiter", "quotes and line ends cannot separate columns")
    fields = source.id_field if isinstance(source.id_field, list) else []
    for index, name in enumerate(fields):
        if name in fields[:index]:
            yield Mistake(f"{where}.idField[{index}]", f"{name!r} is in the list twice")


def _http_source(http: HttpSource, where: str) -> Iterator[Mistake]:
    yield from url_mistake(http.url, f"{where}.url")
    yield from header_mistakes(http.headers, f"{where}.headers")
    for field, path in (("itemsPath", http.items_path), ("nextPath", http.next_path)):
        if path is not None:
            yield from jmespath_mistake(path, f"{where}.{field}")


def _object_store(store: ObjectStoreSource | ObjectStoreOutput, where: str) -> Iterator[Mistake]:
    problem = url_problem(store.url)
    if problem:
        yield Mistake(f"{where}.url", problem)
    if store.secret_ref is not None and store.secret_ref.key is not None:
        message = "has no meaning here: each key of the Secret is an option of the store"
        yield Mistake(f"{where}.secretRef.key", message)


def _per_item(output: Output, template: str) -> Iterator[Mistake]:
    if output.file is not None and output.object_store is not None:
        yield from _exactly_one(output, OUTPUTS, "spec.output")
    if output.postgres is not None:
        yield Mistake("spec.output.perItem", "writes files; results in a table are rows of it")
    if output.format is not None:
        message = "each file holds one output: text as it is, anything else as JSON"
        yield Mistake("spec.output.format", f"does not go with perItem: {message}")
    try:
        yield from item_path_mistakes(template)
    except InputError:
        return  # told with all other templates that do not parse


def _is_text_encoding(name: str) -> bool:
    try:
        # Some codecs turn bytes into bytes; `_is_text_encoding` is how Python itself tells.
        return bool(codecs.lookup(name)._is_text_encoding)
    except (LookupError, ValueError):
        return False


def _bounds(spec: BatchJobSpec) -> Iterator[Mistake]:
    scaling = spec.scaling
    if scaling.min_parallelism > scaling.max_parallelism:
        yield Mistake(
            "spec.scaling.minParallelism",
            f"{scaling.min_parallelism} is more than maxParallelism, {scaling.max_parallelism}",
        )
    concurrency = scaling.concurrency
    if concurrency.min > concurrency.max:
        yield Mistake(
            "spec.scaling.concurrency.min",
            f"{concurrency.min} is more than max, which is {concurrency.max}",
        )
    if spec.budget is not None and spec.budget.max_cost is not None and spec.price is None:
        yield Mistake("spec.budget.maxCost", "needs spec.price, to know what tokens cost")


def _functions(spec: BatchJobSpec) -> Iterator[Mistake]:
    if spec.processor.python is not None and spec.batching.max_items_per_request > 1:
        message = "a function is called with one item; quick ones are handed over together anyway"
        yield Mistake("spec.batching.maxItemsPerRequest", message)


def _output(output: Output | None) -> Iterator[Mistake]:
    if output is None:
        return
    if output.object_store is not None:
        yield from _object_store(output.object_store, "spec.output.objectStore")
        key = output.object_store.url.partition("://")[2].partition("/")[2]
        if has_wildcard(key):
            one = "a prefix" if output.per_item is not None else "the address of an object"
            yield Mistake("spec.output.objectStore.url", f"wanted {one}, not a pattern")
        elif output.per_item is None:
            yield from _written(output, "spec.output.objectStore.url", key)
    if output.file is not None and re.match(r"\w+://", output.file.path):
        message = "is an address, not a path; objectStore writes to addresses"
        yield Mistake("spec.output.file.path", message)
    elif output.file is not None and output.per_item is None:
        yield from _written(output, "spec.output.file.path", output.file.path)
    if output.per_item is not None:
        yield from _per_item(output, output.per_item)
        return
    yield from _exactly_one(output, OUTPUTS, "spec.output")
    if output.postgres is not None and output.format is not None:
        yield Mistake("spec.output.format", "is for files and objects; remove it with postgres")


def _written(output: Output, where: str, path: str) -> Iterator[Mistake]:
    """What is wrong with the one file or object that results go to."""
    known = get_args(OutputFormat)
    suffix = PurePath(path).suffix.lower().removeprefix(".")
    suffix = "jsonl" if suffix == "ndjson" else suffix
    if path.endswith("/") or not path.strip():
        yield Mistake(where, "wanted the path of a file")
    elif output.format is None and suffix not in known:
        yield Mistake(
            where, f"wanted a suffix of {', '.join(f'.{one}' for one in known)}, or a `format`"
        )
    elif output.format is not None and suffix in known and suffix != output.format:
        field = where.removeprefix("spec.output.")
        message = f"is {output.format}, but the suffix of {field} says {suffix}"
        yield Mistake("spec.output.format", message)
