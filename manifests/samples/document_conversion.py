"""Turns PDFs and web pages into plain text, for the document-conversion samples."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bs4 import BeautifulSoup
from pypdf import PdfReader
from pypdf.errors import PyPdfError

from penstock import Permanent

if TYPE_CHECKING:
    from penstock import Context

AROUND = ("nav", "header", "footer", "script", "style")
"""What stands around the text of a web page and is not part of it."""


def convert(item: dict[str, Any]) -> str:
    """The text of a file; item: its path, relative to the manifest."""
    path = Path(item["path"])
    return text_of(path.name, path.read_bytes())


async def fetch_and_convert(item: dict[str, Any], ctx: Context, server: str) -> str:
    """The same of a document on a server: waiting here, parsing in a process."""
    answer = await ctx.http.get(f"{server}/{item['name']}")
    answer.raise_for_status()  # a 404 fails the item, a 503 is tried again
    text: str = await ctx.process(text_of, item["name"], answer.content)
    return text


def text_of(name: str, content: bytes) -> str:
    """The text of a document. Raises Permanent for one that no second attempt could read."""
    text = _pdf(content) if name.endswith(".pdf") else _web_page(content)
    if not text.strip():
        raise Permanent("no text in it; perhaps it was scanned")
    return text


def _pdf(content: bytes) -> str:
    try:
        reader = PdfReader(io.BytesIO(content))
        return "\n\n".join(page.extract_text() for page in reader.pages)
    except PyPdfError as error:
        raise Permanent(f"not a whole PDF: {error}") from error


def _web_page(content: bytes) -> str:
    page = BeautifulSoup(content, "html.parser")
    for part in page(AROUND):
        part.decompose()
    return (page.body or page).get_text("\n", strip=True)
