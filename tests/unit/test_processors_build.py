"""What a manifest is built into, what a preview shows, and how answers over HTTP are read."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from penstock import jsons
from penstock.errors import InputError
from penstock.spec.job import BatchJob
from penstock.spec.template import TemplateError
from penstock.work import failures
from penstock.work.processors import build
from penstock.work.processors.answers import Answers
from penstock.work.processors.transport import Response, Transport
from penstock.work.types import Failure, FailureKind, Output, Processor, WorkItem

MESSAGES = [{"role": "user", "content": "Size of {{ item.title }}?"}]
ITEM = WorkItem(3, "tv-3", b"\x01", {"title": "A", "n": 5})


def job(processor: dict[str, Any], **spec: Any) -> BatchJob:
    return BatchJob.model_validate(
        {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": "products"},
            "spec": {"source": {"inline": {"items": [1]}}, "processor": processor, **spec},
        }
    )


def built(processor: dict[str, Any], key: str | None = None, **spec: Any) -> Processor:
    return build(job(processor, **spec), api_key=key)


# requests, as a preview shows them


def test_chat() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    openai = {
        "baseURL": "http://h/v1/?v=1",
        "model": "m",
        "messages": MESSAGES,
        "parameters": {"temperature": 0},
        "responseFormat": schema,
    }
    assert built({"openai": openai}, key="sk-secret").preview(ITEM) == {
        "method": "POST",
        "url": "http://h/v1/chat/completions?v=1",
        "headers": {"Content-Type": "application/json", "Authorization": "Bearer ***"},
        "body": {
            "model": "m",
            "temperature": 0,
            "messages": [{"role": "user", "content": "Size of A?"}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": schema, "strict": False},
            },
        },
    }


def test_responses() -> None:
    openai = {
        "operation": "responses",
        "baseURL": "http://h/v1",
        "model": "m",
        "input": "{{ item.title }}",
        "parameters": {"text": {"verbosity": "low"}},
        "responseFormat": {"type": "json_object"},
    }
    request = built({"openai": openai}).preview(ITEM)
    assert request["url"] == "http://h/v1/responses"
    assert "Authorization" not in request["headers"]
    assert request["body"] == {
        "model": "m",
        "input": [{"role": "user", "content": "A"}],
        "text": {"verbosity": "low", "format": {"type": "json_object"}},
    }


def test_embeddings_of_both() -> None:
    openai = {"operation": "embeddings", "model": "m", "input": "{{ item.title }}"}
    ollama = {"model": "m", "input": "{{ item.title }}", "keepAlive": "-1"}
    assert built({"openai": openai}).preview(ITEM)["body"] == {
        "model": "m",
        "encoding_format": "float",
        "input": ["A"],
    }
    request = built({"ollama": ollama}).preview(ITEM)
    assert request["url"] == "http://localhost:11434/api/embed"
    assert request["body"] == {"model": "m", "keep_alive": -1, "input": ["A"]}


def test_ollama_chat() -> None:
    ollama = {
        "model": "m",
        "messages": MESSAGES,
        "keepAlive": "10m",
        "parameters": {"think": False},
    }
    request = built({"ollama": ollama}).preview(ITEM)
    assert request["url"] == "http://localhost:11434/api/chat"
    assert request["body"] == {
        "model": "m",
        "think": False,
        "keep_alive": "10m",
        "stream": False,
        "messages": [{"role": "user", "content": "Size of A?"}],
    }
    formatted = {**ollama, "responseFormat": {"type": "json_object"}}
    assert built({"ollama": formatted}).preview(ITEM)["body"]["format"] == "json"


@pytest.mark.parametrize(
    ("http", "shown"),
    [
        ({}, {"body": {"title": "A", "n": 5}}),
        (
            {"body": {"t": "{{ item.title }}", "n": "{{ item.n }}", "k": 1}},
            {"body": {"t": "A", "n": 5, "k": 1}},
        ),
        (
            {"body": '{"t": {{ item.title | tojson }}, "id": "{{ id }}"}'},
            {"body": {"t": "A", "id": "tv-3"}},
        ),
        ({"itemsBody": {"all": "{{ items }}"}}, {"body": {"all": [{"title": "A", "n": 5}]}}),
        (
            {"method": "GET", "url": "http://h/{{ item.title }}?p={{ position }}"},
            {"url": "http://h/A?p=3"},
        ),
        (
            {"headers": {"X-Api-Key": "abc", "X-Name": "{{ item.title }}"}},
            {"headers": {"Content-Type": "application/json", "X-Api-Key": "***", "X-Name": "A"}},
        ),
        (
            {"headers": {"content-type": "text/plain"}, "body": "Hello {{ item.title }}"},
            {"body": "Hello A", "headers": {"content-type": "text/plain"}},
        ),
    ],
)
def test_http(http: dict[str, Any], shown: dict[str, Any]) -> None:
    request = built({"http": {"url": "http://h/x", **http}}).preview(ITEM)
    assert {name: request[name] for name in shown} == shown
    assert ("body" in request) is (http.get("method") != "GET")


def test_http_key_goes_where_no_other_authorization_is() -> None:
    http = {"url": "http://h"}
    assert built({"http": http}, key="k").preview(ITEM)["headers"]["Authorization"] == "***"
    own = {"url": "http://h", "headers": {"authorization": "Basic x"}}
    assert "Authorization" not in built({"http": own}, key="k").preview(ITEM)["headers"]


def test_several_items_are_sent_as_a_list_even_when_only_one_is_left() -> None:
    processor = built({"http": {"url": "http://h"}}, batching={"maxItemsPerRequest": 5})
    assert processor.preview(ITEM)["body"] == [{"title": "A", "n": 5}]


@pytest.mark.parametrize(
    ("http", "reason"),
    [
        ({"body": '{"t": {{ item.title }} }'}, "body is not JSON"),
        ({"body": "{{ item.nope }}"}, "there is no field 'nope'"),
        ({"url": "http://h/{{ item.nope }}", "method": "GET"}, "there is no field 'nope'"),
        ({"headers": {"X": "{{ item.lines }}"}}, "header with control characters"),
        ({"body": {"t": "{{ item.half }}"}}, "body is not JSON"),
    ],
)
def test_requests_that_cannot_be_built(http: dict[str, Any], reason: str) -> None:
    item = WorkItem(0, "a", b"", {"title": "A", "lines": "a\r\nX: y", "half": "\ud800"})
    with pytest.raises(TemplateError) as caught:
        built({"http": {"url": "http://h", **http}}).preview(item)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("processor", "where"),
    [
        (
            {"openai": {"model": "m", "messages": MESSAGES, "baseURL": "h/v1"}},
            "spec.processor.openai.baseURL",
        ),
        ({"openai": {"model": "m"}}, "spec.processor.openai"),
        (
            {"openai": {"model": "m", "messages": MESSAGES, "responseFormat": {"type": "x"}}},
            "spec.processor.openai.responseFormat",
        ),
        ({"ollama": {"model": "m"}}, "spec.processor.ollama"),
        ({"http": {"url": "http://h", "responsePath": "a["}}, "spec.processor.http.responsePath"),
        (
            {"http": {"url": "http://h", "itemsBody": "[]", "headers": {"X": "{{ id }}"}}},
            "spec.processor.http.headers.X",
        ),
        ({"http": {"url": "http://h/{{ item.a }}", "itemsBody": "[]"}}, "spec.processor.http.url"),
    ],
)
def test_manifests_that_make_no_sense(processor: dict[str, Any], where: str) -> None:
    with pytest.raises(InputError) as caught:
        built(processor)
    assert caught.value.mistakes[0].where.startswith(where)


def test_what_a_call_takes_from_the_limits() -> None:
    openai = {"model": "m", "messages": MESSAGES, "parameters": {"max_tokens": 100}}
    chat = built({"openai": openai}, batching={"maxItemsPerRequest": 9})
    lacking = WorkItem(0, "b", b"", {})
    one = chat.cost([ITEM]).tokens
    assert 105 < one < 125
    assert one < chat.cost([ITEM, ITEM]).tokens < 2 * one
    assert chat.cost([ITEM, lacking]).tokens == one
    assert chat.cost([lacking]).requests == 1
    embed = built({"ollama": {"model": "m", "input": "{{ item.title }}"}})
    assert embed.cost([ITEM, ITEM, lacking]).tokens == 2
    http = built({"http": {"url": "http://h", "body": {"t": "{{ item.title }}"}}})
    assert http.cost([ITEM]).tokens > 0
    assert http.cost([lacking]).tokens == 0


def test_no_client_is_loaded_before_a_processor_is_built() -> None:
    code = (
        "import sys, penstock.work.processors, penstock.work.retry, penstock.work.failures\n"
        "assert not {'aiohttp', 'jmespath', 'jsonschema_rs'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# answers


def response(body: bytes, kind: str = "application/json", status: int = 200) -> Response:
    return Response(status, {"content-type": kind}, body)


@pytest.mark.parametrize(
    ("body", "kind", "path", "wanted"),
    [
        (b'{"a":{"b":[1]}}', "application/json", None, {"a": {"b": [1]}}),
        (b'{"a":{"b":[1]}}', "application/json", "a.b[0]", 1),
        (b'{"a":0}', "application/json", "a", 0),
        (b"null", "application/json", None, None),
        (b"", "application/json", None, None),
        (b" \n", "text/plain", None, None),
        (b"00123", "text/plain", None, "00123"),
        (b'{"a":1}', "text/plain", None, {"a": 1}),
        (b"{curly", "text/plain", None, "{curly"),
        ("Größe".encode("latin-1"), "text/plain; charset=ISO-8859-1", None, "Größe"),
        ("Größe".encode(), "text/plain; charset=bogus", None, "Größe"),
        (b"5", "text/plain", "@", 5),
    ],
)
def test_answer_of_one(body: bytes, kind: str, path: str | None, wanted: Any) -> None:
    assert Answers(path, None, "w").of_one(response(body, kind)) == Output(wanted)


@pytest.mark.parametrize(
    ("body", "path", "reason"),
    [
        (b"<html>", None, failures.NOT_JSON),
        (b'{"a":', None, failures.NOT_JSON),
        (b"[" * 100_000, None, failures.NOT_JSON),
        (b'{"a":null}', "a", "no a in the answer"),
        (b'{"b":1}', "a", "no a in the answer"),
        (b"", "a", failures.NOT_JSON),
        (b'{"a":1}', "sum(a)", failures.UNEXPECTED),
    ],
)
def test_useless_answer_of_one(body: bytes, path: str | None, reason: str) -> None:
    found = Answers(path, None, "w").of_one(response(body))
    assert isinstance(found, Failure)
    assert (found.kind, found.reason) == (FailureKind.INVALID, reason)


def test_answers_of_several_in_order() -> None:
    assert Answers(None, None, "w").of_several(response(b"[1,null]"), ["a", "b"]) == [
        Output(1),
        Output(None),
    ]
    assert Answers("r", None, "w").of_several(response(b'{"r":[[2]]}'), ["a"]) == [Output([2])]
    assert Answers(None, None, "w").of_several(response(b""), ["a", "b"]) == [Output(None)] * 2


@pytest.mark.parametrize(("body", "path"), [(b"[1]", None), (b'{"r":[]}', None), (b'{"r":5}', "r")])
def test_useless_answers_of_several(body: bytes, path: str | None) -> None:
    found = Answers(path, None, "w").of_several(response(body), ["a", "b"])
    assert isinstance(found, Failure)
    assert found.reason == failures.UNEXPECTED


def test_answers_of_several_by_id() -> None:
    elements = [
        {"k": {"id": 2}},
        {"k": {"id": "a"}},
        {"k": {"id": 3.0}},
        {"k": 1},
        5,
        {"k": {"id": 2}, "x": 1},
    ]
    answers = Answers("r", "k.id", "w")
    found = answers.of_several(
        response(jsons.dumps({"r": elements}).encode()), ["a", "b", "2", "3"]
    )
    assert found == [
        Output(elements[1]),
        failures.invalid(failures.MISSING),
        Output(elements[0]),
        Output(elements[2]),
    ]


# proxies


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://example.org/x", "http://proxy:3128"),
        ("https://example.org/x", "http://proxy:3129"),
        ("http://localhost:11434/", None),
        ("http://127.0.0.1:8000/", None),
        ("http://inside.corp/", None),
    ],
)
def test_proxies_of_the_environment(
    url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from yarl import URL

    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3129")
    monkeypatch.setenv("NO_PROXY", "inside.corp")
    found = Transport(timeout=1, connections=1)._proxy(URL(url))
    assert found == (URL(proxy) if proxy else None)
