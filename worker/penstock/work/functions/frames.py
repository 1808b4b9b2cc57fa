"""A traceback as far as it is the user's: the lines of their own modules, the innermost last."""

from __future__ import annotations

import linecache
import os
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import CodeType

MOST = 6
"""Frames that are told; of deeper ones the innermost."""
_LONGEST_LINE = 120
_OWN = str(Path(__file__).parents[2])
_NOT_THEIRS = (
    _OWN,
    *(path for name, path in sysconfig.get_paths().items() if name.endswith(("lib", "stdlib"))),
)


def told(error: BaseException, roots: Sequence[str]) -> str:
    """One line a frame, `convert.py:12 in parse: return float(text)`; empty when none is known."""
    frames = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        frames.append((code, step.tb_lineno))
        step = step.tb_next
    theirs = [one for one in frames if is_theirs(one[0])]
    lines = [_line(code, number, roots) for code, number in (theirs or frames[-1:])[-MOST:]]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append(f"{short(error.filename, roots)}:{error.lineno}: {(error.text or '').strip()}")
    return "\n".join(lines)


def is_theirs(code: CodeType) -> bool:
    """Whether this is the user's code: not Python's, not Penstock's, not an installed package's."""
    path = code.co_filename
    return not path.startswith(("<frozen", *_NOT_THEIRS))


def place(code: CodeType, line: int, roots: Sequence[str]) -> str:
    """Where that is: `parse (convert.py:12)`."""
    return f"{code.co_name} ({short(code.co_filename, roots)}:{line})"


def short(path: str, roots: Sequence[str]) -> str:
    """A path as the user knows it."""
    for root in roots:
        if path.startswith(root + os.sep):
            return path[len(root) + 1 :]
    return path


def _line(code: CodeType, number: int, roots: Sequence[str]) -> str:
    text = linecache.getline(code.co_filename, number).strip()[:_LONGEST_LINE]
    where = f"{short(code.co_filename, roots)}:{number} in {code.co_name}"
    return f"{where}: {text}" if text else where
