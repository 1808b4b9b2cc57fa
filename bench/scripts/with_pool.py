"""A pool with a process for every core, and imap_unordered: how functions of the CPU are run.

python -m bench.scripts.with_pool FUNCTION ITEMS KWARGS [CHUNKSIZE]
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from functools import partial

from bench import function_work
from bench.scripts.calls import items, save


def main(name: str, path: str, kwargs: str, chunksize: str = "1") -> None:
    """All items."""
    work = partial(getattr(function_work, name), **json.loads(kwargs))
    with multiprocessing.Pool() as pool:
        save(list(pool.imap_unordered(work, items(path), chunksize=int(chunksize))))


if __name__ == "__main__":
    main(*sys.argv[1:])
