"""Whether an item has to be done again: the fingerprint of its content and of what is done.

Only what changes the answer takes part. Where the server is, how it is authenticated to and how
patient Penstock is do not: moving a job to a proxy must not run ten million items again. Nor does
the number of items that share a call.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from penstock import jsons
from penstock.secrets import is_secret_header
from penstock.spec.processor import Processor

_SIZE = 16
_VERSION = b"penstock/1:"
_WITHOUT = {
    "openai": {"baseURL", "apiKey"},
    "ollama": {"baseURL", "keepAlive"},
    "http": {"apiKey"},
    "python": {"mode", "codeFrom", "memoryLimit"},
}
_SERVER = re.compile(r"^\w+://[^/?#]*")


def processor_digest(processor: Processor) -> bytes:
    """16 bytes that change exactly when something in the processor that shapes answers does.

    The order of keys does not matter, nor whether a default is written out.
    """
    return _digest(_VERSION + jsons.canonical(_essence(processor)))


def fingerprint(digest: bytes, content: bytes) -> bytes:
    """16 bytes for one item: the processor's digest with the digest of the item's content."""
    return _digest(digest + content)


def _essence(processor: Processor) -> dict[str, Any]:
    if processor.stages is not None:
        return {"stages": [_essence(stage.processor) for stage in processor.stages]}
    # Defaults are left out so that a field that is added later does not change old digests.
    given = processor.model_dump(by_alias=True, exclude_defaults=True)
    essence = {
        kind: {name: value for name, value in fields.items() if name not in _WITHOUT[kind]}
        for kind, fields in given.items()
    }
    http = essence.get("http")
    if http is not None:
        http["url"] = _SERVER.sub("", http["url"]).rstrip("/")
        http["headers"] = {
            name.lower(): value
            for name, value in http.get("headers", {}).items()
            if not is_secret_header(name)
        }
    return essence


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_SIZE).digest()
