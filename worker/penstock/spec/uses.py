"""Every template and expression of a job, each with its place and the names it may use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from penstock.errors import InputError, Mistake
from penstock.spec.job import BatchJob
from penstock.spec.processor import HttpProcessor, Message
from penstock.spec.suggest import did_you_mean
from penstock.spec.template import Expression, JsonTemplate, Template

_ITEM = frozenset({"item"})
_SINGLE = frozenset({"item", "id", "position"})
_RESULT = frozenset({"item", "id", "position", "output"})
_SEVERAL = frozenset({"items"})


@dataclass(frozen=True, slots=True)
class Use:
    """A place in the manifest where something is rendered for items.

    names: what it may use. expression: it is one expression rather than a template.
    """

    where: str
    value: Any
    names: frozenset[str]
    expression: bool = False

    def parts(self) -> list[Template | Expression]:
        """What it consists of, compiled. Raises InputError."""
        if self.expression:
            return [Expression(self.value, self.where)]
        if isinstance(self.value, str):
            return [Template(self.value, self.where)]
        return JsonTemplate(self.value, self.where).parts


def uses(job: BatchJob) -> Iterator[Use]:
    """All of them, in the order of the manifest."""
    source, processor = job.spec.source, job.spec.processor
    if source.where is not None:
        yield Use("spec.source.where", source.where, _ITEM, expression=True)
    for kind in ("openai", "ollama"):
        called = getattr(processor, kind)
        if called is not None:
            where = f"spec.processor.{kind}"
            yield from _messages(called.messages, where)
            if called.input is not None:
                yield Use(f"{where}.input", called.input, _SINGLE)
    if processor.http is not None:
        yield from _http(processor.http, job.spec.batching.max_items_per_request)
    output = job.spec.output
    if output is not None and output.per_item is not None:
        yield Use("spec.output.perItem", output.per_item, _RESULT)


def template_mistakes(job: BatchJob) -> Iterator[Mistake]:
    """What does not parse, and names that mean nothing in their place."""
    for use in uses(job):
        try:
            parts = use.parts()
        except InputError as error:
            yield from error.mistakes
            continue
        for part in parts:
            for name in sorted(part.names - use.names):
                allowed = sorted(use.names)
                hint = did_you_mean(name, allowed) or f"; there is: {', '.join(allowed)}"
                yield Mistake(part.where, f"{name!r} is not known here{hint}")


def _messages(messages: list[Message] | None, where: str) -> Iterator[Use]:
    for index, message in enumerate(messages or []):
        yield Use(f"{where}.messages[{index}].content", message.content, _SINGLE)


def _http(http: HttpProcessor, max_items: int) -> Iterator[Use]:
    where = "spec.processor.http"
    # The address and the headers of a call that carries several items belong to none of them.
    call = _SEVERAL if max_items > 1 or http.items_body is not None else _SINGLE
    yield Use(f"{where}.url", http.url, call)
    for name, value in http.headers.items():
        yield Use(f"{where}.headers.{name}", value, call)
    if http.body is not None:
        yield Use(f"{where}.body", http.body, _SINGLE)
    if http.items_body is not None:
        yield Use(f"{where}.itemsBody", http.items_body, _SEVERAL)
