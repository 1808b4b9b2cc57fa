"""Rows parked on disk between two passes: columns or paths are settled first, files come then.

The columns are known only when every row has been seen. Reading the database twice could give two
different answers while work is going on, so each row is read once and kept in an unnamed temporary
file, which the system removes by itself even after kill -9. Pickle, because it gives back exactly
what went in (integers of any size, the order of keys) and only this process ever reads it.
"""

from __future__ import annotations

import contextlib
import pickle
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path

from penstock.export.rows import ExportRow
from penstock.export.target import plain_words
from penstock.export.threads import in_thread

_CHUNK_ROWS = 1_000
_CHUNK_BYTES = 1 << 20


class Spool:
    """Rows in, then rows out again in chunks of bounded rows and bytes. Blocking: use a thread."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open the file in `folder` (default: the system's temporary folder). Raises OSError."""
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()
        self._left = 0
        self._rows = 0

    def add(self, rows: Sequence[ExportRow]) -> None:
        """Keep these rows. Raises OSError (disk full)."""
        self._file.writelines(
            pickle.dumps(
                (r.position, r.item_id, r.status, r.attempts, r.error, r.item, r.answer),
                protocol=5,
            )
            for r in rows
        )
        self._rows += len(rows)

    def rewind(self) -> None:
        """Start reading from the first row."""
        self._file.seek(0)
        self._left = self._rows

    def take(self) -> list[ExportRow]:
        """The next chunk; empty at the end."""
        chunk: list[ExportRow] = []
        end = self._file.tell() + _CHUNK_BYTES
        while self._left and len(chunk) < _CHUNK_ROWS:
            chunk.append(ExportRow(*pickle.load(self._file)))
            self._left -= 1
            if self._file.tell() > end:
                break
        return chunk

    def close(self) -> None:
        """Give the space back."""
        with contextlib.suppress(OSError):  # what is unwritten on a full disk fails once more
            self._file.close()


@contextlib.asynccontextmanager
async def parked(
    rows: AsyncIterator[Sequence[ExportRow]],
) -> AsyncIterator[Callable[[], AsyncIterator[Sequence[ExportRow]]]]:
    """Rows that come only once, kept so that they can be read from the first again and again, one
    reading after the other. Raises ExportError when there is no room for them."""
    where = Path(tempfile.gettempdir())
    with plain_words(where):
        spool = await in_thread(Spool)
    try:
        async for chunk in rows:
            with plain_words(where):
                await in_thread(partial(spool.add, chunk))
        yield partial(_from_the_first, spool)
    finally:
        await in_thread(spool.close)


async def _from_the_first(spool: Spool) -> AsyncIterator[Sequence[ExportRow]]:
    await in_thread(spool.rewind)
    while chunk := await in_thread(spool.take):
        yield chunk
