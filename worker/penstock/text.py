"""Text that any place can hold: what servers and files say may contain anything."""

from __future__ import annotations

import re

_UNFIT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def storable(text: str) -> str:
    """The text with � for what PostgreSQL (NUL), UTF-8 (half characters) or a terminal (control
    characters) cannot take. Blanks and line ends stay."""
    return _UNFIT.sub("\ufffd", text)
