"""`source.objectStore`: objects as data files or, with `format: files`, as items.

Data is read where it is, a piece at a time: nothing is downloaded as a whole, and no more than a
piece is held. An address with `*`, `?` or `[…]` in its key is a pattern (`**` crosses slashes).
"""

from __future__ import annotations

import io
import os
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.errors import InputError, ServerAway
from penstock.sources.file_items import item_of
from penstock.sources.files import DataFile, format_by_name
from penstock.sources.object_store import Bucket, Found, Kind, StoreError
from penstock.sources.patterns import Pattern
from penstock.sources.records import NoRows, Record
from penstock.spec.object_url import ObjectUrl
from penstock.spec.secrets import store_options
from penstock.spec.source import Format, ObjectStoreSource, Source, has_wildcard

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

_FIELD = "spec.source.objectStore"
_SMALLEST_PIECE = 256 * 1024
_LARGEST_PIECE = 8 * 1024 * 1024


def rows(source: ObjectStoreSource) -> Generator[Record]:
    """An item for each object that the address means; without wildcards one object, or all below
    that prefix. Raises InputError; NoRows when there is none."""
    url, bucket = _bucket(source)
    found = False
    try:
        for one in _meant(url, bucket):
            found = True
            path = url.at(one.key)
            yield path, item_of(path, one.size, one.modified), None
    except StoreError as error:
        raise _mistake(error, source) from error
    if not found:
        raise _none(url)


def data_objects(source: ObjectStoreSource, format: Format | None) -> list[DataFile]:
    """The objects that hold the items, ordered by key; never empty. format: of all of them; None
    goes by each one's suffix. Raises InputError."""
    url, bucket = _bucket(source)
    if not url.key or url.key.endswith("/"):
        raise InputError.at(f"{_FIELD}.url", f"{url} is a prefix; for its objects write {url}*")
    try:
        if has_wildcard(url.key):
            found = sorted(_meant(url, bucket), key=lambda one: one.key)
        else:
            found = [bucket.find(url.key)]
    except StoreError as error:
        raise _mistake(error, source) from error
    if not found:
        raise _none(url)
    return [_data(source, bucket, one, format) for one in found]


def would_match(source: Source, url: ObjectUrl) -> bool:
    """Whether an object would be among those that items are read from."""
    if source.object_store is None:
        return False
    try:
        theirs = ObjectUrl.parse(source.object_store.url)
        pattern = Pattern.of(theirs.key)
    except ValueError:
        return False  # planning says what is wrong
    if (theirs.scheme, theirs.bucket) != (url.scheme, url.bucket):
        return False
    if theirs.key == url.key:
        return True
    wild = has_wildcard(theirs.key)
    if not wild and source.format != "files":
        return False
    pattern = pattern if wild else Pattern.below(theirs.key)
    below = url.key.startswith(pattern.folder)
    return below and pattern.matches(url.key.removeprefix(pattern.folder))


class ObjectReader(io.RawIOBase):
    """An object as a file. Read from start to end it is asked for in pieces that get larger, so
    that a look at its beginning costs little."""

    def __init__(self, source: ObjectStoreSource, bucket: Bucket, found: Found) -> None:
        self._source, self._bucket, self._found = source, bucket, found
        self._at = 0
        self._piece = b""
        self._start = 0
        self._size = _SMALLEST_PIECE

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Where the next read begins. Nothing is asked for yet."""
        since = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._found.size}[whence]
        self._at = max(0, since + offset)
        return self._at

    def readinto(self, buffer: Buffer) -> int:
        """Fill the buffer as far as the piece at hand goes; 0 at the end. Raises InputError."""
        with memoryview(buffer).cast("B") as target:
            if not len(target) or self._at >= self._found.size:
                return 0
            offset = self._at - self._start
            if not 0 <= offset < len(self._piece):
                self._fetch(len(target))
                offset = 0
            part = self._piece[offset : offset + len(target)]
            target[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _fetch(self, wanted: int) -> None:
        goes_on = self._piece and self._at == self._start + len(self._piece)
        self._size = min(2 * self._size, _LARGEST_PIECE) if goes_on else _SMALLEST_PIECE
        end = min(self._found.size, self._at + max(self._size, min(wanted, _LARGEST_PIECE)))
        self._piece = b""  # before the next one is there: two are not needed
        try:
            self._piece = self._bucket.read(self._found, self._at, end)
        except StoreError as error:
            raise _mistake(error, self._source) from error
        self._start = self._at
        if len(self._piece) != end - self._at:
            message = f"{self._bucket.url.at(self._found.key)} ended before its size was read"
            raise InputError.at(_FIELD, message)


def _data(
    source: ObjectStoreSource, bucket: Bucket, found: Found, format: Format | None
) -> DataFile:
    name, path = bucket.url.at(found.key), Path(found.key)
    chosen = format or format_by_name(path, name)
    return DataFile(path, name, chosen, partial(ObjectReader, source, bucket, found))


def _bucket(source: ObjectStoreSource) -> tuple[ObjectUrl, Bucket]:
    try:
        url = ObjectUrl.parse(source.url)
        Pattern.of(url.key)
    except ValueError as error:
        raise InputError.at(f"{_FIELD}.url", str(error)) from error
    options = store_options(source.secret_ref, url.scheme, "source", os.environ)
    try:
        return url, Bucket(url, options)
    except StoreError as error:
        raise _mistake(error, source) from error


def _meant(url: ObjectUrl, bucket: Bucket) -> Iterator[Found]:
    """The objects that an address means, in the order of the store."""
    if has_wildcard(url.key):
        pattern = Pattern.of(url.key)
    else:
        if url.key and not url.key.endswith("/"):
            try:
                yield bucket.find(url.key)
                return
            except StoreError as error:
                if error.kind is not Kind.NO_OBJECT:
                    raise
        pattern = Pattern.below(url.key)
    for one in bucket.list(pattern.folder):
        below = one.key.startswith(pattern.folder)  # the folder's own marker is not
        if below and pattern.matches(one.key.removeprefix(pattern.folder)) and _real(bucket, one):
            yield one


def _real(bucket: Bucket, one: Found) -> bool:
    """Whether this is an object and not the mark of a folder: consoles and mounted buckets put
    empty objects there whose keys end in a slash, which a listing leaves out."""
    if one.size:
        return True
    try:
        bucket.find(one.key)
    except StoreError as error:
        if error.kind is Kind.NO_OBJECT:
            return False
        raise
    return True


def _none(url: ObjectUrl) -> InputError:
    what = "no object matches" if has_wildcard(url.key) else "there is no object"
    there = "" if has_wildcard(url.key) else ", nor one below it"
    return NoRows.at(f"{_FIELD}.url", f"{what} {url}{there} (hidden ones do not count)")


def _mistake(error: StoreError, source: ObjectStoreSource) -> InputError:
    """At the field that is most likely to be wrong."""
    theirs = error.kind is Kind.NO_CREDENTIALS or (
        error.kind in (Kind.DENIED, Kind.OTHER) and source.secret_ref is not None
    )
    kind = ServerAway if error.kind is Kind.AWAY else InputError
    return kind.at(f"{_FIELD}.secretRef" if theirs else f"{_FIELD}.url", str(error))
