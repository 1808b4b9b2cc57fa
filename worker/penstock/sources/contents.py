"""What is in the file of an item (`format: files`), wherever that is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from penstock.sources.object_store import Bucket, Kind, StoreError
from penstock.spec.object_url import ObjectUrl, is_object_url
from penstock.spec.secrets import store_options
from penstock.spec.source import Source


class Contents:
    """Reads files by the paths of items.

    source: the job's, whose credentials are used for objects. directory: what relative paths are
    relative to. environ: holds what the source's Secret holds.
    """

    def __init__(self, source: Source, directory: Path, environ: Mapping[str, str]) -> None:
        self._source, self._directory, self._environ = source, directory, environ
        self._buckets: dict[tuple[str, str], Bucket] = {}

    async def read(self, path: str) -> bytes:
        """All of a file, or of an object when the path is its address.

        Raises FileNotFoundError, PermissionError or another OSError, and InputError when the
        source's Secret is not there.
        """
        if not is_object_url(path):
            return await asyncio.to_thread((self._directory / path).read_bytes)
        try:
            url = ObjectUrl.parse(path)
        except ValueError as error:
            raise FileNotFoundError(f"{path}: {error}") from error
        try:
            return await self._bucket(url).contents(url.key)
        except StoreError as error:
            raise _KINDS.get(error.kind, OSError)(str(error)) from error

    def _bucket(self, url: ObjectUrl) -> Bucket:
        key = (url.scheme, url.bucket)
        if key not in self._buckets:
            store = self._source.object_store
            ref = store.secret_ref if store is not None else None
            options = store_options(ref, url.scheme, "source", self._environ)
            self._buckets[key] = Bucket(url, options)
        return self._buckets[key]


_KINDS: Mapping[Kind, type[OSError]] = {
    Kind.NO_OBJECT: FileNotFoundError,
    Kind.NO_BUCKET: FileNotFoundError,
    Kind.DENIED: PermissionError,
    Kind.NO_CREDENTIALS: PermissionError,
    Kind.AWAY: ConnectionError,
}
