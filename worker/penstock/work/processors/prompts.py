"""What is said to a model about an item: the manifest's `messages` or `input`, rendered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from penstock.errors import InputError
from penstock.spec.processor import Message
from penstock.spec.template import Template, TemplateError
from penstock.work.failures import clean
from penstock.work.types import Failure, FailureKind, WorkItem

T = TypeVar("T")

Rendered = list[dict[str, Any]]
"""Messages as they go out: `{"role": …, "content": text or parts}`."""


class Prompt:
    """The templates of one processor, compiled. InputError when there are none or one is wrong."""

    def __init__(self, messages: Sequence[Message] | None, input: str | None, where: str) -> None:
        if messages:
            self._messages = [
                (message.role, _compile(message.content, f"{where}.messages[{index}].content"))
                for index, message in enumerate(messages)
            ]
        elif input is not None:
            self._messages = [("user", _compile(input, f"{where}.input"))]
        else:
            raise InputError.at(where, "give messages or input: what is to be said about an item")

    def render(self, item: WorkItem) -> Rendered:
        """The messages for an item. TemplateError when it lacks what a template names."""
        names = template_names(item)
        return [{"role": role, "content": make(names)} for role, make in self._messages]


class Text:
    """A single template that gives a text: what is embedded."""

    def __init__(self, input: str | None, where: str) -> None:
        if input is None:
            raise InputError.at(where, "give input: the text to embed, `{{ item.title }}` say")
        self._template = Template(input, f"{where}.input")

    def render(self, item: WorkItem) -> str:
        """The text for an item. TemplateError when it lacks what the template names."""
        return self._template.render(**template_names(item))


def template_names(item: WorkItem) -> dict[str, Any]:
    """What a template about one item may use."""
    return {"item": item.item, "id": item.item_id, "position": item.position}


def render_each(
    render: Callable[[WorkItem], T], items: Sequence[WorkItem]
) -> tuple[list[WorkItem], list[T], list[Failure | None]]:
    """Render every item: those that can be, what came of them, and for each of all the items
    the TEMPLATE failure that keeps it out of the call, or None."""
    asked, rendered = [], []
    left_out: list[Failure | None] = []
    for item in items:
        try:
            rendered.append(render(item))
            asked.append(item)
            left_out.append(None)
        except TemplateError as error:
            left_out.append(template_failure(error))
    return asked, rendered, left_out


def template_failure(error: TemplateError) -> Failure:
    """The failure of an item that a template cannot be rendered for."""
    return Failure(FailureKind.TEMPLATE, f"template: {error.reason}", clean(str(error)))


def _compile(value: Any, where: str) -> Callable[[Mapping[str, Any]], Any]:
    """Parts of a message are objects: every string anywhere in them is a template of a text."""
    if isinstance(value, str):
        template = Template(value, where)
        return lambda names: template.render(**names)
    if isinstance(value, dict):
        members = {key: _compile(one, f"{where}.{key}") for key, one in value.items()}
        return lambda names: {key: make(names) for key, make in members.items()}
    if isinstance(value, list):
        parts = [_compile(one, f"{where}[{index}]") for index, one in enumerate(value)]
        return lambda names: [make(names) for make in parts]
    return lambda _: value
