"""Addresses in object stores: `s3://bucket/key`, `gs://bucket/key`, `az://container/key`. Pure.

A key is written as it is, nothing in it is percent-encoded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

Scheme = Literal["s3", "gs", "az"]

PREFIXES: dict[Scheme, str] = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
"""What the names of each store's options begin with, in Secrets and in the environment."""

_URL = re.compile(r"(\w+)://([^/]*)(?:/(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ObjectUrl:
    """bucket: the container of an Azure account. key: of an object, a prefix or a pattern; no slash
    at its beginning."""

    scheme: Scheme
    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> ObjectUrl:
        """Raises ValueError, saying what would be right."""
        found = _URL.fullmatch(text)
        if found is None or found[1] not in PREFIXES:
            raise ValueError("wanted an address: s3://bucket/…, gs://bucket/… or az://container/…")
        scheme, bucket, key = cast(Scheme, found[1]), found[2], found[3] or ""
        if not bucket:
            raise ValueError(f"names no bucket: {scheme}://bucket/…")
        if "@" in bucket or ":" in bucket:
            raise ValueError("only a bucket's name can stand there; credentials go into secretRef")
        if any(part in ("", ".", "..") for part in key.removesuffix("/").split("/")) and key:
            raise ValueError("empty parts, `.` and `..` cannot stand in the key of an object")
        return cls(scheme, bucket, key)

    def at(self, key: str) -> str:
        """The address of an object of the same bucket."""
        return f"{self.scheme}://{self.bucket}/{key}"

    @property
    def prefix(self) -> str:
        """The key as a folder: with a slash at its end unless it is empty."""
        return self.key if not self.key or self.key.endswith("/") else f"{self.key}/"

    def __str__(self) -> str:
        return self.at(self.key)


def is_object_url(text: str) -> bool:
    """Whether a path is an address in an object store."""
    return text.startswith(tuple(f"{scheme}://" for scheme in PREFIXES))


def url_problem(text: str) -> str:
    """Why this is no such address; empty when it is one."""
    try:
        ObjectUrl.parse(text)
    except ValueError as error:
        return str(error)
    return ""
