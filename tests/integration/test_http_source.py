"""Items that a real HTTP server hands out page by page."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from penstock.errors import InputError, ServerAway
from penstock.local.options import Options
from penstock.local.prepare import Prepared, prepare
from penstock.local.view import QuietView
from penstock.sources import http_pages
from penstock.sources.drawn import apart
from penstock.sources.items import Item, read_items
from penstock.spec.load import load
from penstock.spec.source import Source
from penstock.store import runs
from penstock.store.db import Database, Statements

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
SECRET = "hunter2-hunter2"


class Site:
    """A server on a free port whose answers the test writes. holds: it gives none any
    more; held: one waits."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self.holds = False
        self.held = threading.Event()
        self._answers: dict[str, list[Callable[[web.Request], web.Response]]] = {}
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._up.wait(30)

    def answers(self, path: str, *bodies: Any, status: int = 200, **headers: str) -> None:
        """What is answered there, one after the other, the last for ever: JSON, or plain text."""

        def response(body: Any) -> Callable[[web.Request], web.Response]:
            if callable(body):
                return body  # type: ignore[no-any-return]
            if isinstance(body, str):
                return lambda _: web.Response(text=body, status=status, headers=headers)
            return lambda _: web.json_response(body, status=status, headers=headers)

        self._answers.setdefault(path, []).extend(map(response, bodies))

    def end(self) -> None:
        """Stop serving."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        runner = web.ServerRunner(web.Server(self._answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._up.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        self.headers.append(dict(request.headers))
        found = self._answers.get(request.path_qs)
        if not found:
            return web.Response(status=404, text="no such page")
        if self.holds:
            self.held.set()
            await self._stop.wait()
        make = found.pop(0) if len(found) > 1 else found[0]
        answer = make(request)  # type: ignore[arg-type]
        return await answer if isinstance(answer, Awaitable) else answer


@pytest.fixture
def site() -> Iterator[Site]:
    """A server of the test's own."""
    site = Site()
    yield site
    site.end()


def source(site: Site, path: str = "/items", **options: Any) -> Source:
    http = {
        name: options.pop(name) for name in ("itemsPath", "nextPath", "headers") if name in options
    }
    return Source.model_validate({"http": {"url": site.url + path, **http}, **options})


def read(one: Source) -> list[Item]:
    return list(read_items(one, Path()))


def payloads(one: Source) -> list[str]:
    return [item.payload for item in read(one)]


def refusal(one: Source) -> str:
    with pytest.raises(InputError) as caught:
        read(one)
    return str(caught.value)


