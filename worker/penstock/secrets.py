"""What counts as secret, and how it is hidden: one place for requests, messages, logs and screens.

Two ways to know a secret: by its form (`mask`), and by the name it goes by (a header, a variable).
Pure.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping

HIDDEN = "***"

_FORMS = (
    (re.compile(r"\b(?:sk|pk|rk)-[\w*.-]{4,}"), HIDDEN),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {HIDDEN}"),
    # user:password@ of an address; the user alone may stand there.
    (re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@]*):[^\s/]+@(?=[^\s@/])"), rf"\1:{HIDDEN}@"),
    # `sig` signs addresses of Azure.
    (re.compile(r"(?i)([?&](?:sig|[\w-]*(?:key|token|secret|signature|password))=)[^&\s\"']+"),
     rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(password|api[-_]?key)(\s?=\s?|['\"]: ?['\"])[^\s'\",;&]+"),
     rf"\1\2{HIDDEN}"),
)  # fmt: skip
_HEADER = re.compile(r"(?i)auth|cookie|key|password|secret|session|token")
_VARIABLE = re.compile(
    r"(?i)(api_?key|token|secret|password|passwd|access_?key|account_?key)$|^PENSTOCK_SECRET_"
)
_SHORTEST = 4
"""Shorter ones (`x`, for a server that takes any key) are words of any message."""
_SHORTEST_VARIABLE = 6
"""Of variables only the name is known: hiding every `1` or `true` would make a log unreadable."""


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without these secrets, nor anything that has the form of a key or a password."""
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, HIDDEN)
    for form, instead in _FORMS:
        text = form.sub(instead, text)
    return text


def masker(environ: Mapping[str, str]) -> Callable[[str], str]:
    """`mask` that also hides the values of environment variables named like keys."""
    values = {
        value
        for name, value in environ.items()
        if _VARIABLE.search(name) and len(value) >= _SHORTEST_VARIABLE
    }
    known = sorted(values, key=len, reverse=True)  # one may be the beginning of another
    return lambda text: mask(text, known)


def is_secret_header(name: str) -> bool:
    """Whether a header of this name is likely to carry a secret."""
    return _HEADER.search(name) is not None


class MaskingFormatter(logging.Formatter):
    """Formats a record, exception and all, and hides secrets in the result."""

    def __init__(self, line: str, mask: Callable[[str], str]) -> None:
        super().__init__(line)
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """One record as text, without secrets."""
        return self._mask(super().format(record))
