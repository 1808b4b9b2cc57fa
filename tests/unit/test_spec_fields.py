"""Every field of a manifest does something here, is refused, or says that it is for a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from penstock.spec.job import BatchJobSpec
from penstock.spec.unsupported import NOT_YET

HONOURED = {
    *("source.inline.items", "source.file.path", "source.format", "source.csv.delimiter"),
    *("source.csv.encoding", "source.xlsx.sheet", "source.idField", "source.where"),
    *("source.onBadRecord", "source.limit"),
    *(f"processor.openai.{name}" for name in (
        "operation", "baseURL", "model", "messages[].role", "messages[].content", "input",
        "responseFormat", "parameters", "apiKey.secretKeyRef.name", "apiKey.secretKeyRef.key",
    )),
    *(f"processor.ollama.{name}" for name in (
        "operation", "baseURL", "model", "messages[].role", "messages[].content", "input",
        "responseFormat", "parameters", "keepAlive",
    )),
    *(f"processor.http.{name}" for name in (
        "url", "method", "headers", "body", "itemsBody", "responsePath", "idPath",
        "apiKey.secretKeyRef.name", "apiKey.secretKeyRef.key",
    )),
    *(f"processor.python.{name}" for name in (
        "entrypoint", "mode", "initializer", "kwargs", "memoryLimit",
    )),
    *("batching.maxItemsPerRequest", "batching.maxTokensPerRequest", "sharding.itemsPerShard"),
    *("scaling.concurrency.min", "scaling.concurrency.max"),
    *("rateLimit.requestsPerMinute", "rateLimit.tokensPerMinute", "rateLimit.pool"),
    *("retry.maxAttempts", "retry.maxElapsed", "retry.requestTimeout"),
    *("failurePolicy.toleratedFailureCount", "failurePolicy.toleratedFailurePercentage"),
    *("checkpoint.maxItems", "checkpoint.maxInterval", "existing", "resultSet"),
    *("output.file.path", "output.format", "output.perItem"),
    *(f"{use}.objectStore.{name}" for use in ("source", "output") for name in (
        "url", "secretRef.name", "secretRef.key",
    )),
    *("price.inputPerMillion", "price.outputPerMillion"),
    *("source.http.url", "source.http.headers", "source.http.itemsPath", "source.http.nextPath"),
    *("source.postgres.query", "source.postgres.secretRef.name", "source.postgres.secretRef.key"),
    *("output.postgres.table", "output.postgres.key", "output.postgres.skipWhere"),
    *("output.postgres.secretRef.name", "output.postgres.secretRef.key"),
    *("suspend", "redrive", "rerun", "deletionPolicy", "activeDeadlineSeconds"),
}  # fmt: skip
ON_A_CLUSTER = {
    *("scaling.minParallelism", "scaling.maxParallelism"),
    *("ttlSecondsAfterFinished", "managedBy", "template"),
    *("source.configMap.name", "source.configMap.key"),
    "processor.python.codeFrom.configMap.name",
}
REFUSED = {path.removeprefix("spec.") for path, meant, _ in NOT_YET if meant is None}


def model_in(wanted: Any) -> tuple[type[BaseModel], str] | None:
    """The model that a field holds, and `[]` when it holds a list of them."""
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return wanted, ""
    for argument in get_args(wanted):
        found = model_in(argument)
        if found is not None:
            return found[0], "[]" if getattr(wanted, "__origin__", None) is list else found[1]
    return None


def fields(model: type[BaseModel], place: str = "") -> Iterator[tuple[str, str]]:
    """Every field that holds a value, with its description; what is refused whole is one."""
    for attribute, field in model.model_fields.items():
        path = f"{place}{field.alias or attribute}"
        inner = model_in(field.annotation)
        if inner is None or path in REFUSED:
            yield path, field.description or ""
        else:
            yield from fields(inner[0], f"{path}{inner[1]}.")


FIELDS = dict(fields(BatchJobSpec))


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_is_in_one_table(path: str) -> None:
    assert [path in table for table in (HONOURED, REFUSED, ON_A_CLUSTER)].count(True) == 1


def test_the_tables_name_no_other_fields() -> None:
    assert set(FIELDS) == HONOURED | REFUSED | ON_A_CLUSTER


@pytest.mark.parametrize(("path", "description"), FIELDS.items())
def test_the_reference_says_what_is_for_a_cluster(path: str, description: str) -> None:
    assert description.startswith("On a cluster: ") == (path in ON_A_CLUSTER)
