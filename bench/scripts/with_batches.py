"""Rows of an Excel file through a pool of threads, results in SQLite, a commit every hundred.

    python -m bench.scripts.with_batches BOOK URL THREADS chunks | as_they_end

chunks: a hundred rows at a time, the next hundred when all of these are done. as_they_end: all
rows at once, each result when it is there.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import Any

import openpyxl

from bench.function_work import match
from bench.scripts.calls import save

BATCH = 100
Row = dict[str, Any]


def main(book: str, url: str, threads: str, how: str) -> None:
    """All rows."""
    header, *values = openpyxl.load_workbook(book, read_only=True).worksheets[0].values
    rows = [dict(zip(map(str, header), row, strict=True)) for row in values]
    with sqlite3.connect("state.sqlite") as state, ThreadPool(int(threads)) as pool:
        state.execute("DROP TABLE IF EXISTS result")
        state.execute("CREATE TABLE result (output text)")
        answers = chunks(pool, rows, url) if how == "chunks" else as_they_end(pool, rows, url)
        done = []
        for answer in answers:
            done.append(answer)
            state.execute("INSERT INTO result VALUES (?)", [json.dumps(answer)])
            if len(done) % BATCH == 0:
                state.commit()
    save(done)


def chunks(pool: ThreadPool, rows: list[Row], url: str) -> Iterator[Row]:
    """Waits for the slowest of every hundred."""
    for start in range(0, len(rows), BATCH):
        yield from pool.map(partial(match, url=url), rows[start : start + BATCH])


def as_they_end(pool: ThreadPool, rows: list[Row], url: str) -> Iterator[Row]:
    """Waits for nobody."""
    yield from pool.imap_unordered(partial(match, url=url), rows, chunksize=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
