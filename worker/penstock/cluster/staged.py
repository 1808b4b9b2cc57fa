"""What goes along with a job: a ConfigMap named after its content, and how the manifest refers to
it. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

LARGEST = 900 * 1024
"""Bytes. Kubernetes takes 1 MiB for all of a ConfigMap."""
MOST_READ = 64 * 1024 * 1024
"""Bytes of what will not get small enough by packing anyway."""
_LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class Staged:
    """What to make before the job is handed over. changes: fields of `spec` as they have to be
    then. told: what it holds, for people."""

    config_map: dict[str, Any]
    changes: dict[str, Any]
    told: str

    @property
    def name(self) -> str:
        """Of the ConfigMap."""
        return str(self.config_map["metadata"]["name"])


def config_map_of(
    job: str, component: Literal["source", "code"], content: Mapping[str, bytes]
) -> dict[str, Any]:
    """The ConfigMap that holds `content` by key; its name tells the content, which never
    changes."""
    digest = hashlib.sha256()
    for key, data in content.items():
        digest.update(f"{key}\0{len(data)}\0".encode() + data)
    texts = {key: text for key, data in content.items() if (text := _text(data)) is not None}
    rest = {
        key: base64.b64encode(data).decode() for key, data in content.items() if key not in texts
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{job}-{component}-{digest.hexdigest()[:10]}",
            "labels": {**labels(job), "app.kubernetes.io/component": component},
        },
        "immutable": True,
        **({"data": texts} if texts else {}),
        **({"binaryData": rest} if rest else {}),
    }


def labels(job: str) -> dict[str, str]:
    """What all that is staged for a job is found by. The operator watches other labels."""
    return {
        "app.kubernetes.io/name": "penstock",
        "app.kubernetes.io/part-of": job,
        "app.kubernetes.io/managed-by": "penstock-submit",
    }


def key_of(name: str) -> str:
    """A file name as Kubernetes takes it; its end, which tells the format, stays."""
    key = re.sub(r"[^-._a-zA-Z0-9]+", "-", name)[-_LONGEST_KEY:]
    return key if key.strip(".") else "data"


def keys_of(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A key of its own for each file name."""
    keys: dict[str, str] = {}
    seen = set(taken)
    for number, name in enumerate(names):
        key = key_of(name)
        if key in seen:
            key = f"{number}-{key}"[:_LONGEST_KEY]
        seen.add(key)
        keys[name] = key
    return keys


def size_of(count: int) -> str:
    """Bytes as people read them."""
    if count >= 1024 * 1024:
        return f"{count / 1024 / 1024:.1f} MiB"
    return f"{count / 1024:.0f} KiB"


def _text(data: bytes) -> str | None:
    """As text where it is one, for `kubectl get -o yaml`."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
