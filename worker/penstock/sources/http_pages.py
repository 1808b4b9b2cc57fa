"""Items that an HTTP server hands out page by page, as JSON.

A page is the list itself or has it at `itemsPath`. The next page's address is at `nextPath`;
without that, a `Link` header with rel="next" (RFC 8288) tells it. One page is in memory at a time,
and none is asked for before the items of the one before it are used.

429, 5xx and timeouts are tried again, as long as the server asks for; what does not pass raises
ServerAway. Headers are sent to the
server that the manifest names and to no other.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import os
import random
import ssl
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jmespath
from yarl import URL

from penstock import __version__, jsons
from penstock.errors import InputError, ServerAway
from penstock.secrets import is_secret_header, mask
from penstock.sources.drawn import drawn
from penstock.sources.records import NoRows, Record, some
from penstock.spec.source import HttpSource
from penstock.text import storable
from penstock.web import proxy_for, retry_after

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

FIELD = "spec.source.http"
LARGEST_PAGE = 64 * 1024 * 1024
TRIES = 6
"""Of one page; between them half a second, doubled each time."""
LONGEST = 120.0
"""Seconds that are waited because a server asks for it."""
_FIRST_DELAY = 0.5
_MOST_EMPTY = 100
"""Pages without an item that may follow on each other: some servers filter what they hand out,
others have a next page for ever."""
_CONNECT, _READ, _PAGE = 10.0, 60.0, 600.0
_REDIRECTS = {301, 302, 303, 307, 308}
_MAX_REDIRECTS = 5
_NO_CONTENT = 204
_AGAIN = {408, 425, 429}
_SAID = 300


def rows(source: HttpSource) -> Generator[Record]:
    """The items of all pages. Places are `page 2[17]`: pages from 1, items from 0.

    Raises InputError for an address that does not answer with pages of items, NoRows when there is
    no item on any page.
    """
    return drawn(_Pages(source).read())


class _Page(NamedTuple):
    """An answer. link: the address of the next in its `Link` header. url: where it came from in
    the end. has_body: it says something."""

    document: Any
    link: URL | None
    url: URL
    has_body: bool = True


class _Pages:
    def __init__(self, source: HttpSource) -> None:
        self._source = source
        self._first = URL(source.url)
        self._items = None if source.items_path is None else jmespath.compile(source.items_path)
        self._next = None if source.next_path is None else jmespath.compile(source.next_path)
        hidden = [value for name, value in source.headers.items() if is_secret_header(name)]
        self._secrets = [*hidden, *(word for value in hidden for word in value.split())]
        self._page = 0

    async def read(self) -> AsyncGenerator[list[Record], None]:
        """The pages."""
        import aiohttp

        seen: set[int] = set()
        found = False
        timeout = aiohttp.ClientTimeout(total=_PAGE, sock_connect=_CONNECT, sock_read=_READ)
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"penstock/{__version__}", "Accept": "application/json"},
            timeout=timeout,
        ) as session:
            url: URL | None = self._first
            empty = 0
            while url is not None:
                self._page += 1
                if (mark := hash(str(url))) in seen:
                    raise self._wrong(
                        "nextPath", f"leads to {self._shown(url)}, which was read before"
                    )
                seen.add(mark)
                page = await self._read_page(session, url)
                items = self._list(page.document) if page.has_body else []
                found = found or bool(items)
                empty = 0 if items else empty + 1
                yield [(f"page {self._page}[{n}]", value, None) for n, value in enumerate(items)]
                url = self._following(page)
                if url is not None and empty == _MOST_EMPTY:
                    told = f"leads on to {self._shown(url)} after {empty} pages without an item"
                    raise self._wrong("nextPath", told)
        if not found:
            raise NoRows.at(f"{FIELD}.url", "there are no items in the answer")

    def _list(self, document: Any) -> list[Any]:
        """The items of a page."""
        path = self._source.items_path
        found = self._search("itemsPath", self._items, document) if self._items else document
        if isinstance(found, list):
            return found
        keys = list(document) if isinstance(document, dict) else []
        if path is not None:
            what = "there is nothing" if found is None else f"there is {_kind(found)}, not a list,"
            why = f"{what} at {path} in the answer"
        elif lists := [key for key in keys if isinstance(document[key], list)]:
            why = f"set it to the list of items in the answer, such as {lists[0]}"
        elif keys:
            why = "set it to the list of items in the answer, wherever that is"
        else:
            why = f"the answer is {_kind(found)}, not a list of items"
        about = f"; the answer is an object: {some(keys)}" if keys else ""
        raise self._wrong("itemsPath", why + about)

    def _following(self, page: _Page) -> URL | None:
        """The address of the page after this one."""
        if self._next is None:
            told: Any = page.link
        else:
            told = self._search("nextPath", self._next, page.document)
        if told is None or told is False or told == "":
            return None
        if not isinstance(told, str | URL):
            raise self._wrong("nextPath", f"gives {_kind(told)}, not the address of the next page")
        try:
            following = page.url.join(URL(told))
        except ValueError as error:
            no_address = f"gives {self._clean(str(told))!r}, which is no address"
            raise self._wrong("nextPath", no_address) from error
        if following.scheme not in ("http", "https") or not following.host:
            raise self._wrong("nextPath", f"gives {self._clean(str(told))!r}, which is no address")
        if self._source.headers and following.origin() != self._first.origin():
            raise self._wrong(
                "nextPath",
                f"leads to another server, {following.origin()}; the headers are not sent there",
            )
        return following

    def _search(self, field: str, path: Any, document: Any) -> Any:
        try:
            return path.search(document)
        except jmespath.exceptions.JMESPathError as error:
            why = f"cannot be applied to the answer: {self._clean(str(error))}"
            raise self._wrong(field, why) from error

    async def _read_page(self, session: aiohttp.ClientSession, url: URL) -> _Page:
        """The page at this address, after some tries."""
        import aiohttp

        delay = _FIRST_DELAY
        for left in reversed(range(TRIES)):
            try:
                status, headers, body, link, final = await self._get(session, url)
            except aiohttp.ClientConnectorError as error:
                # A wrong address is told at once; later the server has been there.
                wait, why = delay, f"cannot be reached: {_system(error.os_error)}"
                passes = not isinstance(error.os_error, ssl.SSLError)
                again = passes and self._page > 1
            except TimeoutError:
                wait, why = delay, "does not answer"
                passes = again = True
            except (aiohttp.ClientError, OSError, ValueError) as error:
                why = f"gave no usable answer: {self._clean(str(error) or type(error).__name__)}"
                wait = delay
                passes = again = not isinstance(error, ValueError)
            else:
                if status == _NO_CONTENT:
                    return _Page(None, link, final, has_body=False)
                if 200 <= status < 300:
                    return _Page(self._parsed(url, headers, body), link, final)
                asked = retry_after(headers, time.time())
                wait = delay if asked is None else asked
                why = f"answered HTTP {status}{self._said(headers, body)}"
                passes = again = status in _AGAIN or status >= 500
                if status in (401, 403):
                    raise self._wrong(
                        "headers", f"{self._shown(url)} {why}; a header may be missing"
                    )
                if status in _REDIRECTS:
                    why += "; put the final address into the manifest"
                if again and wait > LONGEST:
                    why, again = f"{why}; it asks to wait {wait:,.0f} s", False
            if not left or not again:
                tried = TRIES - left
                times = f" ({tried} tries)" if tried > 1 else ""
                kind = ServerAway if passes else InputError
                raise self._wrong("url", f"{self._shown(url)} {why}{times}", kind)
            log.info("page %d of the source %s; again in %.1f s", self._page, why, wait)
            await asyncio.sleep(wait * random.uniform(1, 1.25))
            delay *= 2
        raise AssertionError("the last try ends it")

    async def _get(
        self, session: aiohttp.ClientSession, url: URL
    ) -> tuple[int, Mapping[str, str], bytes, URL | None, URL]:
        """Status, headers by lower-case name, body, the next page's address and the own one."""
        headers = self._source.headers
        for left in reversed(range(_MAX_REDIRECTS + 1)):
            async with session.get(
                url, headers=headers, allow_redirects=False, proxy=proxy_for(str(url))
            ) as response:
                target = response.headers.get("Location")
                if response.status in _REDIRECTS and target and left:
                    following = url.join(URL(target))
                    downgrade = url.scheme == "https" and following.scheme != "https"
                    if following.scheme in ("http", "https") and not downgrade:
                        if following.origin() != url.origin():
                            headers = {}  # keys and tokens are for the server in the manifest alone
                        url = following
                        continue
                body = await self._body(response)
                told = response.links.get("next")
                link = None if told is None else told.get("url")
                lowered = {name.lower(): value for name, value in response.headers.items()}
                link = link if isinstance(link, URL) else None
                return response.status, lowered, body, link, url
        raise AssertionError("the last redirect is an answer")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        chunks, size = [], 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > LARGEST_PAGE:
                most = LARGEST_PAGE // (1024 * 1024)
                raise self._wrong("url", f"a page has more than {most} MiB: ask for smaller ones")
            chunks.append(chunk)
        return b"".join(chunks)

    def _parsed(self, url: URL, headers: Mapping[str, str], body: bytes) -> Any:
        try:
            return jsons.loads(body.removeprefix(codecs.BOM_UTF8))
        except (ValueError, RecursionError) as error:
            kind = headers.get("content-type", "").split(";")[0]
            is_other = kind and "json" not in kind
            why = f"it is {kind}" if is_other else self._clean(str(error))
            place = self._shown(url)
            raise self._wrong("url", f"the answer of {place} is not JSON: {why}") from error

    def _said(self, headers: Mapping[str, str], body: bytes) -> str:
        """The server's own words about a failure, as far as they are for people."""
        if "html" in headers.get("content-type", ""):
            return ""
        text = self._clean(body[: 8 * _SAID].decode("utf-8", "replace"))
        return f": {text}" if text else ""

    def _shown(self, url: URL) -> str:
        """An address without what may be secret in it."""
        return self._clean(str(url))

    def _clean(self, text: str) -> str:
        line = " ".join(storable(mask(text, self._secrets)).split())
        return line if len(line) <= _SAID else line[: _SAID - 1] + "…"

    def _wrong(self, field: str, message: str, kind: type[InputError] = InputError) -> InputError:
        where = f"page {self._page}: " if self._page > 1 else ""
        return kind.at(f"{FIELD}.{field}", where + message)


def _system(error: OSError) -> str:
    """What the system says; names that lead nowhere have negative numbers of their own, and those
    of TLS are not the system's."""
    if isinstance(error, ssl.SSLError):
        return f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}"
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or str(error)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds: dict[type, str] = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
    }
    return kinds.get(type(value), "a number")
