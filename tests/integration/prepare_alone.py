"""A process that prepares a job as `penstock run` does, says how that went, and lives on until its
input ends: whoever looks meanwhile finds a driver that is alive.

    python -m tests.integration.prepare_alone DATABASE_URL JOB.yaml
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from penstock.errors import PenstockError
from penstock.local.options import Options
from penstock.local.prepare import prepare
from penstock.local.view import QuietView
from penstock.spec.load import load
from penstock.store.db import Database


async def main(dsn: str, manifest: Path) -> None:
    """Prints `run N` or the error's kind and text, on one line."""
    db = Database(dsn)
    await db.open()
    try:
        view = QuietView(sys.stderr)
        prepared = await prepare(db, load(manifest), manifest, Options(), 1, view)
        print("run", prepared.run.number, flush=True)
    except PenstockError as error:
        print(type(error).__name__, error, flush=True)
    finally:
        await db.close()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
