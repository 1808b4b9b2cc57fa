"""A JSON API of models behind one base URL: what openai and ollama have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from yarl import URL

from penstock import jsons
from penstock.errors import InputError
from penstock.secrets import mask
from penstock.work import failures
from penstock.work.processors.idempotency import HEADER, idempotency_key
from penstock.work.processors.transport import Transport, classify
from penstock.work.types import Failure, FailureKind, WorkItem


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: a JSON value, or why there is none. headers: lower-case names."""

    value: Any = None
    failure: Failure | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class ModelServer:
    """Makes calls to one path of the server. InputError when the base URL is none.

    result_set: for the Idempotency-Key.
    """

    def __init__(
        self,
        transport: Transport,
        base_url: str,
        path: str,
        *,
        api_key: str | None,
        result_set: str,
        where: str,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError.at(f"{where}.baseURL", "not an http:// or https:// address")
        joined = parts._replace(path=parts.path.rstrip("/") + path, fragment="")
        self.url = URL(urlunsplit(joined))
        self._transport = transport
        self._result_set = result_set
        self._headers = {"Content-Type": "application/json"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"

    async def call(self, items: Sequence[WorkItem], body: dict[str, Any]) -> Reply:
        """POST the body for these items."""
        try:
            content = jsons.dumps(body).encode()
        except (ValueError, RecursionError) as error:
            # Half a surrogate pair, say: valid in JSON as an escape, but not in UTF-8.
            message = failures.clean(str(error))
            return Reply(failure=Failure(FailureKind.TEMPLATE, "request is not JSON", message))
        headers = {**self._headers, HEADER: idempotency_key(self._result_set, items)}
        response = await self._transport.send("POST", self.url, headers, content)
        if isinstance(response, Failure):
            return Reply(failure=response)
        if not 200 <= response.status < 300:
            failure = classify(response, self._transport, models=True)
            return Reply(failure=failure, headers=response.headers)
        try:
            value = jsons.loads(response.body)
        except (ValueError, RecursionError) as error:
            garbled = self.invalid(failures.NOT_JSON, str(error))
            return Reply(failure=garbled, headers=response.headers)
        if not isinstance(value, dict):
            odd = self.invalid(failures.UNEXPECTED, "not an object")
            return Reply(failure=odd, headers=response.headers)
        return Reply(value, self._error_within(value), response.headers)

    def invalid(self, reason: str, message: str) -> Failure:
        """An INVALID failure with a message fit to be stored."""
        return failures.invalid(reason, failures.clean(message, self._transport.secrets))

    def preview(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request as it would go out, without the key."""
        headers = dict(self._headers)
        if "Authorization" in headers:
            headers["Authorization"] = "Bearer ***"
        url = mask(str(self.url), self._transport.secrets)
        return {"method": "POST", "url": url, "headers": headers, "body": body}

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    def _error_within(self, value: dict[str, Any]) -> Failure | None:
        """Some gateways answer 200 with nothing but an error in the body."""
        error = value.get("error")
        if not error:
            return None
        code = error.get("code") if isinstance(error, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
        return failures.classify(
            status,
            {},
            jsons.dumps({"error": error}).encode(),
            now=0.0,
            models=True,
            secrets=self._transport.secrets,
        )
