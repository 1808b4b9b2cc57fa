"""`spec.output.perItem`: the path of the file that one item's result goes to.

A path stays below the folder (or the prefix) that the output names, and no two items have the same:
what an item brings along never decides that something else is replaced. Nor is one item's file the
folder of another's: `a` and `a/b` are keys of some object stores, but no files of one folder. Pure.
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

    template: of the path. problem: why nothing can be written at a path, empty when it can be.
    Holds some 200 bytes an item, and as much for each folder of theirs.
    """

    def __init__(self, template: str, problem: Callable[[str], str] | None = None) -> None:
        self._template = Template(template, FIELD)
        self._problem = problem
        self._seen: dict[bytes, int] = {}
        self._folders: set[bytes] = set()
        self._folder = ""

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
        """Take a path for the item at this position. Raises BadPath: it is taken, another's folder,
        below another's file, or nothing can be written there."""
        problem = self._problem(path) if self._problem is not None else ""
        if problem:
            raise BadPath(f"{path!r} {problem}")
        mark = _mark(path)
        other = self._seen.setdefault(mark, position)
        if other != position:
            raise BadPath(f"{path!r} is that of the item at position {other}, too")
        if mark in self._folders:
            raise BadPath(f"{path!r} is the folder of other items' files")
        folder = path.rpartition("/")[0]
        if folder != self._folder:  # most have that of the one before
            self._claim_folder(path, folder)
            self._folder = folder

    def _claim_folder(self, path: str, folder: str) -> None:
        while folder:
            mark = _mark(folder)
            other = self._seen.get(mark)
            if other is not None:
                raise BadPath(f"{path!r} is below the file of the item at position {other}")
            if mark in self._folders:
                return  # and so are those above it
            self._folders.add(mark)
            folder = folder.rpartition("/")[0]


def _mark(path: str) -> bytes:
    return blake2b(path.encode(), digest_size=16).digest()


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
    try:
        text.encode()
    except UnicodeEncodeError:
        return "has half a character (a lone surrogate) in it"
    return ""


def constant_folder(template: str) -> str:
    """The folder that is the same for all items; empty when there is none."""
    return template.partition("{")[0].rpartition("/")[0]


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
