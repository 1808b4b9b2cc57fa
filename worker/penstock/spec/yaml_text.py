"""From YAML text to plain JSON values, with the line of everything in it.

YAML can say more than JSON, and says some things other than it looks. What a manifest cannot mean
is refused here (two documents, a key twice, an alias that holds itself, a key that is no text,
infinity), so that everything behind this module deals with JSON alone.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import yaml

from penstock.errors import InputError, Mistake

_MAX_DEPTH = 100
_MAX_NODES = 5_000_000
_IMPOSSIBLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML allows nowhere: control characters and halves of pairs."""
_TWO_ESCAPES = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE
)
"""Halves of a pair, as JSON writes them, after backslashes that stand for themselves."""
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")

_Base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc, valid-type]
    """Safe loader that leaves dates as the text they are, as Kubernetes does."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {  # noqa: RUF012
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rsplit(":", 1)[-1] not in {"binary", "omap", "pairs", "set"}
    }


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML document: its value, the file it is called by, and where in it everything stands."""

    value: Any
    label: str
    _root: yaml.Node

    def place(self, path: str) -> str:
        """`job.yaml:12 spec.limit`: the line of a path like `spec.messages[0].content`.

        The line is that of the deepest part of the path that is there.
        """
        return f"{self.label}:{self.line(path)} {path}".rstrip()

    def line(self, path: str) -> int:
        """The line, counted from 1, of the deepest part of the path that is there."""
        return self._find(path)[0] + 1

    def has(self, path: str) -> bool:
        """Whether the whole path is there."""
        return self._find(path)[1]

    def _find(self, path: str) -> tuple[int, bool]:
        node, line = self._root, int(self._root.start_mark.line)
        for index, key in _STEP.findall(path):
            found = _element(node, int(index)) if index else _member(node, key)
            if found is None:
                return line, False
            line, node = found
        return line, True


def read(text: str, label: str) -> Document:
    """The one document in this text. Raises InputError with the line of every mistake."""
    impossible = _IMPOSSIBLE.search(text)
    if impossible:
        line = text.count("\n", 0, impossible.start()) + 1
        message = f"not YAML: the character U+{ord(impossible[0]):04X} cannot stand in it"
        raise InputError.at(f"{label}:{line}", message)
    try:
        return _read(_json_as_yaml(text), label)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, label) from None
    except InputError:
        raise
    except Exception as error:
        # The loader lets through whatever Python says to a value that its tag does not fit.
        raise InputError.at(label, f"not YAML that can be read: {type(error).__name__}") from None


def _json_as_yaml(text: str) -> str:
    """YAML takes JSON but for one thing, characters past U+FFFF as two escapes: one in their place.
    In YAML that is no JSON the same signs may mean themselves."""
    if not text.lstrip().startswith("{") or not _TWO_ESCAPES.search(text):
        return text
    try:
        json.loads(text)
    except ValueError:
        return text
    return _TWO_ESCAPES.sub(_one_escape, text)


def _one_escape(found: re.Match[str]) -> str:
    high, low = int(found[2], 16), int(found[3], 16)
    return f"{found[1]}\\U{0x10000 + (high - 0xD800) * 0x400 + low - 0xDC00:08x}"


def _read(text: str, label: str) -> Document:
    loader = _Loader(text)
    try:
        if not loader.check_node():
            raise InputError.at(label, "the file is empty; write a BatchJob into it")
        root = loader.get_node()
        if loader.check_node():
            line = loader.get_node().start_mark.line + 1
            raise InputError.at(f"{label}:{line}", "a second document; one BatchJob a file")
        mistakes: list[Mistake] = []
        _check_nodes(root, label, mistakes)
        if mistakes:
            raise InputError(mistakes)
        return Document(loader.construct_document(root), label, root)
    finally:
        loader.dispose()


def _syntax_error(error: yaml.MarkedYAMLError, text: str, label: str) -> InputError:
    mark = error.problem_mark or error.context_mark
    place = f"{label}:{mark.line + 1}" if mark else label
    problem = str(error.problem or error.context)
    hint = ""
    if "cannot start any token" in problem:
        line = text.splitlines()[mark.line] if mark else ""
        hint = "; put the text in quotes" if "\t" not in line else "; indent with blanks, not tabs"
    elif "determine a constructor" in problem:
        hint = "; a manifest holds JSON values only"
    elif "mapping values are not allowed" in problem:
        hint = "; is a text with ': ' in it without quotes, or a line not indented as it should be?"
    elif "expected <block end>" in problem or "could not find expected ':'" in problem:
        hint = "; look at the indentation, and for a missing colon, in the lines before"
    return InputError.at(place, f"not YAML: {problem}{hint}")


def _check_nodes(root: yaml.Node, label: str, mistakes: list[Mistake]) -> None:
    """Everything that YAML allows and a manifest does not. Each node is looked at once."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def refuse(node: yaml.Node, message: str) -> None:
        mistakes.append(Mistake(f"{label}:{node.start_mark.line + 1}", message))

    def visit(node: yaml.Node, depth: int) -> int:
        if id(node) in open_nodes:
            raise InputError.at(f"{label}:{node.start_mark.line + 1}", "an alias that holds itself")
        if id(node) in sizes:
            return sizes[id(node)]
        if depth > _MAX_DEPTH:
            line = node.start_mark.line + 1
            raise InputError.at(f"{label}:{line}", f"nested more than {_MAX_DEPTH} levels deep")
        open_nodes.add(id(node))
        size = 1
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                _check_key(key, seen, refuse)
                size += visit(value, depth + 1)
        elif isinstance(node, yaml.SequenceNode):
            size += sum(visit(element, depth + 1) for element in node.value)
        elif node.tag.endswith(":float") and not _is_finite(node.value):
            refuse(node, f"{node.value} is no number in JSON")
        open_nodes.discard(id(node))
        sizes[id(node)] = size
        if size > _MAX_NODES:
            raise InputError.at(label, "more than five million values; put them into a file")
        return size

    visit(root, 0)


def _check_key(key: yaml.Node, seen: dict[str, int], refuse: Any) -> None:
    if not isinstance(key, yaml.ScalarNode):
        refuse(key, "a key has to be text")
    elif key.tag.endswith(":merge"):
        pass
    elif not key.tag.endswith(":str"):
        kind = key.tag.rsplit(":", 1)[-1]
        refuse(key, f"the key {key.value} is read as {kind} by YAML; put it in quotes")
    elif key.value in seen:
        refuse(key, f"the key {key.value!r} stands here twice; first in line {seen[key.value]}")
    else:
        seen[key.value] = key.start_mark.line + 1


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text.replace("_", "")))
    except ValueError:  # .inf, .nan, or one of YAML's base-60 numbers
        return ":" in text


def _element(node: yaml.Node, index: int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and index < len(node.value):
        element = node.value[index]
        return element.start_mark.line, element
    return None


def _member(node: yaml.Node, name: str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == name:
                return key.start_mark.line, value
    return None
