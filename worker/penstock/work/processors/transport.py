"""HTTP for processors: one request out, one response or one `Failure` back. Never a retry.

aiohttp, because it is the quickest client for many small calls on one core
(docs/decisions/0002-http-client.md). All retries belong to `retry.py` behind the gate: a client
that tries again by itself hides 429s from the rate control, so redirects of anything but GET and
aiohttp's own second try on a stale connection are off.

aiohttp is imported with the first request: the command that plans builds processors, too, to try
their templates, and never sends anything (it saves it 0.2 s and 10 MB).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yarl import URL

from penstock import __version__
from penstock.web import proxy_for
from penstock.work import failures
from penstock.work.types import Failure, FailureKind

if TYPE_CHECKING:
    import aiohttp

MAX_BODY = 64 * 1024 * 1024
"""Bytes of a response, after decompression."""
MAX_REDIRECTS = 5
KEEP_ALIVE = 75.0
"""Seconds an idle connection is kept: long enough for one call a minute to reuse it."""

_REDIRECTS = {301, 302, 303, 307, 308}


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response, of any status. headers: lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """Connections of one worker.

    timeout: seconds for a call as a whole, connecting and redirects included. connections: the
    most that are open at a time. secrets: texts that must not appear in any message.
    """

    def __init__(
        self,
        *,
        timeout: float,
        connections: int,
        max_body: int = MAX_BODY,
        secrets: Iterable[str] = (),
    ) -> None:
        self.secrets = tuple(secrets)
        self._timeout = timeout
        self._connections = connections
        self._max_body = max_body
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[tuple[str, str | None], URL | None] = {}

    async def send(
        self, method: str, url: str | URL, headers: Mapping[str, str], body: bytes | None = None
    ) -> Response | Failure:
        """Make one request and read the whole response, whatever its status.

        A Failure when there is no usable response: timeout, no connection, connection dropped,
        response too large or garbled, a URL or header that cannot be sent.
        """
        import aiohttp

        try:
            async with asyncio.timeout(self._timeout):
                return await self._send(method, URL(url), headers, body)
        except TimeoutError:
            return failures.timed_out(self._timeout)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return self._failure(error)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None
    ) -> Response | Failure:
        response = await self._send_once(method, url, headers, body)
        for _ in range(MAX_REDIRECTS):
            if method != "GET" or isinstance(response, Failure):
                break
            target = _redirect_target(response, url)
            if target is None:
                break
            if target.origin() != url.origin():
                headers = {}  # keys and tokens are for the server in the manifest alone
            url = target
            response = await self._send_once(method, url, headers, body)
        return response

    async def _send_once(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None
    ) -> Response | Failure:
        session = self._session or self._open()
        async with session.request(
            method, url, headers=headers, data=body, allow_redirects=False, proxy=self._proxy(url)
        ) as response:
            content = await self._read(response)
            if content is None:
                response.close()
                megabytes = self._max_body / (1024 * 1024)
                return failures.invalid(failures.TOO_LARGE, f"more than {megabytes:g} MiB")
            lowered = {name.lower(): value for name, value in response.headers.items()}
            return Response(response.status, lowered, content)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        """The body; None when it is too large. Never holds more than is allowed."""
        length = response.content_length
        if length is not None:
            if length > self._max_body:
                return None
            if "Content-Encoding" not in response.headers:
                return await response.read()
        chunks, size = [], 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > self._max_body:
                return None
            chunks.append(chunk)
        return b"".join(chunks)

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, keepalive_timeout=KEEP_ALIVE, ttl_dns_cache=60
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"penstock/{__version__}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        )
        # aiohttp sends GET, PUT and DELETE a second time when a reused connection breaks.
        self._session._retry_connection = False
        return self._session

    def _proxy(self, url: URL) -> URL | None:
        """The proxy that the environment names for this address, asked once."""
        place = (url.scheme, url.host)
        if place not in self._proxies:
            named = proxy_for(str(url))
            self._proxies[place] = None if named is None else URL(named)
        return self._proxies[place]

    def _failure(self, error: Exception) -> Failure:
        import aiohttp
        from aiohttp.http_exceptions import ContentEncodingError

        message = failures.clean(str(error) or type(error).__name__, self.secrets)
        match error:
            case aiohttp.ClientSSLError() | ssl.SSLError():
                return Failure(FailureKind.ACCESS, "TLS error", message)
            case aiohttp.ClientConnectorDNSError():
                unknown = f"the name {error.host} does not lead to an address"
                return failures.unreachable("host not found", unknown)
            case aiohttp.ClientProxyConnectionError():
                return failures.unreachable("proxy not reachable", message)
            case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
                nobody = f"nobody listens at {error.host}:{error.port}"
                return failures.unreachable("connection refused", nobody)
            case aiohttp.ClientConnectorError():
                return failures.unreachable("cannot connect", message)
            case aiohttp.ClientHttpProxyError(status=status):
                kind = FailureKind.ACCESS if status in (403, 407) else FailureKind.ERROR
                return Failure(kind, f"proxy: HTTP {status}", message)
            case aiohttp.ClientPayloadError(__cause__=ContentEncodingError()):
                return failures.invalid("answer is garbled", message)
            case aiohttp.ClientResponseError():
                return Failure(FailureKind.ERROR, "answer is not HTTP", message)
            case aiohttp.NonHttpUrlClientError() | ValueError():
                return failures.rejected("request cannot be sent", message)
        return failures.dropped(message)


def classify(response: Response, transport: Transport, *, models: bool) -> Failure:
    """`failures.classify` for a response that came through this transport."""
    return failures.classify(
        response.status,
        response.headers,
        response.body,
        now=time.time(),
        models=models,
        secrets=transport.secrets,
    )


def _redirect_target(response: Response, url: URL) -> URL | None:
    location = response.headers.get("location")
    if response.status not in _REDIRECTS or not location:
        return None
    target = url.join(URL(location))
    downgrade = url.scheme == "https" and target.scheme != "https"
    return None if downgrade or target.scheme not in ("http", "https") else target
