"""The provider over HTTP: takes a call through key, limits, faults and backend to its answer.

Built on aiohttp's low-level server: no routes and middlewares in the way, and it tells which
connection a call came on. `listening` opens the port, for the command line and the tests.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from penstock import jsons
from penstock.simulate import answers, refusals
from penstock.simulate.admission import Admission
from penstock.simulate.answers import ENDPOINTS, Answer, Context
from penstock.simulate.backend import Backend, draw_latency
from penstock.simulate.faults import Fault, FaultDraw
from penstock.simulate.idempotency import Replays
from penstock.simulate.options import SimulatorConfig
from penstock.simulate.refusals import Refusal
from penstock.simulate.stats import Stats, work_identity

_MAX_BODY = 64 * 1024 * 1024
_JSON = "application/json"
_LINES = "application/x-ndjson"
_HOUSEKEEPING = ("/healthz", "/stats", "/reset", "/limit")
_OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


class _Content(NamedTuple):
    """A body and its content type."""

    body: bytes
    kind: str


_GARBAGE = _Content(b'<html><body>Bad gateway</body></html>{"choices": [{"mess', _JSON)


@dataclass(slots=True)
class _Call:
    """One call on its way through."""

    request: web.BaseRequest
    path: str
    body: bytes
    stats: Stats
    connection: int
    model: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def ollama(self) -> bool:
        return self.path.startswith("/api/")


class Simulator:
    """A provider's state and its request handler. `reset` makes it as new."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self._faults = FaultDraw(config)
        self._poison = config.poison.encode()
        self._backend = Backend(config)
        self._hung: dict[RequestHandler, asyncio.Future[None]] = {}
        self.reset()

    def reset(self) -> None:
        """Forget everything: counts, limits, quota, kept answers; start the random draws again."""
        self.stats = Stats()
        self._admission = Admission(self.config)
        self._rng = Random(self.config.seed)
        self._replays: Replays[_Content] = Replays()
        self._connections: dict[RequestHandler, int] = {}
        self._context = Context(self.config.dimensions, self._keep_item)

    def report(self) -> dict[str, Any]:
        """What `GET /stats` answers."""
        limits = self._admission.per_minute()
        return {**self.stats.report(), "limits_per_minute": limits}

    def connection_lost(self, connection: RequestHandler) -> None:
        """A client's connection is gone; a hung call on it need not wait any longer."""
        number = self._connections.pop(connection, None)
        if number is not None and self.config.limit_by == "connection":
            self._admission.forget(number)
        waiting = self._hung.pop(connection, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def close(self) -> None:
        """Let go of everything that waits without an end."""
        self._backend.close()
        for connection in list(self._hung):
            self.connection_lost(connection)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path = request.raw_path.partition("?")[0]
        if path in _HOUSEKEEPING:
            return self._housekeeping(request, path)
        try:
            body = await request.read()
        except ConnectionError:  # the client died while it was sending
            return web.Response()
        stats = self.stats
        call = _Call(request, path, body, stats, self._connection(request))
        stats.arrived()
        try:
            return await self._answer(call)
        except Refusal as refusal:
            stats.faults[refusal.fault] += 1
            return _send_json(refusal.body(ollama=call.ollama), refusal.status, call.headers)
        finally:
            stats.left()

    def _housekeeping(self, request: web.BaseRequest, path: str) -> web.Response:
        try:
            if path in ("/reset", "/limit") and request.method != "POST":
                raise refusals.wrong_method()
            if path == "/reset":
                self.reset()
            elif path == "/limit":
                factor = _factor(request.query.get("factor", ""))
                self._admission.change(asyncio.get_running_loop().time(), factor)
        except Refusal as refusal:
            allow = {"Allow": "POST"} if refusal.status == 405 else {}
            return _send_json(refusal.body(ollama=False), refusal.status, allow)
        return _send_json({"ok": True} if path != "/stats" else self.report(), 200, {})

    async def _answer(self, call: _Call) -> web.StreamResponse:
        self._check_key(call.request.headers)
        if call.path == "/v1/models":
            return _send_json(self._models(), 200, {})
        value = self._parse(call)
        call.model = value["model"] if call.path in ENDPOINTS else None
        tokens, answer = 0, None
        if self.config.tpm is not None:
            # A token limit is charged what the call will cost, so the answer has to be known first.
            answer = self._make(call.path, value)
            tokens = answer.prompt_tokens + _reserved(value, answer.completion_tokens)
        if (refused := self._admit(call, tokens)) is not None:
            return refused
        if self._poison and self._poison in call.body:
            raise refusals.poisoned()
        fault = self._faults.draw(self._rng)
        if fault is Fault.OVERLOADED:
            raise refusals.overloaded()
        if fault is Fault.HUNG:
            return await self._hang(call)
        key = call.request.headers.get("Idempotency-Key")
        if key is None or not self.config.honour_idempotency:
            return self._deliver(call, key, await self._work(call, value, answer, fault), fault)
        kept = await self._replays.earlier(key)
        if kept is not None:
            call.stats.replayed += 1
            return _send(kept, 200, {**call.headers, "Idempotent-Replayed": "true"})
        made = None
        try:
            made = await self._work(call, value, answer, fault)
            return self._deliver(call, key, made, fault)
        finally:
            self._replays.keep(key, made)

    async def _work(
        self, call: _Call, value: Any, answer: Answer | None, fault: Fault | None
    ) -> _Content:
        """The call's effect: it takes its time and makes an answer, or fails with 500."""
        await self._backend.work(draw_latency(self.config, self._rng))
        if fault is Fault.ERROR:
            raise refusals.server_error()
        answer = answer or self._make(call.path, value)
        call.stats.prompt_tokens += answer.prompt_tokens
        call.stats.completion_tokens += answer.completion_tokens
        content = jsons.dumps(answer.value).encode()
        return _Content(content + b"\n", _LINES) if answer.lines else _Content(content, _JSON)

    def _deliver(
        self, call: _Call, key: str | None, made: _Content, fault: Fault | None
    ) -> web.Response:
        """Send what was made, unless it is lost or garbled on the way."""
        if fault is None:
            call.stats.served(work_identity(key, call.path, call.body))
            return _send(made, 200, call.headers)
        call.stats.faults[fault] += 1
        return _send(_GARBAGE, 200, call.headers) if fault is Fault.GARBAGE else _hang_up(call)

    def _admit(self, call: _Call, tokens: int) -> web.Response | None:
        """Take the call's share of quota and limits; a response when they refuse it."""
        stats = call.stats
        if self.config.quota is not None and stats.accepted >= self.config.quota:
            raise refusals.quota_spent()
        now = asyncio.get_running_loop().time()
        verdict = self._admission.admit(self._client(call), now, tokens)
        call.headers = verdict.headers
        if verdict.refused_by is None:
            stats.admitted(now, call.model)
            return None
        stats.refused += 1
        body = refusals.throttled_body(
            verdict.refused_by,
            None if self.config.hints == "none" else verdict.retry_after,
            ollama=call.ollama,
        )
        return _send_json(body, 429, verdict.headers)

    def _client(self, call: _Call) -> Hashable:
        """Whom the limits are counted for."""
        if self.config.limit_by == "connection":
            return call.connection
        if self.config.limit_by == "address":
            return call.request.remote
        return _key(call.request.headers)

    def _connection(self, request: web.BaseRequest) -> int:
        """The number of the connection; one that only asked for /stats is never counted."""
        number = self._connections.get(request.protocol)
        if number is None:
            self.stats.connections_opened += 1
            number = self._connections[request.protocol] = self.stats.connections_opened
        return number

    def _check_key(self, headers: Mapping[str, str]) -> None:
        if self.config.key is not None and _key(headers) != self.config.key:
            raise refusals.wrong_key()

    def _models(self) -> dict[str, Any]:
        names = self.config.models or ("simulated",)
        models = [
            {"id": name, "object": "model", "created": answers.CREATED, "owned_by": "penstock"}
            for name in names
        ]
        return {"object": "list", "data": models}

    def _parse(self, call: _Call) -> Any:
        """The body as JSON; for the endpoints of a model with that model checked."""
        try:
            value = jsons.loads(call.body) if call.body else None
        except ValueError as error:
            raise refusals.invalid(f"The body is not JSON: {error}.") from error
        if call.path in ENDPOINTS:
            if call.request.method != "POST":
                raise refusals.wrong_method()
            model = value.get("model") if isinstance(value, dict) else None
            if not isinstance(model, str) or not model:
                raise refusals.invalid("The body must be an object that names its 'model'.")
            if self.config.models and model not in self.config.models:
                raise refusals.unknown_model(model)
        return value

    def _make(self, path: str, value: Any) -> Answer:
        endpoint = ENDPOINTS.get(path)
        return endpoint(value, self._context) if endpoint else answers.echo(value, self._context)

    def _keep_item(self) -> bool:
        share = self.config.drop_item_share
        if not share or self._rng.random() >= share:
            return True
        self.stats.faults[Fault.ITEMS_LEFT_OUT] += 1
        return False

    async def _hang(self, call: _Call) -> web.Response:
        """Keep the client waiting until it goes, or for as long as configured."""
        call.stats.faults[Fault.HUNG] += 1
        gone = asyncio.get_running_loop().create_future()
        self._hung[call.request.protocol] = gone
        await asyncio.wait([gone], timeout=self.config.hang_seconds)
        self._hung.pop(call.request.protocol, None)
        return _hang_up(call)


class _Server(web.Server):
    """aiohttp's server, telling the simulator when a connection ends."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator.handle, request_factory=_request, access_log=None)
        self._simulator = simulator

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._simulator.connection_lost(handler)


@asynccontextmanager
async def listening(
    simulator: Simulator, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve calls in this event loop, at the `http://host:port` given; port 0 takes a free one.

    Raises OSError when the address cannot be had.
    """
    runner = web.ServerRunner(_Server(simulator), shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        name, number = runner.addresses[0][:2]
        yield f"http://[{name}]:{number}" if ":" in name else f"http://{name}:{number}"
    finally:
        simulator.close()
        await runner.cleanup()


@asynccontextmanager
async def running(config: SimulatorConfig | None = None) -> AsyncIterator[str]:
    """A simulator on a free local port for as long as the block lasts, as its base address."""
    async with listening(Simulator(config or SimulatorConfig())) as address:
        yield address


def _request(
    message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=_MAX_BODY
    )


def _send(made: _Content, status: int, headers: Mapping[str, str]) -> web.Response:
    return web.Response(
        body=made.body, status=status, headers={**headers, "Content-Type": made.kind}
    )


def _send_json(value: Any, status: int, headers: Mapping[str, str]) -> web.Response:
    return _send(_Content(jsons.dumps(value).encode(), _JSON), status, headers)


def _hang_up(call: _Call) -> web.Response:
    """Close the connection without an answer; the one that is returned goes nowhere."""
    if call.request.transport is not None:
        call.request.transport.abort()
    return web.Response()


def _key(headers: Mapping[str, str]) -> str | None:
    """The key a client sent, in any of the usual headers."""
    given = headers.get("Authorization")
    if given is None:
        return headers.get("x-api-key", headers.get("api-key"))
    return given.removeprefix("Bearer ").strip()


def _factor(text: str) -> float:
    """What `POST /limit?factor=` was given. Raises Refusal."""
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < math.inf:
        raise refusals.invalid("Give ?factor=N, a number above 0: so many times the limits stated.")
    return factor


def _reserved(value: Any, completion_tokens: int) -> int:
    """Tokens kept free for the answer: as many as the caller allows, else as many as it takes."""
    if isinstance(value, dict):
        options = value.get("options")
        stated = [value.get(name) for name in _OUTPUT_LIMITS]
        stated.append(options.get("num_predict") if isinstance(options, dict) else None)
        for limit in stated:
            if isinstance(limit, int) and limit > 0:
                return limit
    return completion_tokens
