"""Results in an object store: one object, or one an item below a prefix."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from penstock.errors import ExportError, InputError, ServerAway
from penstock.export.per_item import INPUT, content, item_files
from penstock.export.stored import export, export_rows
from penstock.export.write import format_of
from penstock.sources.drawn import apart
from penstock.sources.object_store import Bucket, Kind, StoreError
from penstock.sources.objects import would_match
from penstock.spec.job import BatchJob, OutputFormat
from penstock.spec.object_url import ObjectUrl
from penstock.spec.output import ObjectStoreOutput
from penstock.spec.secrets import store_options
from penstock.store.db import Database
from penstock.store.runs import Run

_FIELD = "spec.output.objectStore"
_AT_ONCE = 16
"""Objects that are written at the same time: each takes a request, which takes its time."""
_LONGEST_KEY = 1024
"""Bytes; the same in all three kinds of stores."""


@dataclass(frozen=True, slots=True)
class ToObject:
    """One object. format: None goes by its suffix."""

    job: BatchJob
    store: ObjectStoreOutput
    format: OutputFormat | None
    environ: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its address."""
        return self.store.url

    async def check(self) -> None:
        """Raises InputError: no such bucket, no right to write, no format, or it is the input."""
        url = _url(self.store)
        self._format(url)
        if would_match(self.job.spec.source, url):
            raise InputError.at(f"{_FIELD}.url", f"{url} is the input; it would be replaced")
        await _check(self.store, url.at(url.key.rpartition("/")[0]), self.environ)

    async def write(self, db: Database, run: Run, warn: Callable[[str], object], /) -> int:
        """Write all rows to a temporary file, and that to the store, where the object is there
        whole or not at all. Raises ExportError."""
        url = _url(self.store)
        bucket = _bucket_to_write(self.store, url, self.environ)
        with tempfile.TemporaryDirectory(prefix="penstock-export-") as folder:
            path = Path(folder) / PurePosixPath(url.key).name
            rows = await export(db, run, path, self._format(url), warn=warn)
            try:
                await bucket.put(url.key, path)
            except StoreError as error:
                raise ExportError(f"cannot write {url}: {error}") from error
        return rows

    def _format(self, url: ObjectUrl) -> OutputFormat:
        return format_of(Path(url.key), self.format)


@dataclass(frozen=True, slots=True)
class ToObjects:
    """An object for each item with a result, below the prefix that the store's address is.
    template: of their keys from there on."""

    job: BatchJob
    store: ObjectStoreOutput
    template: str
    environ: Mapping[str, str]

    @property
    def name(self) -> str:
        """The template, below its prefix."""
        return f"{self.store.url.rstrip('/')}/{self.template}"

    async def check(self) -> None:
        """Raises InputError: no such bucket, or no right to write."""
        await _check(self.store, str(_url(self.store)), self.environ)

    async def write(self, db: Database, run: Run, _warn: Callable[[str], object], /) -> int:
        """Write the results there are; returns how many. Raises ExportError."""
        url = _url(self.store)
        bucket = _bucket_to_write(self.store, url, self.environ)
        free = asyncio.Semaphore(_AT_ONCE)

        async def put(path: str, item_id: str, data: bytes) -> None:
            async with free:
                key = url.prefix + path
                try:
                    await bucket.put(key, data)
                except StoreError as error:
                    message = f"cannot write {url.at(key)} of item {item_id!r}: {error}"
                    raise ExportError(message) from error

        count, every = 0, partial(export_rows, db, run)
        async for chunk in item_files(every, self.template, self.problem):
            try:
                async with asyncio.TaskGroup() as group:
                    for path, row in chunk:
                        group.create_task(put(path, row.item_id, content(row.output)))
            except BaseExceptionGroup as several:
                raise several.exceptions[0] from None
            count += len(chunk)
        return count

    def problem(self, path: str) -> str:
        """Why no object can be written at a path below the prefix; empty when one can."""
        url = _url(self.store)
        key = url.prefix + path
        if len(key.encode()) > _LONGEST_KEY:
            return f"makes a key of more than {_LONGEST_KEY:,} bytes"
        if would_match(self.job.spec.source, ObjectUrl(url.scheme, url.bucket, key)):
            return INPUT
        return ""


def _url(store: ObjectStoreOutput) -> ObjectUrl:
    try:
        return ObjectUrl.parse(store.url)
    except ValueError as error:
        raise InputError.at(f"{_FIELD}.url", str(error)) from error


def _bucket(store: ObjectStoreOutput, url: ObjectUrl, environ: Mapping[str, str]) -> Bucket:
    return Bucket(url, store_options(store.secret_ref, url.scheme, "output", environ))


def _bucket_to_write(
    store: ObjectStoreOutput, url: ObjectUrl, environ: Mapping[str, str]
) -> Bucket:
    try:
        return _bucket(store, url, environ)
    except StoreError as error:
        raise ExportError(f"cannot write {url}: {error}") from error


async def _check(store: ObjectStoreOutput, folder: str, environ: Mapping[str, str]) -> None:
    """Whether objects can be written in a folder of a bucket."""
    url = ObjectUrl.parse(folder)

    def check() -> None:
        _bucket(store, url, environ).check_writable(url.prefix)

    try:
        await apart(check)
    except StoreError as error:
        theirs = error.kind is Kind.NO_CREDENTIALS or (
            error.kind in (Kind.DENIED, Kind.OTHER) and store.secret_ref is not None
        )
        field = f"{_FIELD}.secretRef" if theirs else f"{_FIELD}.url"
        kind = ServerAway if error.kind is Kind.AWAY else InputError
        raise kind.at(field, str(error)) from error
