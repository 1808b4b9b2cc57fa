"""Patterns of paths, such as `docs/**/*.pdf`: one rule for folders and for object stores. Pure.

`*`, `?` and `[…]` stay within one part of a path, `**` crosses folders. Parts that begin with a dot
are hidden: only a pattern whose own part begins with one finds them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from penstock.spec.source import has_wildcard

_ANY_FOLDERS = "**"


@dataclass(frozen=True)
class Pattern:
    """folder: the part without wildcards, "" for the top; what is found lies below it.
    parts: what each part of the path below it has to look like."""

    folder: str
    parts: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Pattern:
        """Of a text with `/` between parts. A `**` at the end means all files below. Raises
        ValueError for a range that is none, such as `[z-a]`."""
        parts = text.split("/")
        wild = next((n for n, part in enumerate(parts) if has_wildcard(part)), len(parts) - 1)
        below = [part for part in parts[wild:] if part]
        if not below or below[-1] == _ANY_FOLDERS:
            below.append("*")
        pattern = cls("/".join(parts[:wild]) + "/" if wild else "", tuple(below))
        try:
            pattern.matches("")
        except re.error as error:
            raise ValueError(f"{text!r} is not a usable pattern: {error.msg}") from error
        return pattern

    @classmethod
    def below(cls, folder: str) -> Pattern:
        """Every file below a folder."""
        return cls(folder.rstrip("/") + "/" if folder else "", (_ANY_FOLDERS, "*"))

    def matches(self, path: str) -> bool:
        """Whether a path, given from the folder on, is meant."""
        return self._whole.fullmatch(path) is not None

    def leads_on(self, folder: tuple[str, ...]) -> bool:
        """Whether there can be matches below this folder, given as parts from `folder` on."""
        for part, wanted in zip(folder, self.parts, strict=False):
            if wanted == _ANY_FOLDERS:
                return True
            if not re.fullmatch(_part(wanted), part):
                return False
        return len(folder) < len(self.parts)

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        *folders, last = self.parts
        text = ""
        for part in folders:
            text += r"(?:(?!\.)[^/]+/)*" if part == _ANY_FOLDERS else _part(part) + "/"
        return re.compile(text + _part(last), re.DOTALL)


def _part(wanted: str) -> str:
    """The expression for one part of a path."""
    text, at = "" if wanted.startswith(".") else r"(?!\.)", 0
    while at < len(wanted):
        sign = wanted[at]
        at += 1
        end = wanted.find("]", at + (wanted[at : at + 1] == "!") + 1) if sign == "[" else -1
        if end > 0:
            inside = wanted[at:end].replace("\\", r"\\")
            negated = inside.startswith("!")
            inside = re.sub(r"([\[&~|^])", r"\\\1", inside.removeprefix("!"))
            text += f"[^/{inside}]" if negated else f"(?!/)[{inside}]"
            at = end + 1
        else:
            text += {"*": "[^/]*", "?": "[^/]"}.get(sign) or re.escape(sign)
    return text
