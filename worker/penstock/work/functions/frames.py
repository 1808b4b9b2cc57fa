"""A traceback as far as it is the user's: the lines of their own modules, the innermost last."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
from collections.abc import Iterable, Sequence
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
    theirs = [one for one in frames if is_theirs(one[0], roots)]
    lines = [_line(code, number, roots) for code, number in (theirs or frames[-1:])[-MOST:]]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append(f"{short(error.filename, roots)}:{error.lineno}: {(error.text or '').strip()}")
    return "\n".join(lines)


def is_theirs(code: CodeType, roots: Sequence[str]) -> bool:
    """Whether this is the user's code: not Python's, not Penstock's, not that of a package which is
    installed, but for the one that their function comes from."""
    path = code.co_filename
    if path.startswith("<"):
        return False
    # The longest counts: an environment may lie in their folder, their package in an environment.
    return _longest(path, roots) > _longest(path, _NOT_THEIRS) or not _longest(path, _NOT_THEIRS)


def _longest(path: str, folders: Iterable[str]) -> int:
    within = (one for one in folders if path == one or path.startswith(one + os.sep))
    return max(map(len, within), default=0)


def place(code: CodeType, line: int, roots: Sequence[str]) -> str:
    """Where that is: `parse (convert.py:12)`."""
    return f"{code.co_name} ({short(code.co_filename, roots)}:{line})"


def short(path: str, roots: Sequence[str]) -> str:
    """A path as the user knows it."""
    within = [root for root in roots if path == root or path.startswith(root + os.sep)]
    if not within:
        return path
    root = max(within, key=len)
    # The folder that they work in goes without saying, the name of a package does not.
    return os.path.relpath(path, root if root in sys.path else Path(root).parent)


def _line(code: CodeType, number: int, roots: Sequence[str]) -> str:
    text = linecache.getline(code.co_filename, number).strip()[:_LONGEST_LINE]
    where = f"{short(code.co_filename, roots)}:{number} in {code.co_name}"
    return f"{where}: {text}" if text else where