class TestPages:
    def test_a_list_is_the_items(self, site: Site) -> None:
        site.answers("/items", [{"id": 1}, "two", None])
        one, two, three = read(source(site))
        assert (one.payload, two.payload, three.payload) == ('{"id":1}', '"two"', "null")
        assert (one.position, two.position) == (0, 1)
        assert (one.where, three.where) == ("page 1[0]", "page 1[2]")
        assert site.asked == ["/items"]

    def test_next_pages_by_a_path(self, site: Site) -> None:
        site.answers("/a/items", {"data": {"list": [1, 2]}, "next": "more?page=2"})
        site.answers("/a/more?page=2", {"data": {"list": []}, "next": f"{site.url}/last"})
        site.answers("/last", {"data": {"list": [3]}, "next": None})
        items = read(source(site, "/a/items", itemsPath="data.list", nextPath="next"))
        assert [(item.position, item.payload, item.where) for item in items] == [
            *((0, "1", "page 1[0]"), (1, "2", "page 1[1]"), (2, "3", "page 3[0]")),
        ]

    @pytest.mark.parametrize("end", ["null", '""', "false"])
    def test_a_cursor_is_put_into_the_address(self, site: Site, end: str) -> None:
        site.answers("/items?size=1", {"items": [1], "cursor": "b=c/d="})
        site.answers("/items?cursor=b=c/d=", f'{{"items": [2], "cursor": {end}}}')
        path = "cursor && join('', ['?cursor=', cursor])"
        assert payloads(source(site, "/items?size=1", itemsPath="items", nextPath=path)) == [
            "1",
            "2",
        ]

    def test_next_pages_by_a_header(self, site: Site) -> None:
        link = f'<{site.url}/items?page=2>; rel="next", <{site.url}/items?page=9>; rel="last"'
        site.answers("/items", [1], Link=link)
        site.answers("/items?page=2", [2])
        assert payloads(source(site)) == ["1", "2"]

    def test_a_page_that_moved_is_followed_from_where_it_is(self, site: Site) -> None:
        site.answers("/items", "", status=302, Location="/v2/items")
        site.answers("/v2/items", {"items": [1], "next": "more"})
        site.answers("/v2/more", {"items": [2]})
        assert payloads(source(site, itemsPath="items", nextPath="next")) == ["1", "2"]

    def test_a_last_page_without_a_word(self, site: Site) -> None:
        site.answers("/items", "\ufeff[1]", Link=f'<{site.url}/last>; rel="next"')
        site.answers("/last", "", status=204)
        assert payloads(source(site)) == ["1"]
        site.answers("/pages", {"items": [1], "next": "last"})
        assert payloads(source(site, "/pages", itemsPath="items", nextPath="next")) == ["1"]

    def test_some_pages_may_be_empty_but_not_for_ever(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http_pages, "_MOST_EMPTY", 3)
        for page, items in enumerate(([], [], [1], [], [], [2], [], [], [])):
            site.answers(f"/items?{page}", {"items": items, "next": f"?{page + 1}"})
        options = {"itemsPath": "items", "nextPath": "next"}
        assert refusal(source(site, "/items?0", **options)) == (
            f"spec.source.http.nextPath: page 9: leads on to {site.url}/items?9 after 3 pages"
            " without an item"
        )
        assert payloads(source(site, "/items?0", limit=2, **options)) == ["1", "2"]

    def test_a_limit_asks_for_no_page_more(self, site: Site) -> None:
        site.answers("/items", {"items": [1, 2], "next": "?page=2"})
        site.answers("/items?page=2", {"items": [3, 4], "next": "?page=3"})
        options = {"itemsPath": "items", "nextPath": "next"}
        assert payloads(source(site, limit=4, **options)) == ["1", "2", "3", "4"]
        assert site.asked == ["/items", "/items?page=2"]
        assert payloads(source(site, limit=1, **options)) == ["1"]
        assert site.asked[2:] == ["/items"]

    def test_where_and_ids_are_those_of_other_sources(self, site: Site) -> None:
        site.answers("/items", [{"id": n, "tag": "ab"[n % 2]} for n in range(4)])
        items = read(source(site, idField="id", where="item.tag == 'b'"))
        assert [(item.position, item.item_id) for item in items] == [(1, "1"), (3, "3")]

    def test_headers_go_to_this_server_and_no_other(self, site: Site) -> None:
        other = Site()
        try:
            other.answers("/moved", [1])
            site.answers("/items", "", status=302, Location=f"{other.url}/moved")
            headers = {"Authorization": f"Bearer {SECRET}", "X-Tenant": "t"}
            assert payloads(source(site, headers=headers)) == ["1"]
            assert site.headers[0]["Authorization"] == f"Bearer {SECRET}"
            assert not {"Authorization", "X-Tenant"} & other.headers[0].keys()

            other.answers("/2", {"items": [2]})
            site.answers("/pages", {"items": [1], "next": f"{other.url}/2"})
            paths = {"itemsPath": "items", "nextPath": "next"}
            message = refusal(source(site, "/pages", headers=headers, **paths))
            assert message == (
                f"spec.source.http.nextPath: leads to another server, {other.url}; the headers are"
                " not sent there"
            )
            assert payloads(source(site, "/pages", **paths)) == ["1", "2"]
        finally:
            other.end()


