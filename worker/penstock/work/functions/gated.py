"""The HTTP clients that functions get: each request passes the gate, is counted, and teaches it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httpx2

from penstock import jsons
from penstock.rate.bounds import CallReport, Outcome
from penstock.work import failures
from penstock.work.functions.current import CURRENT, Current
from penstock.work.gate import Gate, Permit
from penstock.work.processors.idempotency import HEADER
from penstock.work.processors.results import token_count
from penstock.work.types import Failure, Usage

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_STREAM = "text/event-stream"


class GatedTransport(httpx2.AsyncBaseTransport):
    """Sends a request once the gate lets it. on_call: told how each ended, and its seconds."""

    def __init__(
        self, gate: Gate, connections: int, on_call: Callable[[Outcome, float], None]
    ) -> None:
        # The gate is the limit: an answer that is streamed keeps its connection, not its permit.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=connections)
        self._inner = httpx2.AsyncHTTPTransport(limits=limits)
        self._gate, self._on_call = gate, on_call

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One call. Raises what httpx2 raises when there is no answer."""
        current = CURRENT.get()
        if current is not None and request.method not in _SAFE and HEADER not in request.headers:
            body = await request.aread()
            request.headers[HEADER] = current.key(request.method, str(request.url), body)
        permit = await self._permit(current)
        now = asyncio.get_running_loop().time
        began = now()
        report: CallReport | None = None
        try:
            response = await self._inner.handle_async_request(request)
            if not response.headers.get("content-type", "").startswith(_STREAM):
                await response.aread()
            failure, used = _judged(response), _usage(response)
            if current is not None:
                current.used(used)
            report = CallReport(
                outcome=failures.outcome(failure),
                sent_at=permit.sent_at,
                retry_after=failure.retry_after if failure is not None else None,
                headers={name.lower(): value for name, value in response.headers.items()},
                used_tokens=(used.prompt_tokens + used.completion_tokens) or None,
            )
        except httpx2.TimeoutException as error:
            reached = not isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout)
            report = CallReport(Outcome.TIMEOUT, permit.sent_at, reached=reached)
            raise
        except httpx2.TransportError as error:
            reached = not isinstance(error, httpx2.ConnectError)
            report = CallReport(Outcome.ERROR, permit.sent_at, reached=reached)
            raise
        finally:
            if report is not None and report.reached:
                self._on_call(report.outcome, now() - began)
            self._gate.release(permit, report)
        return response

    async def _permit(self, current: Current | None) -> Permit:
        if current is None:
            return await self._gate.acquire(0)
        if not current.over:
            with current.waiting():
                permit = await self._gate.acquire(0)
            if not current.over:
                return permit
            self._gate.release(permit, None)
        raise asyncio.CancelledError("the function has come back without this call")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def _judged(response: httpx2.Response) -> Failure | None:
    if response.status_code < 400:
        return None
    headers = {name.lower(): value for name, value in response.headers.items()}
    return failures.classify(response.status_code, headers, response.content, now=time.time())


def _usage(response: httpx2.Response) -> Usage:
    """The tokens that an answer of a model server tells of."""
    if not response.headers.get("content-type", "").startswith("application/json"):
        return Usage()
    try:
        value = jsons.loads(response.content)
    except ValueError:
        return Usage()
    usage = value.get("usage") if isinstance(value, dict) else None
    if not isinstance(usage, dict):
        return Usage()
    prompt = usage.get("prompt_tokens", usage.get("input_tokens"))
    completion = usage.get("completion_tokens", usage.get("output_tokens"))
    return Usage(token_count(prompt), token_count(completion))
