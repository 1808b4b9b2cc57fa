"""Processors against servers: the simulated provider, and one that answers whatever it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from penstock.simulate.options import SimulatorConfig
from penstock.simulate.server import running
from penstock.spec.job import BatchJob
from penstock.work import failures
from penstock.work.processors import build
from penstock.work.types import (
    CallResult,
    Failure,
    FailureKind,
    Output,
    Processor,
    Usage,
    WorkItem,
)

SCHEMA = {
    "type": "object",
    "properties": {"size": {"type": "integer"}},
    "required": ["size"],
    "additionalProperties": False,
}
MESSAGES = [
    {"role": "system", "content": "Find the size."},
    {"role": "user", "content": "{{ item.title }}"},
]
K = FailureKind


def items(*titles: Any) -> list[WorkItem]:
    return [WorkItem(n, f"id-{n}", bytes(16), {"title": t}) for n, t in enumerate(titles)]


@asynccontextmanager
async def processor(
    kind: str, address: str, fields: dict[str, Any], *, key: str | None = None, several: int = 1
) -> AsyncIterator[Processor]:
    base = {
        "openai": {"baseURL": f"{address}/v1", "model": "m"},
        "ollama": {"baseURL": address, "model": "m"},
        "http": {"url": f"{address}/items"},
    }
    job = {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "products"},
        "spec": {
            "source": {"inline": {"items": [1]}},
            "processor": {kind: {**base[kind], **fields}},
            "batching": {"maxItemsPerRequest": several},
            "retry": {"requestTimeout": "5s"},
        },
    }
    made = build(BatchJob.model_validate(job), api_key=key)
    try:
        yield made
    finally:
        await made.aclose()


class Told:
    """A server that answers as told, and remembers what it was sent."""

    def __init__(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.body, self.status, self.headers = body, status, headers or {}
        self.requests: list[web.BaseRequest] = []
        self.bodies: list[Any] = []

    async def handle(self, request: web.BaseRequest) -> web.Response:
        raw = await request.read()
        self.requests.append(request)
        self.bodies.append(json.loads(raw) if raw else None)
        answer = self.body(self.bodies[-1]) if callable(self.body) else self.body
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        headers = {"Content-Type": "application/json", **self.headers}
        return web.Response(body=content, status=self.status, headers=headers)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        runner = web.ServerRunner(web.Server(self.handle))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def ask(
        self,
        kind: str,
        fields: dict[str, Any],
        asked: list[WorkItem],
        *,
        key: str | None = None,
        several: int = 1,
    ) -> CallResult:
        """One call of a processor of this kind for these items."""
        async with (
            self.listening() as address,
            processor(kind, address, fields, key=key, several=several) as one,
        ):
            return await one.call(asked)


def chat(content: Any, finish: str = "stop", **message: Any) -> dict[str, Any]:
    return {
        "choices": [{"message": {"content": content, **message}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7},
    }


def the_failure(result: CallResult) -> Failure:
    assert result.failure is not None
    assert all(one is result.failure for one in result.results)
    return result.failure


# chat


async def test_chat_request_and_answer() -> None:
    told = Told(chat('{"size": 55}'), headers={"X-RateLimit-Limit-Requests": "60"})
    fields = {"messages": MESSAGES, "responseFormat": SCHEMA, "parameters": {"seed": 1}}
    result = await told.ask("openai", fields, items("Größe 55"), key="sk-test-key")
    assert result.results == [Output({"size": 55})]
    assert result.usage == Usage(11, 7)
    assert result.headers["x-ratelimit-limit-requests"] == "60"
    assert (result.failure, result.sent) == (None, True)
    [request], [body] = told.requests, told.bodies
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == "Bearer sk-test-key"
    assert request.headers["Idempotency-Key"] == f"products/id-0/{'00' * 16}"
    assert body["messages"][1] == {"role": "user", "content": "Größe 55"}
    assert body["response_format"]["json_schema"]["strict"] is True
    assert body["seed"] == 1


@pytest.mark.parametrize(
    ("body", "formatted", "wanted"),
    [
        (chat("any words"), False, "any words"),
        (chat("cut of", "length"), False, "cut of"),
        (
            chat([{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]),
            False,
            "in parts",
        ),
        (chat('```json\n{"size": 1}\n```'), True, {"size": 1}),
    ],
)
async def test_good_answers(body: Any, formatted: bool, wanted: Any) -> None:
    fields = {"messages": MESSAGES, **({"responseFormat": SCHEMA} if formatted else {})}
    result = await Told(body).ask("openai", fields, items("A"))
    assert result.results == [Output(wanted)]


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (b"<html>Bad gateway", K.INVALID, failures.NOT_JSON),
        ([], K.INVALID, failures.UNEXPECTED),
        ({}, K.INVALID, failures.UNEXPECTED),
        ({"choices": []}, K.INVALID, failures.UNEXPECTED),
        ({"choices": [{"message": None}]}, K.INVALID, failures.UNEXPECTED),
        (chat(None), K.INVALID, failures.UNEXPECTED),
        (chat("no JSON"), K.INVALID, failures.NOT_JSON),
        (chat('{"size": "large"}'), K.INVALID, failures.MISMATCH),
        (chat('{"size": 5', "length"), K.REJECTED, failures.CUT_OFF),
        (chat(None, "length"), K.REJECTED, failures.CUT_OFF),
        (chat(None, "content_filter"), K.REJECTED, failures.FILTERED),
        (chat(None, refusal="I can't help with that"), K.REJECTED, failures.REFUSED),
        ({"error": {"code": 502, "message": "upstream"}}, K.ERROR, "HTTP 502"),
        ({"error": "out of memory"}, K.ERROR, "HTTP 500"),
    ],
)
async def test_answers_that_will_not_do(body: Any, kind: FailureKind, reason: str) -> None:
    fields = {"messages": MESSAGES, "responseFormat": SCHEMA}
    result = await Told(body).ask("openai", fields, items("A"))
    failure = the_failure(result)
    assert (failure.kind, failure.reason) == (kind, reason)
    assert result.sent
    if isinstance(body, dict) and "usage" in body:
        assert result.usage == Usage(11, 7)  # it was paid for all the same


async def test_error_statuses_come_with_headers_and_without_the_key() -> None:
    error = {"error": {"message": "slow down, sk-test-key", "code": "rate_limit_exceeded"}}
    told = Told(error, 429, {"Retry-After": "3"})
    result = await told.ask("openai", {"messages": MESSAGES}, items("A"), key="sk-test-key")
    failure = the_failure(result)
    assert (failure.kind, failure.retry_after) == (K.THROTTLED, 3.0)
    assert result.headers["retry-after"] == "3"
    assert "sk-test" not in failure.message


# responses


def response(*content: dict[str, Any], **more: Any) -> dict[str, Any]:
    message = {"type": "message", "content": list(content)}
    usage = {"input_tokens": 5, "output_tokens": 6}
    return {"output": [{"type": "reasoning"}, message], "usage": usage, **more}


async def test_responses() -> None:
    told = Told(response({"type": "output_text", "text": '{"size": 9}'}, status="completed"))
    fields = {"operation": "responses", "input": "{{ item.title }}", "responseFormat": SCHEMA}
    result = await told.ask("openai", fields, items("A"))
    assert (result.results, result.usage) == ([Output({"size": 9})], Usage(5, 6))
    assert told.requests[0].path == "/v1/responses"
    assert told.bodies[0]["text"]["format"]["schema"] == SCHEMA
    assert told.bodies[0]["text"]["format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (response({"type": "refusal", "refusal": "no"}), K.REJECTED, failures.REFUSED),
        (
            response(incomplete_details={"reason": "max_output_tokens"}),
            K.REJECTED,
            failures.CUT_OFF,
        ),
        (response(incomplete_details={"reason": "content_filter"}), K.REJECTED, failures.FILTERED),
        (response(), K.INVALID, failures.UNEXPECTED),
        ({"output": None}, K.INVALID, failures.UNEXPECTED),
        (
            {"status": "failed", "error": {"code": "server_error", "message": "x"}},
            K.ERROR,
            "HTTP 500 server_error",
        ),
    ],
)
async def test_responses_that_will_not_do(body: Any, kind: FailureKind, reason: str) -> None:
    fields = {"operation": "responses", "input": "{{ item.title }}"}
    failure = the_failure(await Told(body).ask("openai", fields, items("A")))
    assert (failure.kind, failure.reason) == (kind, reason)


# several items a call


async def test_one_call_for_several_items_mapped_back_by_id() -> None:
    answers = [
        {"id": "id-2", "output": {"size": 2}},
        {"id": "id-0", "output": {"size": "x"}},
        {"id": "unknown", "output": {"size": 5}},
    ]
    told = Told(chat(json.dumps({"results": answers})))
    fields = {"messages": MESSAGES, "responseFormat": SCHEMA}
    asked = items("A", "B", "C")
    asked[1].item = {}  # cannot be rendered
    asked.append(WorkItem(3, "id-3", bytes(16), {"title": "D"}))
    result = await told.ask("openai", fields, asked, several=10)
    assert result.failure is None
    said = [one.value if isinstance(one, Output) else one.reason for one in result.results]
    assert said[0] == failures.MISMATCH
    assert str(said[1]).startswith("template: ")
    assert said[2:] == [{"size": 2}, failures.MISSING]
    [body] = told.bodies
    assert body["messages"][0]["content"] == "Find the size."
    listed = body["messages"][1]["content"]
    assert all(f'Item "{one}"' in listed for one in ("id-0", "id-2", "id-3"))
    enum = body["response_format"]["json_schema"]["schema"]["properties"]["results"]["items"]
    assert enum["properties"]["id"]["enum"] == ["id-0", "id-2", "id-3"]


@pytest.mark.parametrize(
    ("body", "status", "kind", "reason"),
    [
        (chat("not JSON"), 200, K.INVALID, failures.NOT_JSON),
        (chat('{"results": 5}'), 200, K.INVALID, failures.UNEXPECTED),
        (chat('{"results": [', "length"), 200, K.REJECTED, failures.CUT_OFF),
        (chat(None, refusal="no"), 200, K.REJECTED, failures.REFUSED),
        (
            {"error": {"type": "invalid_request_error"}},
            400,
            K.REJECTED,
            "HTTP 400 invalid_request_error",
        ),
    ],
)
async def test_a_call_of_several_fails_as_a_whole(
    body: Any, status: int, kind: FailureKind, reason: str
) -> None:
    asked = [*items("A", "B"), WorkItem(9, "x", bytes(16), {})]
    result = await Told(body, status).ask("openai", {"messages": MESSAGES}, asked, several=3)
    failure = the_failure(result)
    assert len(result.results) == 3
    assert (failure.kind, failure.reason) == (kind, reason)


async def test_a_single_item_is_asked_for_as_always() -> None:
    told = Told(chat("words"))
    result = await told.ask("openai", {"messages": MESSAGES}, items("A"), several=10)
    assert result.results == [Output("words")]
    assert told.bodies[0]["messages"][1]["content"] == "A"
    assert "response_format" not in told.bodies[0]


async def test_nothing_goes_out_when_no_item_can_be_rendered() -> None:
    told = Told(chat("x"))
    asked = [WorkItem(n, str(n), b"", {}) for n in range(2)]
    for kind, fields in (
        ("openai", {"messages": MESSAGES}),
        ("ollama", {"input": "{{ item.title }}"}),
        ("http", {"itemsBody": {"all": "{{ items[0].title }}"}}),
    ):
        result = await told.ask(kind, fields, asked, several=5)
        assert not result.sent
        assert [one.kind for one in result.results if isinstance(one, Failure)] == [K.TEMPLATE] * 2
    assert not told.requests


async def test_what_json_cannot_carry_never_goes_out() -> None:
    told = Told(chat("x"))
    result = await told.ask("openai", {"messages": MESSAGES}, items("\ud800", "B"), several=2)
    assert the_failure(result).kind is K.TEMPLATE
    assert not result.sent
    assert not told.requests


# embeddings


async def test_embeddings_are_mapped_by_index() -> None:
    vectors = [{"index": 2, "embedding": [2.0]}, {"index": 0, "embedding": [0.0]}, {"index": 9}]
    told = Told({"data": vectors, "usage": {"prompt_tokens": 3}})
    fields = {"operation": "embeddings", "input": "{{ item.title }}"}
    asked = items("A", "B", "C")
    result = await told.ask("openai", fields, asked, several=8)
    assert result.results[::2] == [Output([0.0]), Output([2.0])]
    assert result.results[1] == failures.invalid(failures.MISSING)
    assert result.usage == Usage(3, 0)
    assert told.bodies[0] == {"model": "m", "encoding_format": "float", "input": ["A", "B", "C"]}


@pytest.mark.parametrize("body", [{}, {"data": 5}, {"data": [{"index": 0, "embedding": "AAAA"}]}])
async def test_embeddings_that_are_none(body: Any) -> None:
    fields = {"operation": "embeddings", "input": "{{ item.title }}"}
    result = await Told(body).ask("openai", fields, items("A"))
    [failure] = result.results
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.reason) == (K.INVALID, failures.UNEXPECTED)


async def test_ollama_embeds_in_order() -> None:
    told = Told({"embeddings": [[1.0], [2.0]], "prompt_eval_count": 4})
    asked = [*items("A", "B"), WorkItem(5, "x", b"", {})]
    result = await told.ask("ollama", {"input": "{{ item.title }}"}, asked, several=8)
    assert result.results[:2] == [Output([1.0]), Output([2.0])]
    assert isinstance(result.results[2], Failure)
    assert result.usage == Usage(4, 0)
    assert (told.requests[0].path, told.bodies[0]["input"]) == ("/api/embed", ["A", "B"])


@pytest.mark.parametrize("body", [{}, {"embeddings": [[1.0]]}])
async def test_ollama_embeddings_that_do_not_fit(body: Any) -> None:
    result = await Told(body).ask("ollama", {"input": "{{ id }}"}, items("A", "B"), several=2)
    assert the_failure(result).reason == failures.UNEXPECTED


async def test_ollama_chat() -> None:
    said = {"message": {"content": '{"size": 4}'}, "prompt_eval_count": 8, "eval_count": 2}
    told = Told(said)
    fields = {
        "messages": MESSAGES,
        "responseFormat": SCHEMA,
        "parameters": {"options": {"num_predict": 50}},
    }
    result = await told.ask("ollama", fields, items("A"))
    assert (result.results, result.usage) == ([Output({"size": 4})], Usage(8, 2))
    assert (told.bodies[0]["format"], told.bodies[0]["stream"]) == (SCHEMA, False)
    cut = Told({**said, "done_reason": "length"})
    assert the_failure(await cut.ask("ollama", fields, items("A"))).reason == failures.CUT_OFF
    assert the_failure(await Told({}).ask("ollama", fields, items("A"))).kind is K.INVALID


async def test_ollama_without_the_model() -> None:
    told = Told({"error": "model 'm' not found"}, 404)
    failure = the_failure(await told.ask("ollama", {"input": "{{ id }}"}, items("A")))
    assert (failure.kind, failure.message) == (K.ACCESS, "model 'm' not found")


# http


async def test_http_one_item() -> None:
    told = Told({"data": {"name": "Österreich"}})
    fields = {
        "url": "",
        "method": "PUT",
        "headers": {"X-Tenant": "{{ item.title }}"},
        "body": {"q": "{{ item.title }}"},
        "responsePath": "data.name",
    }
    async with told.listening() as address:
        fields["url"] = address + "/lookup/{{ id }}?t={{ item.title | urlencode }}"
        async with processor("http", address, fields, key="k-123456") as one:
            result = await one.call(items("Ä b"))
    assert result.results == [Output("Österreich")]
    [request] = told.requests
    assert (request.method, request.raw_path) == ("PUT", "/lookup/id-0?t=%C3%84%20b")
    assert request.headers["X-Tenant"] == "Ä b"
    assert request.headers["Authorization"] == "Bearer k-123456"
    assert request.headers["Idempotency-Key"].startswith("products/id-0/")
    assert told.bodies == [{"q": "Ä b"}]


async def test_http_get_has_no_body_and_204_is_null() -> None:
    told = Told(b"", 204)
    result = await told.ask("http", {"method": "GET"}, items("A"))
    assert result.results == [Output(None)]
    assert told.bodies == [None]


async def test_http_several_by_id_without_the_one_that_cannot_be_built() -> None:
    told = Told(lambda sent: {"r": [{"i": one, "v": one * 2} for one in sent["all"] if one != 30]})
    fields = {
        "itemsBody": {"all": "{{ items | map(attribute='title.n') | list }}"},
        "responsePath": "r",
        "idPath": "i",
    }
    asked = [WorkItem(n, str(n), bytes(16), {"title": {"n": n}}) for n in (10, 20, 30)]
    asked.append(WorkItem(4, "x", bytes(16), {}))
    result = await told.ask("http", fields, asked, several=10)
    assert result.results[:2] == [Output({"i": 10, "v": 20}), Output({"i": 20, "v": 40})]
    assert result.results[2] == failures.invalid(failures.MISSING)
    assert isinstance(result.results[3], Failure)
    assert result.results[3].kind is K.TEMPLATE
    assert told.bodies == [{"all": [10, 20, 30]}]


async def test_http_several_in_order() -> None:
    told = Told(lambda sent: [one["title"].lower() for one in sent])
    result = await told.ask("http", {}, items("A", "B"), several=2)
    assert result.results == [Output("a"), Output("b")]
    fewer = await Told([1]).ask("http", {}, items("A", "B"), several=2)
    assert the_failure(fewer).reason == failures.UNEXPECTED


@pytest.mark.parametrize(
    ("status", "kind"), [(404, K.REJECTED), (401, K.ACCESS), (500, K.ERROR), (503, K.OVERLOADED)]
)
async def test_http_statuses(status: int, kind: FailureKind) -> None:
    secret = {"headers": {"X-Api-Key": "hush-hush"}}
    failure = the_failure(await Told(b"no: hush-hush", status).ask("http", secret, items("A")))
    assert (failure.kind, failure.reason) == (kind, f"HTTP {status}")
    assert failure.message == "no: ***"


# the simulated provider


async def test_every_kind_of_call_works_on_the_simulated_provider() -> None:
    calls: list[tuple[str, dict[str, Any], int]] = [
        ("openai", {"messages": MESSAGES, "responseFormat": SCHEMA}, 1),
        ("openai", {"messages": MESSAGES, "responseFormat": SCHEMA}, 5),
        ("openai", {"messages": MESSAGES}, 5),
        ("openai", {"operation": "responses", "input": "{{ item.title }}"}, 1),
        (
            "openai",
            {"operation": "responses", "input": "{{ item.title }}", "responseFormat": SCHEMA},
            5,
        ),
        ("openai", {"operation": "embeddings", "input": "{{ item.title }}"}, 5),
        ("ollama", {"input": "{{ item.title }}"}, 5),
        ("ollama", {"messages": MESSAGES, "responseFormat": SCHEMA}, 5),
        ("ollama", {"messages": MESSAGES}, 1),
        ("http", {"responsePath": "echo.title"}, 1),
        ("http", {"responsePath": "results"}, 5),
    ]
    async with running() as address:
        for kind, fields, several in calls:
            async with processor(kind, address, fields, several=several) as one:
                result = await one.call(items(*"ABCDE"[:several]))
            assert result.failure is None, (kind, fields, result.failure)
            assert all(isinstance(one, Output) for one in result.results), (kind, fields)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (SimulatorConfig(key="other"), K.ACCESS),
        (SimulatorConfig(models=("n",)), K.ACCESS),
        (SimulatorConfig(quota=0), K.QUOTA),
        (SimulatorConfig(poison="A"), K.REJECTED),
        (SimulatorConfig(error_share=1), K.ERROR),
        (SimulatorConfig(overloaded_share=1), K.OVERLOADED),
        (SimulatorConfig(drop_share=1), K.ERROR),
        (SimulatorConfig(garbage_share=1), K.INVALID),
    ],
)
async def test_every_fault_of_the_simulated_provider_is_known(
    config: SimulatorConfig, kind: FailureKind
) -> None:
    async with running(config) as address:
        fields = {"messages": MESSAGES}
        async with processor("openai", address, fields, key="mine") as one:
            result = await one.call(items("A"))
    assert the_failure(result).kind is kind


async def test_items_left_out_fail_alone() -> None:
    async with (
        running(SimulatorConfig(drop_item_share=0.5)) as address,
        processor("openai", address, {"messages": MESSAGES}, several=20) as one,
    ):
        result = await one.call(items(*"ABCDEFGHIJ"))
    assert result.failure is None
    missing = [one for one in result.results if isinstance(one, Failure)]
    assert 0 < len(missing) < 10
    assert {one.reason for one in missing} == {failures.MISSING}


async def test_no_more_connections_than_calls_in_flight() -> None:
    async with running() as address, processor("openai", address, {"messages": MESSAGES}) as one:
        for _ in range(5):
            await asyncio.gather(*(one.call([item]) for item in items(*"ABCD")))
        async with processor("http", address, {"url": address + "/stats", "method": "GET"}) as ask:
            [stats] = (await ask.call(items("x"))).results
    assert isinstance(stats, Output)
    assert stats.value["connections_opened"] == 4