class TestTryingAgain:
    def test_what_passes_is_waited_for(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        def broken(request: web.Request) -> web.Response:
            assert request.transport is not None
            request.transport.close()
            return web.Response()

        wait = {"Retry-After": "0"}
        site.answers(
            "/items",
            lambda _: web.Response(status=429, headers=wait),
            lambda _: web.Response(status=503, headers=wait),
            broken,
            [1],
        )
        with caplog.at_level(logging.INFO, "penstock.sources"):
            assert payloads(source(site)) == ["1"]
        assert len(site.asked) == 4
        assert "HTTP 429" in caplog.messages[0]

    def test_what_does_not_pass_is_told(self, site: Site) -> None:
        site.answers("/items", {"error": "asleep"}, status=500, **{"Retry-After-Ms": "1"})
        told = f'{site.url}/items answered HTTP 500: {{"error": "asleep"}} (6 tries)'
        with pytest.raises(ServerAway) as caught:
            read(source(site))
        assert str(caught.value) == f"spec.source.http.url: {told}"
        assert len(site.asked) == 6

    def test_a_page_that_drips_is_given_up(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def drip(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            with suppress(ConnectionError, asyncio.CancelledError):
                while True:
                    await response.write(b" ")
                    await asyncio.sleep(0.02)
            return response

        monkeypatch.setattr(http_pages, "_PAGE", 0.3)
        monkeypatch.setattr(http_pages, "TRIES", 1)
        site.answers("/items", drip)
        with pytest.raises(ServerAway, match="does not answer"):
            read(source(site))

    def test_a_wait_of_hours_is_not_waited_for(self, site: Site) -> None:
        site.answers("/items", "", status=429, **{"Retry-After": "3000"})
        assert "it asks to wait 3,000 s" in refusal(source(site))
        assert len(site.asked) == 1


class TestRefusals:
    def test_what_the_server_says(self, site: Site) -> None:
        site.answers("/401", f"who is {SECRET}?", status=401)
        site.answers("/html", "<html>Log in</html>", status=200, **{"Content-Type": "text/html"})
        site.answers("/cut", '{"items": [')
        site.answers("/moved", "", status=301, Location="ftp://h/")
        assert refusal(source(site, "/none")) == (
            f"spec.source.http.url: {site.url}/none answered HTTP 404: no such page"
        )
        headers = {"X-Api-Key": SECRET}
        message = refusal(source(site, "/401", headers=headers))
        assert message.startswith("spec.source.http.headers: ")
        assert "HTTP 401: who is ***?" in message
        assert "is not JSON: it is text/html" in refusal(source(site, "/html"))
        assert "is not JSON: " in refusal(source(site, "/cut"))
        assert "put the final address into the manifest" in refusal(source(site, "/moved"))

    def test_what_is_not_where_it_should_be(self, site: Site) -> None:
        site.answers("/items", {"total": 2, "results": [1], "next": 5})
        where = "spec.source.http.itemsPath: "
        keys = "; the answer is an object: total, results, next"
        assert refusal(source(site)) == (
            f"{where}set it to the list of items in the answer, such as results{keys}"
        )
        for path, told in (("data.items", "nothing"), ("total", "a number, not a list,")):
            assert refusal(source(site, itemsPath=path)) == (
                f"{where}there is {told} at {path} in the answer{keys}"
            )
        message = refusal(source(site, itemsPath="results", nextPath="next"))
        assert message == (
            "spec.source.http.nextPath: gives a number, not the address of the next page"
        )
        assert "cannot be applied" in refusal(source(site, itemsPath="join(',', results)"))
        site.answers("/one", "5")
        assert (
            refusal(source(site, "/one")) == f"{where}the answer is a number, not a list of items"
        )

    def test_pages_that_go_in_a_circle(self, site: Site) -> None:
        site.answers("/items", {"items": [1], "next": "?page=2"})
        site.answers("/items?page=2", {"items": [2], "next": "/items"})
        message = refusal(source(site, itemsPath="items", nextPath="next"))
        assert message == (
            f"spec.source.http.nextPath: page 3: leads to {site.url}/items, which was read before"
        )

    def test_no_items_at_all(self, site: Site) -> None:
        site.answers("/items", [])
        assert refusal(source(site)) == "spec.source.http.url: there are no items in the answer"

    def test_nobody_there(self) -> None:
        one = Source.model_validate({"http": {"url": "http://127.0.0.1:1/items"}})
        with pytest.raises(ServerAway) as caught:
            read(one)
        assert str(caught.value) == (
            "spec.source.http.url: http://127.0.0.1:1/items cannot be reached: Connection refused"
        )

    def test_no_tls(self, site: Site) -> None:
        url = site.url.replace("http:", "https:")
        with pytest.raises(InputError) as caught:
            read(Source.model_validate({"http": {"url": url}}))
        assert not isinstance(caught.value, ServerAway)
        assert "cannot be reached: TLS: " in str(caught.value)

    def test_a_later_page_is_missing(self, site: Site) -> None:
        site.answers("/items", {"items": [1], "next": "gone"})
        message = refusal(source(site, itemsPath="items", nextPath="next"))
        assert message.startswith(
            f"spec.source.http.url: page 2: {site.url}/gone answered HTTP 404"
        )


def test_memory_holds_one_page(site: Site) -> None:
    made = 0

    def page(request: web.Request) -> web.Response:
        nonlocal made
        made += 1
        number = int(request.query.get("p", "0"))
        following = f"?p={number + 1}" if number < 3 else None
        return web.json_response({"items": [number] * 10, "next": following})

    for path in ("/items", "/items?p=1", "/items?p=2", "/items?p=3"):
        site.answers(path, page)
    items = read_items(source(site, itemsPath="items", nextPath="next"), Path())
    for number in range(10):
        assert next(items).payload == "0"
        assert made == 1, number
    assert next(items).payload == "1"
    assert made == 2


async def test_who_is_cancelled_does_not_wait_for_the_server(site: Site) -> None:
    site.answers("/items", [1])
    site.holds = True
    reading = asyncio.create_task(apart(lambda: read(source(site))))
    assert await asyncio.to_thread(site.held.wait, 30)
    reading.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await reading


class TestPlanning:
    """What `penstock run` asks of the server, and who has to wait for it."""

    def manifest(self, site: Site, tmp_path: Path) -> Path:
        path = tmp_path / "job.yaml"
        path.write_text(
            "apiVersion: penstock.dev/v1alpha1\n"
            "kind: BatchJob\n"
            "metadata: {name: job}\n"
            "spec:\n"
            f"  source: {{http: {{url: '{site.url}/items'}}}}\n"
            "  processor: {http: {url: 'http://127.0.0.1:1/'}}\n"
        )
        return path

    async def prepared(self, db: Database, manifest: Path) -> Prepared:
        view = QuietView(sys.stderr)
        return await prepare(db, load(manifest), manifest, Options(), 1, view)

    async def test_a_page_is_asked_for_once(self, db: Database, site: Site, tmp_path: Path) -> None:
        site.answers("/items", [1, 2])
        assert (await self.prepared(db, self.manifest(site, tmp_path))).plan.total == 2
        assert site.asked == ["/items"]

    async def test_nobody_else_waits_for_the_server(
        self, db: Database, dsn: str, site: Site, tmp_path: Path
    ) -> None:
        async def decide(transaction: Statements) -> int:
            return int(await transaction.fetchval("SELECT count(*) FROM run"))

        site.answers("/items", [1, 2])
        site.holds = True
        other = Database(dsn)
        await other.open()
        planning = asyncio.create_task(self.prepared(db, self.manifest(site, tmp_path)))
        try:
            assert await asyncio.to_thread(site.held.wait, 30)
            async with asyncio.timeout(30):
                assert await runs.deciding(other, "job", decide) == 1
        finally:
            planning.cancel()
            await asyncio.gather(planning, return_exceptions=True)
            await other.close()
