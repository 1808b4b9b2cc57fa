"""Did-you-mean: the nearest known name to one that was misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `name` was most likely meant to be, None when none is close."""
    known = list(candidates)
    by_plain = {_plain(candidate): candidate for candidate in known}
    plain = _plain(name)
    if plain in by_plain:
        return by_plain[plain]
    close = difflib.get_close_matches(plain, by_plain, n=3, cutoff=0.6)
    # The same letters in another order are the likeliest slip of all.
    close.sort(key=lambda candidate: sorted(candidate) != sorted(plain))
    return by_plain[close[0]] if close else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing: to be put at the end of a message."""
    found = nearest(name, candidates)
    return f"; did you mean {found!r}?" if found else ""


def _plain(name: str) -> str:
    """Lower case without `-`, `_` and blanks: spellings of one name come out the same."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")
