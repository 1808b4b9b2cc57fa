"""Processor for everything that answers messages with a text: OpenAI's two APIs and Ollama's chat.

What differs between them is a `Dialect`. One item is asked for as the manifest says; several in
one call are listed (`listing.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from penstock.work import failures
from penstock.work.processors import listing
from penstock.work.processors.formats import Format, parse_json
from penstock.work.processors.one_call import OneCall
from penstock.work.processors.prompts import Prompt, Rendered, render_each
from penstock.work.processors.results import failed, unsent, with_left_out
from penstock.work.processors.server import ModelServer
from penstock.work.processors.tokens import estimate_messages, reserved_output
from penstock.work.types import CallResult, Cost, Failure, Output, Usage, WorkItem


@dataclass(frozen=True, slots=True)
class Said:
    """What the model said. cut_off: it was stopped by its token limit."""

    text: str
    cut_off: bool = False


class Dialect(Protocol):
    """How one API wants its requests and gives its answers."""

    def request(self, messages: Rendered, form: Format, schema: dict[str, Any] | None) -> Any:
        """The body. schema: what the answer as a whole must fit, in place of the format's own."""
        ...

    def said(self, body: dict[str, Any]) -> Said | Failure:
        """The text in a good answer, or why there is none."""
        ...

    def usage(self, body: dict[str, Any]) -> Usage:
        """Tokens of the call."""
        ...


class Completions(OneCall):
    """Messages in, text or checked JSON out."""

    def __init__(
        self,
        server: ModelServer,
        dialect: Dialect,
        prompt: Prompt,
        form: Format,
        parameters: dict[str, Any],
        max_items: int,
    ) -> None:
        self.max_items = max_items
        self._server, self._dialect = server, dialect
        self._prompt, self._form = prompt, form
        self._reserved = reserved_output(parameters)

    def cost(self, items: Sequence[WorkItem]) -> Cost:
        """One request; the tokens of the messages, and those the call may answer with."""
        asked, prompts, _ = render_each(self._prompt.render, items)
        if len(asked) > 1:
            names = listing.labels([item.item_id for item in asked])
            prompts = [listing.combine(prompts, names, self._form)]
        tokens = sum(estimate_messages(messages) for messages in prompts)
        return Cost(tokens=tokens + self._reserved)

    def preview(self, item: WorkItem) -> dict[str, Any]:
        """The request for this item alone. Raises TemplateError."""
        prompt = self._prompt.render(item)
        return self._server.preview(self._dialect.request(prompt, self._form, None))

    async def call(self, items: Sequence[WorkItem]) -> CallResult:
        """One call for all items that can be rendered."""
        asked, prompts, left_out = render_each(self._prompt.render, items)
        if not asked:
            return unsent(left_out)
        if len(asked) == 1:
            result = await self._ask_one(asked[0], prompts[0])
        else:
            result = await self._ask_all(asked, prompts)
        return result if len(asked) == len(items) else with_left_out(left_out, result)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._server.aclose()

    async def _ask_one(self, item: WorkItem, prompt: Rendered) -> CallResult:
        reply = await self._server.call([item], self._dialect.request(prompt, self._form, None))
        if reply.failure is not None:
            return failed(1, reply.failure, reply.headers)
        usage = self._dialect.usage(reply.value)
        said = self._said(reply.value, whole=self._form.kind != "text")
        result = said if isinstance(said, Failure) else self._form.parse(said.text)
        if isinstance(result, Failure):
            return failed(1, result, reply.headers, usage)
        return CallResult([result], usage, reply.headers)

    async def _ask_all(self, items: Sequence[WorkItem], prompts: Sequence[Rendered]) -> CallResult:
        names = listing.labels([item.item_id for item in items])
        messages = listing.combine(prompts, names, self._form)
        schema = listing.list_format(self._form, names)
        body = self._dialect.request(messages, self._form, schema)
        reply = await self._server.call(items, body)
        if reply.failure is not None:
            return failed(len(items), reply.failure, reply.headers)
        usage = self._dialect.usage(reply.value)
        results = self._take_apart(reply.value, names)
        if isinstance(results, Failure):
            return failed(len(items), results, reply.headers, usage)
        return CallResult(results, usage, reply.headers)

    def _take_apart(
        self, body: dict[str, Any], names: Sequence[str]
    ) -> list[Output | Failure] | Failure:
        said = self._said(body, whole=True)
        if isinstance(said, Failure):
            return said
        value = parse_json(said.text)
        if isinstance(value, Failure):
            return value
        return listing.take_apart(value.value, names, self._form.check)

    def _said(self, body: dict[str, Any], *, whole: bool) -> Said | Failure:
        """What was said. whole: half a sentence would do, but half a JSON value does not."""
        said = self._dialect.said(body)
        if isinstance(said, Said) and said.cut_off and (whole or not said.text):
            # The same limit would cut it off again.
            return failures.rejected(failures.CUT_OFF, failures.clean(said.text[:200]))
        return said
