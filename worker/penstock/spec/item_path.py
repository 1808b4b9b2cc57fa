"""`spec.output.perItem`: the path of the file that one item's result goes to.

A path stays below the folder (or the prefix) that the output names, and no two items have the same:
what an item brings along never decides that something else is replaced. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any

from penstock.errors import Mistake
from penstock.spec.template import Template, TemplateError

FIELD = "spec.output.perItem"
_VARYING = frozenset({"id", "item", "position", "output"})


class BadPath(ValueError):
    """An item's result cannot be written to the path that the template gives."""


class ItemPaths:
    """Renders the path of each item, and sees to it that there is one file for each.

    template: of the path. is_input: whether a path is one that items are read from. Holds some 200
    bytes an item.
    """

    def __init__(self, template: str, is_input: Callable[[str], bool] | None = None) -> None:
        self._template = Template(template, FIELD)
        self._is_input = is_input
        self._seen: dict[bytes, int] = {}

    @property
    def needs_output(self) -> bool:
        """Whether paths are known only when there are results."""
        return "output" in self._template.names

    def path(self, **names: Any) -> str:
        """The path for these names: parts with single slashes between them. Raises BadPath."""
        try:
            text = self._template.render(**names)
        except TemplateError as error:
            raise BadPath(str(error).removeprefix(f"{FIELD}: ")) from error
        problem = path_problem(text)
        if problem:
            raise BadPath(f"{text!r} {problem}")
        return "/".join(part for part in text.split("/") if part not in ("", "."))

    def claim(self, path: str, position: int) -> None:
        """Take a path for the item at this position. Raises BadPath: it is taken, or an input."""
        if self._is_input is not None and self._is_input(path):
            raise BadPath(f"{path!r} is, or would be, one of the input's files")
        digest = blake2b(path.encode(), digest_size=16).digest()
        other = self._seen.setdefault(digest, position)
        if other != position:
            raise BadPath(f"{path!r} is that of the item at position {other}, too")


def path_problem(text: str) -> str:
    """Why this is no path below the folder; empty when it is one."""
    parts = text.split("/")
    if not text.strip():
        return "is an empty path"
    if text.startswith("/"):
        return "begins at the root, not in the folder of the output"
    if ".." in parts:
        return "leaves the folder of the output (`..`)"
    if parts[-1] in ("", "."):
        return "is the path of a folder, not of a file"
    if "\0" in text:
        return "has a NUL character in it"
    return ""


def item_path_mistakes(template: str) -> Iterator[Mistake]:
    """What is wrong with a template whatever the items are."""
    compiled = Template(template, FIELD)
    if not compiled.names & _VARYING:
        message = "every item would be written to one file: use `{{ id }}` in it, say"
        yield Mistake(FIELD, path_problem(template) or message)
    elif template.startswith("/"):
        message = "wanted a path below a folder; name the folder in spec.output.file.path"
        yield Mistake(FIELD, message)
    elif ".." in template.split("/"):
        yield Mistake(FIELD, "leaves the folder of the output (`..`); file.path names a folder")
