"""Bytes of a data file, unpacked on the way; and what to say when they are not the text hoped for.

gzip and zstd are told by their first bytes, or by the suffix. Whatever is wrong with the file
itself (no permission, cut off, damaged) leaves here as an InputError that names the file.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import zstandard

from penstock.errors import InputError
from penstock.sources.files import FORMAT_FIELD, DataFile
from penstock.sources.records import NoRows

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

PeekableStream: TypeAlias = "io.BufferedReader[Any] | gzip.GzipFile"
"""Bytes that can be iterated by line and looked at ahead (`peek`)."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_BUFFER = 256 * 1024
_BLOCK = 16 * 1024  # compressed bytes at a time: what they unpack to stays small
# Longest first: the UTF-16 mark is the beginning of the UTF-32 one.
_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_OTHER_FORMATS = ((b"PK\x03\x04", "xlsx"), (b"PAR1", "parquet"))


@contextmanager
def opened(file: DataFile, *, unpack: bool = True) -> Iterator[PeekableStream]:
    """The unpacked bytes of a file, buffered. Raises InputError naming the file.

    unpack: False for formats that are read from end to start and compress inside themselves.
    """
    try:
        with io.BufferedReader(file.open(), _BUFFER) as raw:
            if not unpack and raw.peek(4)[:4].startswith((_GZIP, _ZSTD)):
                raise InputError.at(
                    file.name, f"{file.format} cannot be read compressed once more: unpack it first"
                )
            yield _unpacked(raw, file) if unpack else raw
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise InputError.at(
            file.name, f"the compressed data is damaged or cut off ({error})"
        ) from error
    except OSError as error:
        raise InputError.at(file.name, f"cannot be read: {error.strerror or error}") from error


def check_text(stream: PeekableStream, file: DataFile, encoding: str | None = None) -> None:
    """Look at the first bytes of a text format, without reading past them.

    encoding: what the user asked for, when the format has a choice. Raises NoRows for an empty file
    and InputError for text in another encoding, or another format under this name.
    """
    start = stream.peek(4)[:4]
    if not start:
        raise NoRows.at(file.name, "the file is empty")
    for magic, other in _OTHER_FORMATS:
        if start == magic:
            raise InputError.at(
                file.name,
                f"this is no {file.format}; if it is {other}, set {FORMAT_FIELD}: {other}",
            )
    for mark, found in _BYTE_ORDER_MARKS:
        if start.startswith(mark) and not (encoding or "").startswith(found):
            raise InputError.at(file.name, f"the text is {found.upper()}; {_way_out(file, found)}")


def encoding_hint(file: DataFile, raw: bytes, encoding: str = "utf-8") -> str:
    """Why these bytes (of one line or row) are not text in `encoding`, and what to do about it.

    Pure. For bytes that do not decode; the guess is the likeliest one-byte encoding.
    """
    try:
        raw.decode(encoding)
    except UnicodeDecodeError as error:
        at = error.start
    else:
        at = 0
    problem = f"byte 0x{raw[at]:02x} is not {encoding.upper()}" if raw else "not text"
    if b"\0" in raw:
        return f"{problem}; the text is perhaps UTF-16: {_way_out(file, 'utf-16')}"
    for guess in ("cp1252", "latin-1"):
        try:
            text = raw.decode(guess)
        except UnicodeDecodeError:
            continue
        shown = text[max(0, at - 12) : at + 12].strip()
        return f"{problem}; it looks like {guess} ({shown!r}): {_way_out(file, guess)}"
    raise AssertionError("latin-1 decodes everything")


def _way_out(file: DataFile, encoding: str) -> str:
    if file.format == "csv":
        return f"set spec.source.csv.encoding: {encoding}"
    return f"JSON is UTF-8, so convert it: iconv -f {encoding} -t utf-8 {file.path.name}"


def _unpacked(raw: io.BufferedReader[Any], file: DataFile) -> PeekableStream:
    start = raw.peek(4)[:4]
    suffix = file.path.suffix.lower()
    # By suffix too: a file that is called .gz and is not should say so, not read as gibberish.
    # An empty one is reported as empty, whatever it is called.
    is_gzip, is_zstd = start.startswith(_GZIP), start.startswith(_ZSTD)
    if start and not (is_gzip or is_zstd):
        is_gzip, is_zstd = suffix == ".gz", suffix in (".zst", ".zstd")
    if is_gzip:
        return gzip.GzipFile(fileobj=raw)
    if is_zstd:
        return io.BufferedReader(_ZstdReader(raw), _BUFFER)
    return raw


class _ZstdReader(io.RawIOBase):
    """zstd frames one after the other. zstandard's own reader takes a cut-off file for complete."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fill the buffer with unpacked bytes; 0 at the end. EOFError when a frame is cut off."""
        while not self._ready:
            block = self._raw.read(_BLOCK)
            if not block:
                if self._frame is not None:
                    raise EOFError("the last frame is not complete")
                return 0
            self._ready = memoryview(self._unpack(block))
        with memoryview(buffer).cast("B") as target:
            count = min(len(target), len(self._ready))
            target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _unpack(self, block: bytes) -> bytes:
        parts = []
        while block:
            if self._frame is None:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            parts.append(self._frame.decompress(block))
            block = b""
            if self._frame.eof:
                block = self._frame.unused_data
                self._frame = None
        return b"".join(parts)
