"""The simulated provider over real HTTP: endpoints, limits, faults and what /stats says of them."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import openai
import pytest

from penstock import jsons
from penstock.simulate.options import SimulatorConfig
from penstock.simulate.server import running

CHAT = "/v1/chat/completions"


class Client:
    """A plain client of one simulator."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self.session = session
        self.base = base

    async def post(
        self, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON body and lower-case headers."""
        async with self.session.post(self.base + path, json=body, headers=headers) as response:
            seen = {name.lower(): value for name, value in response.headers.items()}
            return response.status, await response.json(), seen

    async def get(self, path: str) -> Any:
        async with self.session.get(self.base + path) as response:
            assert response.status == 200
            return await response.json()

    async def stats(self) -> dict[str, Any]:
        report: dict[str, Any] = await self.get("/stats")
        return report


@asynccontextmanager
async def simulated(config: SimulatorConfig | None = None) -> AsyncIterator[Client]:
    async with running(config) as base, aiohttp.ClientSession() as session:
        yield Client(session, base)


def ask(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def nonzero(faults: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in faults.items() if count}


async def test_the_openai_client_understands_every_endpoint() -> None:
    schema: dict[str, object] = {
        "type": "object",
        "required": ["inches"],
        "properties": {"inches": {"const": 55}},
    }
    async with running() as base, openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="k") as client:
        chat = await client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "How large?"}],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "tv", "schema": schema},
            },
        )
        assert chat.choices[0].message.content == '{"inches":55}'
        assert chat.usage is not None
        assert chat.usage.total_tokens > 3
        response = await client.responses.create(model="m", input="How large?")
        assert response.output_text
        vectors = await client.embeddings.create(model="m", input=["a", "b"], dimensions=8)
        assert [len(one.embedding) for one in vectors.data] == [8, 8]
        assert [model.id async for model in client.models.list()] == ["simulated"]


async def test_ollama_streams_unless_told_not_to() -> None:
    async with simulated() as client:
        body = ask("hello", stream=False)
        status, plain, headers = await client.post("/api/chat", body)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert plain["done"] is True
        async with client.session.post(client.base + "/api/chat", json=ask("hello")) as response:
            assert response.headers["Content-Type"] == "application/x-ndjson"
            lines = (await response.text()).splitlines()
        assert len(lines) == 1
        status, vectors, _ = await client.post("/api/embed", {"model": "m", "input": ["a", "b"]})
        assert [len(vector) for vector in vectors["embeddings"]] == [64, 64]
        status, error, _ = await client.post("/api/embed", {"model": "m"})
        assert status == 400
        assert isinstance(error["error"], str)


async def test_any_other_path_gives_back_what_it_gets() -> None:
    async with simulated() as client:
        assert (await client.post("/items", [{"id": "a"}]))[1] == {
            "ok": True,
            "results": [{"id": "a", "value": {"id": "a"}}],
            "n": 1,
        }
        assert await client.get("/some/where?x=1") == {"ok": True, "echo": None, "n": 1}
        async with client.session.post(client.base + "/items", data=b"{broken") as response:
            assert response.status == 400
        assert nonzero((await client.stats())["faults"]) == {"invalid": 1}


async def test_errors_of_the_account_have_openais_shape() -> None:
    config = SimulatorConfig(key="right", models=("known",), quota=1)
    async with simulated(config) as client:
        status, body, _ = await client.post(CHAT, ask("x"), {"Authorization": "Bearer wrong"})
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        assert "wrong" not in str(body)
        good = {"Authorization": "Bearer right"}
        status, body, _ = await client.post(CHAT, ask("x"), good)
        assert (status, body["error"]["code"]) == (404, "model_not_found")
        assert (await client.post(CHAT, ask("x", model="known"), good))[0] == 200
        status, body, _ = await client.post(CHAT, ask("x", model="known"), good)
        assert (status, body["error"]["type"]) == (429, "insufficient_quota")
        stats = await client.stats()
        assert nonzero(stats["faults"]) == {"access": 1, "model": 1, "quota": 1}
        assert (stats["requests"], stats["accepted"], stats["refused"]) == (4, 1, 0)


async def test_endpoints_take_posts_only() -> None:
    async with simulated() as client:
        for path in (CHAT, "/reset", "/limit?factor=2"):
            async with client.session.get(client.base + path) as response:
                assert response.status == 405


async def test_the_limit_changes_on_the_way_and_a_reset_undoes_that() -> None:
    async with simulated(SimulatorConfig(rpm=4, depth=60)) as client:
        assert (await client.post(CHAT, ask("x")))[0] == 200
        assert (await client.post("/limit?factor=0.5"))[0] == 200
        assert (await client.stats())["limits_per_minute"] == {"requests": 2}
        answers = [(await client.post(CHAT, ask(f"{n}")))[0] for n in range(3)]
        assert answers == [200, 200, 429]
        await client.post("/reset")
        assert (await client.stats())["limits_per_minute"] == {"requests": 4}


@pytest.mark.parametrize("query", ["", "?factor=", "?factor=0", "?factor=-1", "?factor=inf", "?x"])
async def test_a_factor_that_makes_no_limit_is_refused(query: str) -> None:
    async with simulated(SimulatorConfig(rpm=4)) as client:
        status, body, _ = await client.post(f"/limit{query}")
        assert (status, body["error"]["type"]) == (400, "invalid_request_error")
        assert (await client.stats())["limits_per_minute"] == {"requests": 4}


async def test_refused_calls_say_why_and_when_to_come_back() -> None:
    async with simulated(SimulatorConfig(rpm=1, hints="headers", depth=60)) as client:
        status, _, headers = await client.post(CHAT, ask("x"))
        assert status == 200
        assert headers["x-ratelimit-limit-requests"] == "1"
        assert headers["x-ratelimit-remaining-requests"] == "0"
        assert headers["x-ratelimit-reset-requests"] == "1m0s"
        status, body, headers = await client.post(CHAT, ask("x"))
        assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")
        assert body["error"]["type"] == "requests"
        assert 55 <= int(headers["retry-after"]) <= 60
        assert int(headers["retry-after-ms"]) <= 60_000
        stats = await client.stats()
        assert (stats["requests"], stats["accepted"], stats["refused"]) == (2, 1, 1)
        assert stats["limits_per_minute"] == {"requests": 1}


async def test_without_hints_a_refusal_gives_nothing_away() -> None:
    async with simulated(SimulatorConfig(rpm=1)) as client:
        await client.post("/api/chat", ask("x", stream=False))
        status, body, headers = await client.post("/api/chat", ask("x", stream=False))
        assert status == 429
        assert isinstance(body["error"], str)
        assert not any("retry" in name or "ratelimit" in name for name in headers)
        assert not any(digit in body["error"] for digit in "0123456789")


async def test_tokens_are_limited_by_prompt_and_stated_maximum() -> None:
    async with simulated(SimulatorConfig(tpm=1000, depth=60, hints="headers")) as client:
        prompt = "x" * 400  # 100 tokens
        _, _, headers = await client.post(CHAT, ask(prompt, max_tokens=500))
        assert headers["x-ratelimit-remaining-tokens"] == "400"
        _, body, headers = await client.post(CHAT, ask(prompt))
        used = body["usage"]["total_tokens"]
        assert abs(int(headers["x-ratelimit-remaining-tokens"]) - (400 - used)) <= 1
        status, body, _ = await client.post(CHAT, ask(prompt, max_tokens=400))
        assert (status, body["error"]["type"]) == (429, "tokens")
        options = {"options": {"num_predict": 50}, "stream": False}
        _, _, headers = await client.post("/api/chat", ask("", **options))
        assert abs(int(headers["x-ratelimit-remaining-tokens"]) - (350 - used)) <= 1


async def test_limits_hang_on_the_key() -> None:
    async with simulated(SimulatorConfig(rpm=1)) as client:
        statuses = [
            (await client.post("/items", {}, {"Authorization": f"Bearer {key}"}))[0]
            for key in ("a", "a", "b", "b")
        ]
        assert statuses == [200, 429, 200, 429]


async def test_limits_hang_on_the_address() -> None:
    async with running(SimulatorConfig(rpm=1, limit_by="address")) as base:
        for local in ("127.0.0.1", "127.0.0.2"):
            connector = aiohttp.TCPConnector(local_addr=(local, 0))
            async with aiohttp.ClientSession(connector=connector) as session:
                client = Client(session, base)
                keys = [{"Authorization": key} for key in ("a", "b")]
                assert (await client.post("/items", {}, keys[0]))[0] == 200
                assert (await client.post("/items", {}, keys[1]))[0] == 429


async def test_limits_hang_on_the_connection() -> None:
    async with running(SimulatorConfig(rpm=1, limit_by="connection")) as base:
        for _ in range(3):
            async with aiohttp.ClientSession() as session:
                client = Client(session, base)
                assert (await client.post("/items", {}))[0] == 200
                assert (await client.post("/items", {}))[0] == 429
        async with aiohttp.ClientSession() as session:
            stats = await Client(session, base).stats()
        assert (stats["connections_opened"], stats["accepted"]) == (3, 3)


async def test_accepted_calls_are_counted_by_model() -> None:
    async with simulated(SimulatorConfig(rpm=3, limit="sliding")) as client:
        for model in ("a", "b", "a", "a"):
            await client.post(CHAT, ask("x", model=model))
        stats = await client.stats()
        assert stats["accepted_by_model"] == {"a": 2, "b": 1}
        assert (stats["accepted"], stats["refused"]) == (3, 1)
        await client.post("/reset", None)
        await client.post("/items", {"model": "c"})
        assert (await client.stats())["accepted_by_model"] == {}


async def test_poison_is_refused_by_content_and_takes_the_whole_call_with_it() -> None:
    async with simulated(SimulatorConfig(poison="bad apple")) as client:
        for _ in range(3):
            status, body, _ = await client.post("/items", [{"id": 1}, {"id": 2, "x": "bad apple"}])
            assert (status, body["error"]["type"]) == (400, "invalid_request_error")
        assert (await client.post("/items", [{"id": 1}]))[0] == 200
        assert (await client.post("/items", {"x": "POISON"}))[0] == 200
        stats = await client.stats()
        assert (stats["accepted"], stats["faults"]["poison"]) == (5, 3)


async def outcome(client: Client, number: int) -> str:
    """What became of a call: a status, or how it broke."""
    url = client.base + CHAT
    try:
        async with client.session.post(url, json=ask(str(number))) as response:
            text = await response.text()
            if response.status == 200 and not text.startswith("{"):
                return "garbage"
            return str(response.status)
    except aiohttp.ServerDisconnectedError:
        return "dropped"


async def test_faults_come_in_their_shares_and_are_counted() -> None:
    config = SimulatorConfig(
        error_share=0.1, overloaded_share=0.1, drop_share=0.1, garbage_share=0.1, seed=4
    )
    async with simulated(config) as client:
        seen = Counter([await outcome(client, number) for number in range(300)])
        stats = await client.stats()
        assert nonzero(stats["faults"]) == {
            "error": seen["500"],
            "overloaded": seen["503"],
            "dropped": seen["dropped"],
            "garbage": seen["garbage"],
        }
        assert all(15 <= seen[name] <= 50 for name in ("500", "503", "dropped", "garbage"))
        assert stats["accepted"] == 300
        assert stats["served"] == stats["distinct"] == seen["200"]
        await client.post("/reset")
        assert (await client.stats())["requests"] == 0
        again = Counter([await outcome(client, number) for number in range(300)])
        assert again == seen


async def test_a_hung_call_waits_until_its_client_goes() -> None:
    async with simulated(SimulatorConfig(hang_share=1)) as client:
        hung = asyncio.create_task(client.post("/items", {}))
        while not (stats := await client.stats())["faults"]["hung"]:
            pass
        assert stats["in_flight_peak"] == 1
        assert not hung.done()
        hung.cancel()
        await asyncio.wait([hung])
        assert hung.cancelled()


async def test_a_hung_call_is_dropped_after_its_time() -> None:
    async with simulated(SimulatorConfig(hang_share=1, hang_seconds=0.01)) as client:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.post("/items", {})


async def test_closing_does_not_wait_for_hung_calls() -> None:
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session:
        async with running(SimulatorConfig(hang_share=1)) as base:
            client = Client(session, base)
            hung = asyncio.create_task(client.post("/items", {}))
            while not (await client.stats())["faults"]["hung"]:
                pass
            closing = loop.time()
        assert loop.time() - closing < 5
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await hung


async def test_items_are_left_out_of_lists() -> None:
    async with simulated(SimulatorConfig(drop_item_share=0.2, seed=1)) as client:
        items = [{"id": number} for number in range(200)]
        _, body, _ = await client.post("/items", items)
        missing = 200 - len(body["results"])
        assert 20 <= missing <= 60
        assert (await client.stats())["faults"]["items_left_out"] == missing


async def test_work_served_again_is_told_apart_by_key_or_body() -> None:
    async with simulated() as client:

        async def keyed(key: str, body: Any) -> None:
            await client.post("/items", body, {"Idempotency-Key": key})

        for body in ("one", "one", "two"):
            await client.post("/items", {"say": body})
        await keyed("a", 1)
        await keyed("a", 2)
        await keyed("b", 2)
        stats = await client.stats()
        assert (stats["distinct"], stats["served_twice"], stats["duplicates"]) == (4, 2, 2)


async def test_honoured_keys_get_the_first_answer_again_without_its_effect() -> None:
    config = SimulatorConfig(honour_idempotency=True, latency=0.02, drop_share=0.5, seed=3)
    async with simulated(config) as client:

        async def call(key: str) -> Any:
            try:
                return (await client.post(CHAT, ask(key), {"Idempotency-Key": key}))[1]
            except aiohttp.ServerDisconnectedError:
                return None

        keys = [str(number) for number in range(20)]
        # Every key three times at once: whoever comes second waits for the first.
        answers = await asyncio.gather(*(call(key) for key in keys * 3))
        lost = [key for key, answer in zip(keys, answers, strict=False) if answer is None]
        assert lost, "the seed must drop some answers"
        for key in lost:
            assert (await call(key))["object"] == "chat.completion"
        stats = await client.stats()
        assert (stats["served_twice"], stats["distinct"]) == (0, 20 - stats["faults"]["dropped"])
        assert stats["replayed"] + stats["served"] + stats["faults"]["dropped"] == stats["accepted"]
        assert stats["replayed"] > 20


async def test_a_key_whose_call_failed_is_worked_on_again() -> None:
    config = SimulatorConfig(honour_idempotency=True, error_share=0.5, seed=2)
    async with simulated(config) as client:
        statuses = []
        for number in range(20):
            key = {"Idempotency-Key": str(number)}
            statuses.append((await client.post("/items", {}, key))[0])
            while statuses[-1] == 500:
                statuses.append((await client.post("/items", {}, key))[0])
            _, _, headers = await client.post("/items", {}, key)
            assert headers["idempotent-replayed"] == "true"
        stats = await client.stats()
        assert (stats["served"], stats["replayed"]) == (20, 20)
        assert stats["faults"]["error"] == statuses.count(500) > 0


async def elapsed(client: Client, calls: Sequence[int]) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.gather(*(client.post("/items", call) for call in calls))
    return loop.time() - started


async def test_slots_make_calls_queue() -> None:
    async with simulated(SimulatorConfig(slots=2, latency=0.05)) as client:
        assert await elapsed(client, range(8)) >= 0.2
        assert (await client.stats())["in_flight_peak"] == 8


async def test_contention_makes_calls_slow_each_other_down() -> None:
    async with simulated(SimulatorConfig(contention=2, latency=0.02)) as client:
        # With an optimum of 2, eight at once run at 1/15 of the speed of one.
        assert await elapsed(client, range(8)) >= 0.2


async def test_large_and_compressed_bodies_are_taken() -> None:
    async with simulated() as client:
        body = jsons.canonical({"text": "x" * 3_000_000})
        for compress in (None, "gzip"):
            async with client.session.post(
                client.base + "/items", data=io.BytesIO(body), compress=compress
            ) as response:
                assert response.status == 200
                assert (await response.json())["echo"] == jsons.loads(body)


async def test_it_says_that_it_is_there_and_counts_only_work() -> None:
    async with simulated() as client:
        assert await client.get("/healthz") == {"ok": True}
        stats = await client.stats()
        assert (stats["requests"], stats["connections_opened"]) == (0, 0)


async def test_a_client_that_dies_while_sending_is_no_call_and_no_noise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with simulated() as client:
        _, writer = await asyncio.open_connection("127.0.0.1", int(client.base.rpartition(":")[2]))
        writer.write(b"POST /items HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n[1,")
        await writer.drain()
        await client.stats()
        writer.close()
        await writer.wait_closed()
        assert (await client.stats())["requests"] == 0
    assert caplog.records == []
