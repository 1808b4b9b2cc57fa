"""Shapes of the answers, and what is refused as no request at all."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import jsons
from penstock.simulate.answers import ENDPOINTS, Context, chat, echo, embeddings, responses
from penstock.simulate.refusals import Refusal

ASK = [{"role": "user", "content": "Fill the metafields of OLED 55"}]
SCHEMA = {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}


def test_chat_answers_the_prompt_and_counts_tokens() -> None:
    answer = chat({"model": "m", "messages": ASK}, Context())
    message = answer.value["choices"][0]["message"]
    assert message["role"] == "assistant"
    assert message["content"]
    assert answer.value["usage"] == {
        "prompt_tokens": 8,  # 30 characters
        "completion_tokens": math.ceil(len(message["content"]) / 4),
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
    }


def test_the_same_prompt_gets_the_same_answer_and_another_one_another() -> None:
    def text(words: str) -> str:
        body = {"model": "m", "messages": [{"role": "user", "content": words}]}
        return str(chat(body, Context()).value["choices"][0]["message"]["content"])

    assert text("one") == text("one")
    assert len({text(str(number)) for number in range(50)}) == 50


def test_text_parts_count_as_text() -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "x" * 40}]}]
    assert chat({"model": "m", "messages": parts}, Context()).prompt_tokens == 10


@pytest.mark.parametrize("path", sorted(ENDPOINTS))
def test_structured_answers_are_json_of_that_shape(path: str) -> None:
    if "embed" in path:
        return
    body: dict[str, Any] = {
        "model": "m",
        "messages": ASK,
        "input": "Fill",
        "prompt": "Fill",
        "format": SCHEMA,
        "stream": False,
        "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    }
    value = ENDPOINTS[path](body, Context()).value
    text = {
        "/v1/chat/completions": lambda: value["choices"][0]["message"]["content"],
        "/v1/responses": lambda: value["output"][0]["content"][0]["text"],
        "/api/chat": lambda: value["message"]["content"],
        "/api/generate": lambda: value["response"],
    }[path]()
    assert isinstance(jsons.loads(text)["size"], int)


def test_json_without_a_schema_is_an_object() -> None:
    body = {"model": "m", "messages": ASK, "response_format": {"type": "json_object"}}
    text = chat(body, Context()).value["choices"][0]["message"]["content"]
    assert isinstance(jsons.loads(text), dict)


@given(st.text(max_size=50), st.integers(1, 300))
def test_embeddings_have_length_one_and_depend_on_the_text(text: str, dimensions: int) -> None:
    body = {"model": "m", "input": [text, text + "!"], "dimensions": dimensions}
    first, second = (one["embedding"] for one in embeddings(body, Context()).value["data"])
    assert len(first) == dimensions
    assert math.hypot(*first) == pytest.approx(1, abs=1e-4)
    if dimensions > 2:
        assert first != second


def test_base64_embeddings_are_the_same_numbers() -> None:
    body = {"model": "m", "input": "text"}
    plain = embeddings(body, Context(dimensions=8)).value["data"][0]["embedding"]
    packed = embeddings({**body, "encoding_format": "base64"}, Context(dimensions=8))
    raw = base64.b64decode(packed.value["data"][0]["embedding"])
    assert list(struct.unpack("<8f", raw)) == pytest.approx(plain)


@pytest.mark.parametrize(
    ("given", "count"), [("text", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1], [2], [3]], 3)]
)
def test_every_form_of_input_is_taken(given: Any, count: int) -> None:
    data = embeddings({"model": "m", "input": given}, Context()).value["data"]
    assert [one["index"] for one in data] == list(range(count))


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/v1/chat/completions", {"messages": []}),
        ("/v1/chat/completions", {"messages": ["hello"]}),
        ("/v1/chat/completions", {"messages": ASK, "stream": True}),
        ("/v1/chat/completions", {"messages": ASK, "response_format": {"type": "json_schema"}}),
        ("/v1/chat/completions", {"messages": ASK, "response_format": "json"}),
        ("/v1/responses", {}),
        ("/v1/responses", {"input": 3}),
        ("/v1/responses", {"input": "x", "text": {"format": {"type": "yaml"}}}),
        ("/v1/embeddings", {"input": []}),
        ("/v1/embeddings", {"input": {"a": 1}}),
        ("/v1/embeddings", {"input": "x", "dimensions": 0}),
        ("/v1/embeddings", {"input": "x", "encoding_format": "hex"}),
        ("/api/embed", {}),
        ("/api/chat", {"messages": ASK, "format": 7}),
        ("/api/generate", {"prompt": None}),
    ],
)
def test_what_makes_no_sense_is_refused(path: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        ENDPOINTS[path]({"model": "m", **wrong}, Context())
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": ["size"]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"enum": []},
        {"type": "string", "minLength": "long"},
        {"type": "string", "minLength": 10**9},
        {"type": "array", "minItems": 10**9},
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused(schema: Any) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with pytest.raises(Refusal, match="schema"):
        chat({"model": "m", "messages": ASK, "response_format": wanted}, Context())


def test_responses_take_instructions_and_messages() -> None:
    body = {"model": "m", "instructions": "Be brief.", "input": [{"role": "user", "content": "Hi"}]}
    answer = responses(body, Context())
    assert answer.value["usage"]["input_tokens"] == 3
    assert answer.value["status"] == "completed"


def test_plain_json_comes_back_item_by_item() -> None:
    assert echo({"a": 1}, Context()).value == {"ok": True, "echo": {"a": 1}, "n": 1}
    assert echo(None, Context()).value == {"ok": True, "echo": None, "n": 1}
    results = [{"id": "x", "value": {"id": "x"}}, {"id": 1, "value": 7}]
    expected = {"ok": True, "results": results, "n": 2}
    assert echo([{"id": "x"}, 7], Context()).value == expected
    assert echo({"items": [{"id": "x"}, 7]}, Context()).value == expected
    assert echo([1, 2], Context(keep=lambda: False)).value["results"] == []
    assert echo([1], Context(keep=lambda: False)).value["n"] == 1
