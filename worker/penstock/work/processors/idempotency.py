"""The `Idempotency-Key` of a call, by which a server that honours it does the work only once."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Sequence
from urllib.parse import quote

from penstock.work.types import WorkItem

HEADER = "Idempotency-Key"
MAX_LENGTH = 255

_SAFE = "".join(set(string.punctuation) - set("%/"))


def idempotency_key(result_set: str, items: Sequence[WorkItem], stage: str | None = None) -> str:
    """The same text for the same call, at most 255 visible ASCII characters.

    For one item `resultSet/id/fingerprint`, with the stage's name after the result set where there
    are stages; a hash where that is too long, and for several items.
    """
    keys = [_one(result_set, item, stage) for item in items]
    if len(keys) == 1 and len(keys[0]) <= MAX_LENGTH:
        return keys[0]
    return hashlib.blake2b("\n".join(keys).encode(), digest_size=32).hexdigest()


def _one(result_set: str, item: WorkItem, stage: str | None) -> str:
    names = (result_set, item.item_id) if stage is None else (result_set, stage, item.item_id)
    encoded = (quote(name, safe=_SAFE, errors="surrogatepass") for name in names)
    return "/".join((*encoded, item.fingerprint.hex()))
