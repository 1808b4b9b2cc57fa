"""How many small JSON calls a second HTTP clients make on one core, and what Penstock adds.

    python -m bench.clients [--calls 1500] [--in-flight 64] [--rounds 3]

A minimal server in a process of its own answers every POST with the same chat completion. Every
client makes the same calls, so many in flight, one client after the other in the same process and
several rounds in turn; the best round counts, so that a disturbance hits none of them for good.
Calls a second are by the clock, calls a CPU second by this process's own CPU time: the one to look
at when the server or other programs share the cores. docs/decisions/0002-http-client.md says what
follows from it.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection
from typing import Any

from bench import report
from bench.report import Row

Call = Callable[[], Awaitable[object]]
PENSTOCK = "penstock"
MESSAGES = [
    {"role": "system", "content": "Fill in the metafields of a product. Answer in JSON."},
    {"role": "user", "content": "Television, 55 inches, QLED, 4K, HDR10+, 120 Hz. " * 12},
]
ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":'
    b'[{"index":0,"message":{"role":"assistant","content":"{\\"panel\\":\\"QLED\\",\\"inches\\":55}"'
    b',"refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":180,'
    b'"completion_tokens":12,"total_tokens":192}}'
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-ratelimit-limit-requests: 10000\r\n"
    b"x-ratelimit-remaining-requests: 9999\r\nx-ratelimit-reset-requests: 6ms\r\n"
    b"Content-Length: " + str(len(ANSWER)).encode() + b"\r\n\r\n" + ANSWER
)


class Canned(asyncio.Protocol):
    """Answers every request with the same response; reads just enough of HTTP to count them."""

    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while True:
            head = self._data.find(b"\r\n\r\n")
            if head < 0:
                return
            length = 0
            for line in self._data[:head].split(b"\r\n"):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            end = head + 4 + length
            if len(self._data) < end:
                return
            self._data = self._data[end:]
            self._transport.write(RESPONSE)


def serve(port: Connection) -> None:
    """The server process: sends its port, then runs until it is terminated."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def _calls_a_second(call: Call, calls: int, in_flight: int) -> tuple[float, float]:
    """Calls a second by the clock, and by the CPU time of this process."""
    left = iter(range(calls))

    async def one_after_the_other() -> None:
        for _ in left:
            await call()

    await asyncio.gather(*(call() for _ in range(in_flight)))  # connections, imports, caches
    cpu, clock = time.process_time(), time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(in_flight)))
    return calls / (time.perf_counter() - clock), calls / (time.process_time() - cpu)


async def open_clients(url: str, in_flight: int, stack: AsyncExitStack) -> dict[str, Call]:
    """Every client by its name: what makes one call and reads the whole answer."""
    import aiohttp
    import httpx
    import openai

    clients: dict[str, Call] = {}
    body: dict[str, Any] = {"model": "m", "messages": MESSAGES}
    chat = f"{url}/chat/completions"
    headers = {"Authorization": "Bearer sk-bench"}
    processor = _processor(url, in_flight)
    stack.push_async_callback(processor.aclose)
    items = [_item(number) for number in range(in_flight)]
    turn = iter(items * 1_000_000)
    clients[PENSTOCK] = lambda: processor.call([next(turn)])

    session = await stack.enter_async_context(
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight), headers=headers)
    )

    async def by_aiohttp() -> object:
        async with session.post(chat, json=body) as response:
            return await response.json()

    clients["aiohttp"] = by_aiohttp
    for name in ("httpx", "httpx2"):
        try:
            module = httpx if name == "httpx" else __import__(name)
        except ImportError:
            continue
        limits = module.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
        client = await stack.enter_async_context(module.AsyncClient(limits=limits, headers=headers))
        clients[name] = _httpx_call(client, chat, body)
    for name in ("openai SDK", "openai SDK on aiohttp"):
        options: dict[str, Any] = {}
        if name.endswith("aiohttp"):
            try:
                options["http_client"] = openai.DefaultAioHttpClient()
            except RuntimeError:  # its own extra is not installed
                continue
        sdk = openai.AsyncOpenAI(base_url=url, api_key="sk-bench", max_retries=0, **options)
        stack.push_async_callback(sdk.close)
        clients[name] = _sdk_call(sdk)
    return clients


def _httpx_call(client: Any, url: str, body: dict[str, Any]) -> Call:
    async def call() -> object:
        return (await client.post(url, json=body)).json()

    return call


def _sdk_call(sdk: Any) -> Call:
    async def call() -> object:
        return await sdk.chat.completions.create(model="m", messages=MESSAGES)

    return call


def _processor(url: str, in_flight: int) -> Any:
    from penstock.spec.job import BatchJob
    from penstock.work.processors import build

    messages = [MESSAGES[0], {"role": "user", "content": "{{ item.text }}"}]
    openai = {
        "baseURL": url,
        "model": "m",
        "messages": messages,
        "responseFormat": {
            "type": "object",
            "properties": {"panel": {"type": "string"}, "inches": {"type": "integer"}},
            "required": ["panel", "inches"],
            "additionalProperties": False,
        },
    }
    spec = {
        "source": {"inline": {"items": [1]}},
        "processor": {"openai": openai},
        "scaling": {"concurrency": {"max": in_flight}},
    }
    job = {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "bench"},
        "spec": spec,
    }
    return build(BatchJob.model_validate(job), api_key="sk-bench")


def _item(number: int) -> Any:
    from penstock.work.types import WorkItem

    item = {"text": MESSAGES[1]["content"]}
    return WorkItem(number, f"item-{number}", number.to_bytes(16, "big"), item)


async def _compare(
    url: str, calls: int, in_flight: int, rounds: int
) -> dict[str, tuple[float, float]]:
    """The best round of each client: calls a second by the clock, and of CPU."""
    best: dict[str, tuple[float, float]] = {}
    async with AsyncExitStack() as stack:
        clients = await open_clients(url, in_flight, stack)
        for _ in range(rounds):
            for name, call in clients.items():
                clock, cpu = await _calls_a_second(call, calls, in_flight)
                before = best.get(name, (0.0, 0.0))
                best[name] = max(before[0], clock), max(before[1], cpu)
    return best


def measure(rounds: int = 3, calls: int = 1_500, in_flight: int = 64) -> list[Row]:
    """A row a client, Penstock's processor first, then by speed."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        url = f"http://127.0.0.1:{ours.recv()}/v1"
        found = asyncio.run(_compare(url, calls, in_flight, rounds))
    finally:
        server.terminate()
        server.join()
    clock, cpu = found.pop(PENSTOCK)
    rows = [
        Row(
            f"**Client alone**: the openai processor, a server that answers at once, {in_flight} "
            "in flight",
            f"**{report.number(cpu)}** calls a CPU s, {report.number(clock)} a second",
        )
    ]
    for name, (their_clock, their_cpu) in sorted(found.items(), key=lambda entry: -entry[1][1]):
        text = f"{report.number(their_cpu)} calls a CPU s, {report.number(their_clock)} a second"
        rows.append(Row(name, text, beside=f"{report.times(cpu / their_cpu)} by CPU"))
    return rows


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Compare HTTP clients on many small JSON calls.")
    parser.add_argument("--calls", type=int, default=1_500)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(report.table(measure(given.rounds, given.calls, given.in_flight)))


if __name__ == "__main__":
    main()
