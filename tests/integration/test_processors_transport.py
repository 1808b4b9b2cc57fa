"""The transport against real sockets: what breaks on the way, and what must not happen there."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from penstock import __version__
from penstock.work.processors.transport import Response, Transport
from penstock.work.types import Failure, FailureKind

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Wire:
    """A server that sends exactly these bytes, and remembers what it was asked."""

    def __init__(
        self, *answers: bytes, close: bool = False, hang: bool = False, greet: bool = False
    ) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.url = ""
        self.port = 0
        self.asked = asyncio.Event()
        self._answers, self._close, self._hang, self._greet = list(answers), close, hang, greet

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self._greet:
                writer.write(self._answers[0])
                await writer.drain()
                return
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                self.requests.append(head + await reader.readexactly(length))
                self.asked.set()
                if self._hang:
                    await reader.read()
                    return
                if not self._answers:
                    return
                answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                writer.write(answer)
                await writer.drain()
                if self._close:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(wire: Wire) -> AsyncIterator[Wire]:
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    wire.url = f"http://127.0.0.1:{wire.port}"
    async with server:
        yield wire
        server.close()


@asynccontextmanager
async def transport(
    *, seconds: float = 5.0, connections: int = 4, max_body: int = 1 << 20
) -> AsyncIterator[Transport]:
    made = Transport(
        timeout=seconds, connections=connections, max_body=max_body, secrets=["secret-key"]
    )
    try:
        yield made
    finally:
        await made.aclose()


def http(body: bytes = b"ok", head: bytes = b"", status: bytes = b"200 OK") -> bytes:
    length = f"Content-Length: {len(body)}\r\n".encode()
    return b"HTTP/1.1 " + status + b"\r\n" + length + head + b"\r\n" + body


async def ask(wire: Wire, method: str = "POST", seconds: float = 5.0) -> Response | Failure:
    async with listening(wire), transport(seconds=seconds) as one:
        return await one.send(method, wire.url + "/x", {}, b"{}" if method == "POST" else None)


async def test_a_plain_call() -> None:
    wire = Wire(http(b"hello", b"X-Some: Thing\r\n"))
    async with listening(wire), transport() as one:
        answer = await one.send("POST", wire.url + "/x?q=1", {"X-A": "ü"}, b"{}")
    assert isinstance(answer, Response)
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.headers["x-some"] == "Thing"
    [request] = wire.requests
    assert request.startswith(b"POST /x?q=1 HTTP/1.1\r\n")
    assert f"User-Agent: penstock/{__version__}".encode() in request
    assert request.endswith(b"\r\n\r\n{}")


@pytest.mark.parametrize("status", [b"204 No Content", b"404 Nope", b"500 Oops", b"301 Moved"])
async def test_every_status_is_a_response(status: bytes) -> None:
    answer = await ask(Wire(http(b"", status=status)))
    assert isinstance(answer, Response)
    assert answer.status == int(status[:3])


@pytest.mark.parametrize(
    ("wire", "kind", "reason"),
    [
        (Wire(hang=True), FailureKind.TIMEOUT, "timeout after 0.2 s"),
        (Wire(), FailureKind.ERROR, "connection dropped"),
        (
            Wire(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc", close=True),
            FailureKind.ERROR,
            "connection dropped",
        ),
        (
            Wire(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", close=True),
            FailureKind.ERROR,
            "connection dropped",
        ),
        (
            Wire(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc"),
            FailureKind.TIMEOUT,
            "timeout after 0.2 s",
        ),
        (Wire(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), FailureKind.ERROR, "answer is not HTTP"),
        (
            Wire(http(b"\x1f\x8bnot gzip", b"Content-Encoding: gzip\r\n")),
            FailureKind.INVALID,
            "answer is garbled",
        ),
        (Wire(http(b"x" * (1 << 20) + b"x")), FailureKind.INVALID, "answer too large"),
        (
            Wire(http(gzip.compress(b"x" * (1 << 21)), b"Content-Encoding: gzip\r\n")),
            FailureKind.INVALID,
            "answer too large",
        ),
    ],
)
async def test_what_breaks(wire: Wire, kind: FailureKind, reason: str) -> None:
    answer = await ask(wire, seconds=0.2 if kind is FailureKind.TIMEOUT else 5.0)
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.reason) == (kind, reason)
    assert answer.reached
    assert len(wire.requests) == 1


async def test_compressed_answers_are_unpacked() -> None:
    packed = {b"gzip": gzip.compress(b"{}" * 1000), b"deflate": zlib.compress(b"{}" * 1000)}
    for name, body in packed.items():
        answer = await ask(Wire(http(body, b"Content-Encoding: " + name + b"\r\n")))
        assert isinstance(answer, Response)
        assert answer.body == b"{}" * 1000


async def test_nobody_listens() -> None:
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        async with transport() as one:
            answer = await one.send("POST", f"http://127.0.0.1:{taken.getsockname()[1]}/", {}, b"")
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.reason, answer.reached) == (
        FailureKind.ERROR,
        "connection refused",
        False,
    )
    assert answer.message.startswith("nobody listens at 127.0.0.1:")


async def test_no_such_host() -> None:
    async with transport() as one:
        answer = await one.send("POST", "http://no-such-host.invalid/", {}, b"")
    assert isinstance(answer, Failure)
    assert (answer.reason, answer.reached) == ("host not found", False)


async def test_no_tls_there() -> None:
    async with listening(Wire(http(), greet=True)) as wire, transport() as one:
        answer = await one.send("POST", f"https://127.0.0.1:{wire.port}/", {}, b"")
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.reason) == (FailureKind.ACCESS, "TLS error")


@pytest.mark.parametrize("url", ["nonsense", "ftp://h/x", "http://", "http://[bad/", "/only/path"])
async def test_addresses_that_are_none(url: str) -> None:
    async with transport() as one:
        answer = await one.send("POST", url, {}, b"")
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.reason) == (FailureKind.REJECTED, "request cannot be sent")


async def test_the_key_is_in_no_message() -> None:
    async with transport() as one:
        answer = await one.send("POST", "ftp://h/secret-key", {}, b"")
    assert isinstance(answer, Failure)
    assert "secret-key" not in answer.message


# connections


async def test_connections_are_kept_and_never_more_than_allowed() -> None:
    async with listening(Wire(http())) as wire, transport(connections=3) as one:
        for _ in range(4):
            calls = (one.send("POST", wire.url, {}, b"{}") for _ in range(3))
            await asyncio.gather(*calls)
        assert (len(wire.requests), wire.connections) == (12, 3)
        await asyncio.gather(*(one.send("POST", wire.url, {}, b"{}") for _ in range(9)))
        assert wire.connections == 3


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_call_goes_out_once_even_when_a_kept_connection_breaks(method: str) -> None:
    wire = Wire(http())
    async with listening(wire), transport() as one:
        assert isinstance(await one.send(method, wire.url, {}), Response)
        wire._answers.clear()  # from now on the connection closes without an answer
        answer = await one.send(method, wire.url, {})
    assert isinstance(answer, Failure)
    assert answer.reason == "connection dropped"
    assert len(wire.requests) == 2


async def test_a_transport_can_be_closed_unused_and_twice() -> None:
    one = Transport(timeout=1, connections=1)
    await one.aclose()
    await one.aclose()


async def test_a_cancelled_call_leaves_the_transport_usable() -> None:
    hung = Wire(hang=True)
    async with listening(hung), listening(Wire(http())) as fine, transport(connections=1) as one:
        task = asyncio.create_task(one.send("POST", hung.url, {}, b"{}"))
        await hung.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await one.send("POST", fine.url, {}, b"{}"), Response)


async def test_no_cookies_come_back() -> None:
    wire = Wire(http(head=b"Set-Cookie: a=b\r\n"))
    async with listening(wire), transport() as one:
        await one.send("POST", wire.url, {}, b"{}")
        await one.send("POST", wire.url, {}, b"{}")
    assert not [request for request in wire.requests if b"ookie" in request]


# redirects


def moved(to: str, status: bytes = b"302 Found") -> bytes:
    return http(b"", f"Location: {to}\r\n".encode(), status)


async def test_get_follows_on_the_same_server_with_its_headers() -> None:
    wire = Wire(moved("/new"), http(b"there"))
    async with listening(wire), transport() as one:
        answer = await one.send("GET", wire.url + "/old", {"X-Key": "k"})
    assert isinstance(answer, Response)
    assert answer.body == b"there"
    assert wire.requests[1].startswith(b"GET /new ")
    assert b"X-Key: k" in wire.requests[1]


async def test_get_takes_no_keys_to_another_server() -> None:
    other, wire = Wire(http(b"there")), Wire(b"")
    async with listening(other), listening(wire), transport() as one:
        wire._answers = [moved(other.url + "/new")]
        answer = await one.send("GET", wire.url, {"X-Key": "k", "Authorization": "Bearer t"})
    assert isinstance(answer, Response)
    assert answer.body == b"there"
    assert b"X-Key" not in other.requests[0]
    assert b"Authorization" not in other.requests[0]


@pytest.mark.parametrize("to", ["ftp://h/", "http://[bad/", ""])
async def test_redirects_to_nowhere(to: str) -> None:
    answer = await ask(Wire(moved(to)), "GET")
    assert isinstance(answer, Response | Failure)
    assert not isinstance(answer, Response) or answer.status == 302


async def test_redirects_in_a_circle_end() -> None:
    wire = Wire(moved("/again"))
    answer = await ask(wire, "GET")
    assert isinstance(answer, Response)
    assert (answer.status, len(wire.requests)) == (302, 6)


async def test_nothing_but_get_is_redirected() -> None:
    wire = Wire(moved("/new", b"307 Temporary Redirect"))
    answer = await ask(wire)
    assert isinstance(answer, Response)
    assert (answer.status, len(wire.requests)) == (307, 1)


# proxies


async def test_calls_go_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with listening(Wire(http(b"by proxy"))) as proxy, transport() as one:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:pass@127.0.0.1:{proxy.port}")
        answer = await one.send("POST", "http://example.invalid/x", {"Authorization": "a"}, b"{}")
    assert isinstance(answer, Response)
    assert answer.body == b"by proxy"
    assert proxy.requests[0].startswith(b"POST http://example.invalid/x HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic" in proxy.requests[0]
    assert b"\r\nAuthorization: a\r\n" in proxy.requests[0]


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (b"407 Who", FailureKind.ACCESS, "proxy: HTTP 407"),
        (b"502 Bad", FailureKind.ERROR, "proxy: HTTP 502"),
    ],
)
async def test_a_proxy_that_refuses(
    status: bytes, kind: FailureKind, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with listening(Wire(http(b"", status=status))) as proxy, transport() as one:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        answer = await one.send("POST", "https://example.invalid/x", {}, b"{}")
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.reason) == (kind, reason)
