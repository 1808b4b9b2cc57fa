"""Processor for embeddings: texts in, lists of numbers out, several items a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from penstock.work import failures
from penstock.work.processors.one_call import OneCall
from penstock.work.processors.prompts import Text, render_each
from penstock.work.processors.results import failed, unsent, with_left_out
from penstock.work.processors.server import ModelServer
from penstock.work.processors.tokens import estimate
from penstock.work.types import CallResult, Cost, Failure, Output, Usage, WorkItem


class Dialect(Protocol):
    """How one API wants its requests and gives its answers."""

    def request(self, texts: Sequence[str]) -> dict[str, Any]:
        """The body for these texts."""
        ...

    def vectors(self, body: dict[str, Any], count: int) -> list[Any]:
        """The vectors in the order of the texts, None where one is missing. ValueError when the
        answer is not of this API."""
        ...

    def usage(self, body: dict[str, Any]) -> Usage:
        """Tokens of the call."""
        ...


class Embeddings(OneCall):
    """Texts in, vectors out."""

    def __init__(self, server: ModelServer, dialect: Dialect, text: Text, max_items: int) -> None:
        self.max_items = max_items
        self._server, self._dialect, self._text = server, dialect, text

    def cost(self, items: Sequence[WorkItem]) -> Cost:
        """One request; the tokens of the texts."""
        _, texts, _ = render_each(self._text.render, items)
        return Cost(tokens=sum(map(estimate, texts)))

    def preview(self, item: WorkItem) -> dict[str, Any]:
        """The request for this item alone. Raises TemplateError."""
        return self._server.preview(self._dialect.request([self._text.render(item)]))

    async def call(self, items: Sequence[WorkItem]) -> CallResult:
        """One call for all items that can be rendered."""
        asked, texts, left_out = render_each(self._text.render, items)
        if not asked:
            return unsent(left_out)
        result = await self._ask(asked, texts)
        return result if len(asked) == len(items) else with_left_out(left_out, result)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._server.aclose()

    async def _ask(self, items: Sequence[WorkItem], texts: Sequence[str]) -> CallResult:
        reply = await self._server.call(items, self._dialect.request(texts))
        if reply.failure is not None:
            return failed(len(items), reply.failure, reply.headers)
        usage = self._dialect.usage(reply.value)
        try:
            vectors = self._dialect.vectors(reply.value, len(texts))
        except ValueError as error:
            failure = self._server.invalid(failures.UNEXPECTED, str(error))
            return failed(len(items), failure, reply.headers, usage)
        return CallResult([_output(vector) for vector in vectors], usage, reply.headers)


def _output(vector: Any) -> Output | Failure:
    if vector is None:
        return failures.invalid(failures.MISSING)
    if isinstance(vector, list) and vector and isinstance(vector[0], int | float):
        return Output(vector)
    return failures.invalid(failures.UNEXPECTED, "the embedding is not a list of numbers")
