"""Any HTTP API: one item or several a request, the output found by a path in the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock import jsons
from penstock.errors import InputError
from penstock.secrets import is_secret_header, mask
from penstock.spec.job import BatchJob
from penstock.spec.processor import HttpProcessor as Spec
from penstock.spec.template import JsonTemplate, Template, TemplateError
from penstock.work.batch import item_limit
from penstock.work.processors.answers import Answers
from penstock.work.processors.idempotency import HEADER, idempotency_key
from penstock.work.processors.one_call import OneCall
from penstock.work.processors.prompts import render_each, template_failure, template_names
from penstock.work.processors.results import failed, unsent, with_left_out
from penstock.work.processors.tokens import estimate
from penstock.work.processors.transport import Response, Transport, classify
from penstock.work.types import CallResult, Cost, Failure, WorkItem

WHERE = "spec.processor.http"

_WITHOUT_BODY = {"GET", "DELETE"}


@dataclass(frozen=True, slots=True)
class _Request:
    url: str
    headers: dict[str, str]
    body: bytes | None


class HttpProcessor(OneCall):
    """Requests built from templates. InputError when the manifest makes no sense.

    Where several items may share a call, or itemsBody is given, every request carries a list and
    every answer is one, even for a single item: it is that sort of endpoint.
    """

    def __init__(
        self, job: BatchJob, http: Spec, transport: Transport, api_key: str | None
    ) -> None:
        self.max_items = item_limit(job.spec)
        self._result_set = job.result_set
        self._transport = transport
        self._method = http.method
        self._several = self.max_items > 1 or http.items_body is not None
        self._url = Template(http.url, f"{WHERE}.url")
        self._headers = {
            name: Template(value, f"{WHERE}.headers.{name}") for name, value in http.headers.items()
        }
        self._api_key = api_key
        given = {name.lower(): value for name, value in http.headers.items()}
        self._json = "json" in given.get("content-type", "application/json").lower()
        self._authorized = "authorization" in given
        if self._several:
            self._body = _compile(http.items_body, f"{WHERE}.itemsBody")
        else:
            self._body = _compile(http.body, f"{WHERE}.body")
        self._answers = Answers(http.response_path, http.id_path, WHERE)
        self._check_names()

    def cost(self, items: Sequence[WorkItem]) -> Cost:
        """One request. Its tokens are those of the body, should the server count any."""
        try:
            body = self._build(items).body
        except TemplateError:
            body = None
        return Cost(tokens=estimate(body.decode("utf-8", "replace")) if body else 0)

    def preview(self, item: WorkItem) -> dict[str, Any]:
        """The request for this item alone, secrets masked. Raises TemplateError."""
        request = self._build([item])
        shown: dict[str, Any] = {
            "method": self._method,
            "url": mask(request.url, self._transport.secrets),
            "headers": {
                name: "***" if is_secret_header(name) else value
                for name, value in request.headers.items()
            },
        }
        if request.body is not None:
            text = request.body.decode("utf-8", "replace")
            shown["body"] = jsons.loads(text) if self._json else text
        return shown

    async def call(self, items: Sequence[WorkItem]) -> CallResult:
        """One call for all items that a request can be built for."""
        try:
            return await self._ask(items, self._build(items))
        except TemplateError as error:
            # One that lacks a field must not keep the others from going out.
            asked, _, left_out = render_each(lambda item: self._build([item]), items)
            if len(asked) == len(items):
                return unsent([template_failure(error)] * len(items))
        if not asked:
            return unsent(left_out)
        return with_left_out(left_out, await self.call(asked))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def _ask(self, items: Sequence[WorkItem], request: _Request) -> CallResult:
        headers = {HEADER: idempotency_key(self._result_set, items), **request.headers}
        response = await self._transport.send(self._method, request.url, headers, request.body)
        if isinstance(response, Failure):
            return failed(len(items), response, {})
        if not 200 <= response.status < 300:
            failure = classify(response, self._transport, models=False)
            return failed(len(items), failure, response.headers)
        return self._read(items, response)

    def _read(self, items: Sequence[WorkItem], response: Response) -> CallResult:
        if self._several:
            ids = [item.item_id for item in items]
            found = self._answers.of_several(response, ids)
        else:
            one = self._answers.of_one(response)
            found = one if isinstance(one, Failure) else [one]
        if isinstance(found, Failure):
            return failed(len(items), found, response.headers)
        return CallResult(found, headers=response.headers)

    def _build(self, items: Sequence[WorkItem]) -> _Request:
        """The request for these items. TemplateError when it cannot be built for all of them."""
        names = self._names(items)
        headers = {name: template.render(**names) for name, template in self._headers.items()}
        for name, value in headers.items():
            if not value.isprintable():
                raise TemplateError(
                    f"{WHERE}.headers.{name}: more than one line of text",
                    "header with control characters",
                )
        body = self._render_body(items, names) if self._method not in _WITHOUT_BODY else None
        if body is not None and self._json:
            headers = {"Content-Type": "application/json", **headers}
        if self._api_key is not None and not self._authorized:
            headers["Authorization"] = f"Bearer {self._api_key}"
        return _Request(self._url.render(**names).strip(), headers, body)

    def _names(self, items: Sequence[WorkItem]) -> dict[str, Any]:
        if self._several:
            return {"items": [item.item for item in items]}
        return template_names(items[0])

    def _render_body(self, items: Sequence[WorkItem], names: dict[str, Any]) -> bytes:
        try:
            if self._body is None:
                value = names["items"] if self._several else items[0].item
                return jsons.dumps(value).encode()
            value = self._body.render(**names)
            if isinstance(self._body, Template):
                # A text is JSON as it stands, unless another type of content is declared.
                return value.encode() if not self._json else _checked(value)
            return jsons.dumps(value).encode()
        except (ValueError, RecursionError) as error:
            raise TemplateError(f"{WHERE}.body: {error}", "body is not JSON") from None

    def _check_names(self) -> None:
        """Where a request carries several items, its address and headers are of none of them."""
        if not self._several:
            return
        templates = {f"{WHERE}.url": self._url}
        templates |= {f"{WHERE}.headers.{name}": one for name, one in self._headers.items()}
        for where, template in templates.items():
            single = sorted(template.names & {"item", "id", "position"})
            if single:
                message = f"{single[0]!r} is of one item, but requests carry several; use items"
                raise InputError.at(where, message)


def _compile(value: Any, where: str) -> Template | JsonTemplate | None:
    if value is None:
        return None
    return Template(value, where) if isinstance(value, str) else JsonTemplate(value, where)


def _checked(text: str) -> bytes:
    """A text that is JSON, as bytes. ValueError when it is not."""
    jsons.loads(text)
    return text.encode()


def secret_headers(http: Spec) -> list[str]:
    """Values of headers that by their name may be secret, as far as the manifest holds them."""
    return [
        value
        for name, value in http.headers.items()
        if is_secret_header(name) and "{{" not in value
    ]
