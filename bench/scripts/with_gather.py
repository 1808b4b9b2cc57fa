"""asyncio.gather over all items, saved when all are done.

python -m bench.scripts.with_gather ITEMS
"""

from __future__ import annotations

import asyncio
import sys

from bench.function_work import quick
from bench.scripts.calls import items, save


async def main(path: str) -> None:
    """All items."""
    save(await asyncio.gather(*(quick(item) for item in items(path))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
