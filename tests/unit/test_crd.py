"""The CustomResourceDefinition: structural, described field by field, in step with the models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from penstock.spec.job import BatchJobSpec
from penstock_operator.crd.definition import crd_yaml, definition
from penstock_operator.crd.status import BatchJobStatus

Schema = dict[str, Any]
VERSION: Schema = definition()["spec"]["versions"][0]
ROOT: Schema = VERSION["schema"]["openAPIV3Schema"]
ANY = "x-kubernetes-preserve-unknown-fields"
EITHER = "x-kubernetes-int-or-string"


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema in a schema with its path, as `spec.source.inline.items[]`."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}.*")


SCHEMAS = dict(nodes(ROOT))


def rules() -> Iterator[Any]:
    for path, schema in SCHEMAS.items():
        for number, rule in enumerate(schema.get("x-kubernetes-validations", ())):
            yield pytest.param(path, rule, id=f"{path or 'object'}-{number}")


def model_in(wanted: Any) -> type[BaseModel] | None:
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return wanted
    return next((found for one in get_args(wanted) if (found := model_in(one))), None)


def model_fields(model: type[BaseModel], path: str) -> Iterator[str]:
    for attribute, field in model.model_fields.items():
        found = f"{path}.{field.alias or attribute}"
        if found.endswith("stages[].processor.stages"):
            continue
        yield found
        inner = model_in(field.annotation)
        if inner is not None:
            listed = SCHEMAS[found].get("type") == "array"
            yield from model_fields(inner, f"{found}[]" if listed else found)


def test_every_field_of_the_models_is_there_and_no_other() -> None:
    wanted = {*model_fields(BatchJobSpec, "spec"), *model_fields(BatchJobStatus, "status")}
    assert {
        path
        for path in SCHEMAS
        if path.startswith(("spec.", "status.")) and not path.endswith(("[]", ".*"))
    } == wanted


def test_every_field_is_described() -> None:
    silent = [
        path
        for path, schema in SCHEMAS.items()
        if path != "metadata"  # Kubernetes describes that one, and lets nobody else
        and not path.endswith((".*", "[]"))
        and not schema.get("description", "").endswith((".", "…"))
    ]
    assert not silent


def test_the_schema_is_structural() -> None:
    for path, schema in SCHEMAS.items():
        assert ("type" in schema) + (EITHER in schema) + (ANY in schema) >= 1, path
        assert not schema.keys() & {"$ref", "$defs", "allOf", "oneOf", "not", "const", "title"}
        assert ("anyOf" in schema) == (EITHER in schema), path
        assert not ("properties" in schema and "additionalProperties" in schema), path
        assert set(schema.get("required", ())) <= schema.get("properties", {}).keys(), path


def test_no_default_is_stored_and_each_is_told() -> None:
    assert not [path for path, schema in SCHEMAS.items() if "default" in schema]
    told = {
        "spec.retry.maxElapsed": "Default: 10m.",
        "spec.checkpoint.maxInterval": "Default: 500ms.",
        "spec.suspend": "Default: false.",
        "spec.rerun": "Default: 0.",
        "spec.processor.http.method": "Default: POST.",
        "spec.price.inputPerMillion": "Default: 0.",
    }
    for path, text in told.items():
        assert SCHEMAS[path]["description"].endswith(text)
    twice = [
        path for path, one in SCHEMAS.items() if one.get("description", "").count("efault") > 1
    ]
    assert not twice


def test_free_form_values_stay_as_written() -> None:
    free = {path for path, schema in SCHEMAS.items() if ANY in schema}
    called = {
        *("http.body", "http.itemsBody", "python.kwargs"),
        *(f"openai.{name}" for name in ("messages[].content", "parameters", "responseFormat")),
        *(f"ollama.{name}" for name in ("messages[].content", "parameters", "responseFormat")),
    }
    assert free == {
        *("spec.source.inline.items[]", "spec.source.idField", "spec.template"),
        *(f"spec.processor.{name}" for name in called),
        *(f"spec.processor.stages[].processor.{name}" for name in called),
    }
    assert "maxItems" not in SCHEMAS["spec.source.inline.items"]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("spec.sharding.itemsPerShard",
         {EITHER: True, "minimum": 1, "maximum": 1_000_000, "pattern": "^(auto)$"}),
        ("spec.retry.requestTimeout",
         {EITHER: True, "minimum": 0, "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"}),
        ("spec.rateLimit.requestsPerMinute",
         {"type": "number", "minimum": 0, "exclusiveMinimum": True}),
        ("spec.scaling.maxParallelism",
         {"type": "integer", "format": "int32", "minimum": 1, "maximum": 10_000}),
        ("spec.existing", {"type": "string", "enum": ["skip", "skipByID", "force"]}),
        ("spec.processor.openai.model", {"type": "string", "minLength": 1}),
        ("spec.processor.http.headers", {"type": "object"}),
        ("status.startTime", {"type": "string", "format": "date-time"}),
        ("status.conditions",
         {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
        ("status.failures", {"maxItems": 10, "x-kubernetes-list-type": "atomic"}),
    ],
)  # fmt: skip
def test_types_and_bounds(path: str, wanted: Schema) -> None:
    assert SCHEMAS[path].items() >= wanted.items()


def test_a_bound_that_a_float_cannot_hold_is_left_to_the_type() -> None:
    tokens = SCHEMAS["spec.budget.maxTokens"]
    assert tokens["format"] == "int64"
    assert "maximum" not in tokens


@pytest.mark.parametrize(("path", "rule"), list(rules()))
def test_a_rule_names_fields_that_there_are(path: str, rule: Schema) -> None:
    at = f"{path}{rule.get('fieldPath', '')}".removeprefix(".")
    assert at in SCHEMAS
    assert rule["message"][0].islower(), "it stands after the path of the field"
    assert not rule["message"].endswith((".", "…"))
    for chain in re.findall(r"(?:self|oldSelf)((?:\.[a-zA-Z]+(?!\w*\())+)", rule["rule"]):
        assert f"{path}{chain}".removeprefix(".") in SCHEMAS


@pytest.mark.parametrize(("path", "rule"), list(rules()))
def test_texts_that_a_rule_reads_have_an_end(path: str, rule: Schema) -> None:
    for field in re.findall(r"self\.([a-zA-Z.]+?)\)?\.(?:matches|endsWith|lower)", rule["rule"]):
        assert "maxLength" in SCHEMAS[f"{path}.{field}".removeprefix(".")]


def test_a_stage_is_not_made_of_stages() -> None:
    inner = SCHEMAS["spec.processor.stages[].processor"]
    assert "stages" not in inner["properties"]
    assert "self.stages" not in json.dumps(inner["x-kubernetes-validations"])
    assert "self.stages" in json.dumps(SCHEMAS["spec.processor"]["x-kubernetes-validations"])


def test_columns_show_fields_that_there_are() -> None:
    columns = VERSION["additionalPrinterColumns"]
    assert [one["name"] for one in columns if "priority" not in one] == [
        *("PHASE", "PROGRESS", "SUCCEEDED", "SKIPPED", "FAILED", "RATE", "429", "ETA", "AGE")
    ]
    for one in columns:
        if one["name"] != "AGE":
            assert SCHEMAS[one["jsonPath"].removeprefix(".")]["type"] == one["type"]


def test_the_file_is_the_object_and_small_enough_to_apply() -> None:
    text = crd_yaml()
    assert yaml.safe_load(text) == definition()
    assert not re.search(r"[&*]id\d", text), "parts are tied together"
    # `kubectl apply` keeps a copy in an annotation, and annotations have room for 256 KiB.
    assert len(json.dumps(definition())) < 128 * 1024
