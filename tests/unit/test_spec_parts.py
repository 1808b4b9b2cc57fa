"""The smaller parts of spec/: durations, fingerprints, API keys, first manifests, the reference."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InputError
from penstock.spec.fingerprint import fingerprint, processor_digest
from penstock.spec.init import guess_id, manifest_for
from penstock.spec.job import BatchJob
from penstock.spec.json_schema import compile_schema, schema_of
from penstock.spec.load import parse
from penstock.spec.names import as_job_name, is_job_name
from penstock.spec.processor import Processor
from penstock.spec.reference import reference
from penstock.spec.secrets import api_key, variable_name
from penstock.spec.suggest import did_you_mean, nearest
from penstock.spec.types import format_duration, parse_duration
from penstock.spec.uses import uses

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("60s", 60), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("1.5h", 5400),
     (" 5s ", 5), (7, 7), (0.25, 0.25), ("0s", 0)],
)  # fmt: skip
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "5", "5 s", "s", "-5s", -5, True, None, [], "1w", "5sec", "٣s", "9" * 400 + "d",
     math.inf, math.nan, 10**400, "4000d"],
)  # fmt: skip
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(0, 10**11))
def test_a_duration_survives_being_written(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-4)


def test_durations_are_written_short() -> None:
    assert [format_duration(seconds) for seconds in (0, 0.5, 5400, 90061)] == [
        "0s", "500ms", "1h30m", "1d1h1m1s",
    ]  # fmt: skip


def openai(**fields: Any) -> Processor:
    given_fields = {"model": "m", "messages": [{"role": "user", "content": "{{ item.a }}"}]}
    return Processor.model_validate({"openai": {**given_fields, **fields}})


def http(**fields: Any) -> Processor:
    return Processor.model_validate({"http": {"url": "http://a.example/v1/items", **fields}})


SAME = [
    (openai(), openai(operation="chat")),
    (openai(), openai(baseURL="http://proxy:8000/v1")),
    (openai(), openai(apiKey={"secretKeyRef": {"name": "a", "key": "b"}})),
    (openai(parameters={"a": 1, "b": 2}), openai(parameters={"b": 2, "a": 1})),
    (http(), http(url="https://b.example:8443/v1/items")),
    (http(url="http://a.example"), http(url="http://b.example/")),
    (http(), http(headers={"Authorization": "Bearer x", "X-API-Key": "y", "Cookie": "z"})),
    (http(headers={"X-Mode": "a"}), http(headers={"x-mode": "a"})),
    (
        Processor.model_validate({"ollama": {"model": "m", "input": "x"}}),
        Processor.model_validate(
            {"ollama": {"model": "m", "input": "x", "keepAlive": "5m", "baseURL": "http://o"}}
        ),
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_does_not_change_the_answer_changes_no_digest(
    one: Processor, other: Processor
) -> None:
    assert processor_digest(one) == processor_digest(other)


DIFFERENT = [
    openai(),
    openai(model="n"),
    openai(operation="responses"),
    openai(input="x"),
    openai(messages=[{"role": "system", "content": "{{ item.a }}"}]),
    openai(messages=[{"role": "user", "content": "{{ item.b }}"}]),
    openai(responseFormat={"type": "object"}),
    openai(parameters={"temperature": 0}),
    http(),
    http(url="http://a.example/v2/items"),
    http(url="http://a.example/v1/items?x=1"),
    http(method="PUT"),
    http(headers={"X-Mode": "a"}),
    http(body={"a": "{{ item.a }}"}),
    http(itemsBody={"a": "{{ items }}"}),
    http(responsePath="a"),
    http(idPath="a"),
    Processor.model_validate({"ollama": {"model": "m", "input": "x"}}),
    Processor.model_validate({"stages": [{"name": "a", "processor": {"http": {"url": "u"}}}]}),
]


def test_whatever_changes_the_answer_changes_the_digest() -> None:
    digests = [processor_digest(processor) for processor in DIFFERENT]
    assert len(set(digests)) == len(DIFFERENT)
    assert {len(digest) for digest in digests} == {16}


def test_a_fingerprint_is_of_both_processor_and_content() -> None:
    one, two = processor_digest(openai()), processor_digest(http())
    prints = {fingerprint(digest, content) for digest in (one, two) for content in (b"a", b"b")}
    assert len(prints) == 4
    assert {len(value) for value in prints} == {16}


KEY = {"secretKeyRef": {"name": "openai-prod", "key": "api.key"}}
VARIABLE = "PENSTOCK_SECRET_OPENAI_PROD_API_KEY"


def test_the_key_of_the_secret_comes_before_the_default() -> None:
    assert variable_name("openai-prod", "api.key") == VARIABLE
    both = {VARIABLE: "mine", "OPENAI_API_KEY": "default"}
    assert api_key(openai(apiKey=KEY), both) == "mine"
    assert api_key(openai(apiKey=KEY), {**both, VARIABLE: " "}) == "default"
    assert api_key(openai(), both) == "default"


def test_a_server_that_needs_no_key_gets_none() -> None:
    assert api_key(openai(baseURL="http://localhost:8000/v1"), {}) is None
    assert api_key(http(), {"OPENAI_API_KEY": "x"}) is None
    ollama = Processor.model_validate({"ollama": {"model": "m", "input": "x"}})
    assert api_key(ollama, {"OPENAI_API_KEY": "x"}) is None


def test_the_key_of_openai_goes_to_no_other_kind_of_server() -> None:
    with pytest.raises(InputError, match=f"set the variable {VARIABLE}$"):
        api_key(http(apiKey=KEY), {"OPENAI_API_KEY": "x"})
    assert api_key(http(apiKey=KEY), {VARIABLE: "y"}) == "y"


def test_a_key_that_is_missing_names_the_variables() -> None:
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        api_key(openai(), {})
    with pytest.raises(InputError, match=f"{VARIABLE} or OPENAI_API_KEY"):
        api_key(openai(apiKey=KEY, baseURL="http://localhost/v1"), {})


def test_the_schema_in_a_response_format() -> None:
    schema = {"type": "object", "required": ["a"]}
    assert schema_of(schema) == schema
    assert (
        schema_of({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}) == schema
    )
    assert schema_of({"type": "json_schema", "name": "n", "schema": schema}) == schema
    assert schema_of({"type": "json_object"}) is None
    assert schema_of({"type": "json_schema", "json_schema": {}}) is None
    validator = compile_schema(schema, "spec.x")
    assert validator.is_valid({"a": 1})
    assert not validator.is_valid({})


def test_a_schema_never_fetches_anything() -> None:
    with pytest.raises(InputError, match="not to http://127"):
        compile_schema({"$ref": "http://127.0.0.1:9/schema"}, "spec.x")


def test_the_nearest_name() -> None:
    assert nearest("max_items", ["maxItems", "minItems"]) == "maxItems"
    assert nearest("modle", ["model", "mode"]) == "model"
    assert did_you_mean("zzz", ["model"]) == ""


def fields_used(job: BatchJob) -> set[str]:
    return {name for use in uses(job) for part in use.parts() for name in part.fields}


def test_a_first_manifest_is_valid_and_uses_the_columns() -> None:
    columns = ["Title", "Code tiers", "price", "photo"]
    sample = {"Title": "TV", "Code tiers": "00123", "price": 3.5, "photo": "http://h/p"}
    text = manifest_for(Path("data/Our Products.csv.gz"), columns, sample)
    job = parse(text, "our-products.yaml")
    assert job.name == "our-products"
    assert job.spec.source.file is not None
    assert job.spec.source.file.path == "data/Our Products.csv.gz"
    assert job.spec.source.id_field == "Code tiers"
    assert job.spec.output is not None
    assert job.spec.output.file is not None
    assert job.spec.output.file.path == "data/Our Products-results.csv"
    assert "Title: {{ item.Title }}" in text
    assert fields_used(job) == {"Title", "photo"}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["title", "id"], "id"),
        (["name", "SKU"], "SKU"),
        (["title", "product_id"], "product_id"),
        (["title", "productId"], "productId"),
        (["Code tiers", "Libellé"], "Code tiers"),
        (["title", "paid", "valid"], None),
        ([], None),
    ],
)
def test_the_column_that_identifies_an_item(columns: list[str], expected: str | None) -> None:
    assert guess_id(columns, dict.fromkeys(columns, "x")) == expected


def test_a_column_without_a_value_identifies_nothing() -> None:
    assert guess_id(["id", "sku"], {"id": None, "sku": "a"}) == "sku"


@given(
    st.text(min_size=1, max_size=20).filter(lambda name: not {"/", "\0"} & set(name)),
    st.sampled_from([".csv", ".xlsx", ".jsonl", ".json", ".parquet", ".jsonl.zst"]),
    st.dictionaries(st.text(), st.none() | st.text() | st.integers(), max_size=6),
)
def test_a_first_manifest_is_valid_for_any_columns(
    name: str, suffix: str, sample: dict[str, object]
) -> None:
    job = parse(manifest_for(Path(name + suffix), list(sample), sample), "job.yaml")
    assert fields_used(job) <= set(sample)
    assert job.spec.source.file is not None
    assert job.spec.source.file.path == Path(name + suffix).as_posix()


@given(st.text())
def test_any_text_gives_a_job_name_or_nothing(text: str) -> None:
    name = as_job_name(text)
    assert name == "" or is_job_name(name)


def test_the_reference_page_is_that_of_the_model() -> None:
    page = ROOT / "docs" / "reference" / "manifest.md"
    assert page.read_text() == reference(), "run: python -m penstock.spec.reference > that page"


def test_every_field_is_described() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert [row for row in rows if row.endswith("|  |")] == []
