"""The functions that bench.functions* give to Penstock and to plain scripts alike.

Each answers with the times it began and ended, seconds of the machine's clock: from the first item
begun to the last one ended is the work itself, whatever it takes to start and to save.
"""

from __future__ import annotations

import io
import json
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock import Context


def burn(item: dict[str, Any], loops: int) -> dict[str, Any]:
    """Compute in pure Python."""
    begin, value = time.time(), item["n"]
    for _ in range(loops):
        value = (value * 1_103_515_245 + 12_345) & 0x7FFFFFFF
    return {"begin": begin, "end": time.time(), "value": value}


async def quick(item: dict[str, Any]) -> dict[str, Any]:
    """Next to nothing, on the event loop."""
    return quick_too(item)


def quick_too(item: dict[str, Any]) -> dict[str, Any]:
    """Next to nothing."""
    now = time.time()
    return {"begin": now, "end": now, "value": item["n"] + 1}


def match(item: dict[str, Any], url: str) -> dict[str, Any]:
    """Wait for a server to find a supplier."""
    begin = time.time()
    body = json.dumps({"name": item["Raison sociale"], "city": item["Ville"]}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found = json.load(answer)
    return {"begin": begin, "end": time.time(), "found": found["echo"]}


async def convert(item: dict[str, Any], ctx: Context, server: str) -> str:
    """Fetch a PDF and have it parsed in a process."""
    answer = await ctx.http.get(f"{server}/{item['name']}")
    answer.raise_for_status()
    text: str = await ctx.process(parse, answer.content)
    return text


def convert_here(item: dict[str, Any], server: str, folder: str) -> None:
    """Fetch, parse and store, each waiting for the one before."""
    with urllib.request.urlopen(f"{server}/{item['name']}", timeout=60) as answer:
        content = answer.read()
    (Path(folder) / f"{item['n']}.txt").write_text(parse(content))


def parse(content: bytes) -> str:
    """The text of a PDF."""
    from pypdf import PdfReader

    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)
