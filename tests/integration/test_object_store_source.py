"""`source.objectStore` on a real S3 server: data in every format, files as items, and what is said
when something is not there."""

from __future__ import annotations

import gzip
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from penstock import jsons
from penstock.errors import InputError
from penstock.sources.contents import Contents
from penstock.sources.items import Item, check_source, read_items
from penstock.spec.source import Source
from tests.integration.object_store_support import S3, s3_server

pytestmark = pytest.mark.timeout(900)  # the first time the server is built
NOWHERE = Path("/nowhere")
REF = {"name": "store"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of whoever runs the tests."""
    for name in os.environ:
        if name.startswith(("AWS_", "PENSTOCK_SECRET_")):
            monkeypatch.delenv(name)


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The server, with its credentials in the variables of the Secret `store`."""
    for name, value in server.variables("store").items():
        monkeypatch.setenv(name, value)
    return server


def source(url: str, ref: dict[str, str] | None = REF, **more: Any) -> Source:
    return Source.model_validate({"objectStore": {"url": url, "secretRef": ref}, **more})


def read(of: Source) -> list[Item]:
    check_source(of, NOWHERE)
    return list(read_items(of, NOWHERE))


def values(url: str, **more: Any) -> list[Any]:
    return [jsons.loads(item.payload) for item in read(source(url, **more))]


ROWS = [{"id": f"{n:05}", "text": f"row {n} ä" * 5} for n in range(30_000)]
"""Some megabytes, which is several requests."""


@pytest.fixture(scope="module")
def data(server: S3) -> Path:
    import pyarrow
    import pyarrow.parquet
    import xlsxwriter

    folder = server.bucket("data")
    lines = "".join(jsons.dumps(row) + "\n" for row in ROWS).encode()
    (folder / "rows.jsonl").write_bytes(lines)
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(lines, 1))
    (folder / "rows.jsonl.zst").write_bytes(zstandard.compress(lines))
    (folder / "rows.json").write_text(jsons.dumps(ROWS))
    (folder / "rows.csv").write_text(
        "id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in ROWS)
    )
    table = pyarrow.Table.from_pylist(ROWS)
    pyarrow.parquet.write_table(table, folder / "rows.parquet", row_group_size=10_000)
    with xlsxwriter.Workbook(folder / "rows.xlsx") as book:
        sheet = book.add_worksheet()
        for number, row in enumerate([{"id": "id", "text": "text"}, *ROWS]):
            sheet.write_row(number, 0, list(row.values()))
    (folder / "parts/sub").mkdir(parents=True)
    for number in (2, 1, 10):
        one = pyarrow.Table.from_pylist([{"id": number}])
        pyarrow.parquet.write_table(one, folder / f"parts/{number:02}.parquet")
    pyarrow.parquet.write_table(one, folder / "parts/sub/11.parquet")
    (folder / "parts/_SUCCESS").touch()
    return folder


@pytest.mark.parametrize(
    "name", ["jsonl", "jsonl.gz", "jsonl.zst", "json", "csv", "parquet", "xlsx"]
)
@pytest.mark.usefixtures("s3", "data")
def test_every_format_is_read_from_the_store(name: str) -> None:
    assert values(f"s3://data/rows.{name}", idField="id") == ROWS


@pytest.mark.usefixtures("s3", "data")
def test_a_pattern_reads_all_objects_it_matches_by_key() -> None:
    assert values("s3://data/parts/*.parquet") == [{"id": 1}, {"id": 2}, {"id": 10}]
    assert len(values("s3://data/**/*.parquet", where="item.id != '1'", limit=5)) == 5
    (item,) = read(source("s3://data/parts/01.parquet"))
    assert item.where == "s3://data/parts/01.parquet row 1"


@pytest.mark.usefixtures("s3")
def test_a_bad_record_is_told_with_its_line(data: Path) -> None:
    (data / "bad.jsonl").write_text('{"id": 1}\n{"id": \n')
    with pytest.raises(InputError, match=r"^s3://data/bad.jsonl:2: not JSON"):
        read(source("s3://data/bad.jsonl"))


def test_objects_as_items(s3: S3) -> None:
    folder = s3.bucket("documents")
    names = ["a.pdf", "sub/b.pdf", "sub/c.txt", ".hidden", 'ä b%20#[x]?*{y}~^"<>|.txt']
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    found = read(source("s3://documents", format="files"))
    assert [item.item_id for item in found] == sorted(
        f"s3://documents/{name}" for name in names if name != ".hidden"
    )
    first = jsons.loads(found[0].payload)
    assert first.keys() == {"path", "size", "modified"}
    assert (first["path"], first["size"]) == ("s3://documents/a.pdf", 5)

    def ids(url: str) -> list[str]:
        return [item.item_id for item in read(source(url, format="files"))]

    assert ids("s3://documents/sub/") == ids("s3://documents/sub")
    assert ids("s3://documents/sub/") == ["s3://documents/sub/b.pdf", "s3://documents/sub/c.txt"]
    assert ids("s3://documents/**/*.pdf") == ["s3://documents/a.pdf", "s3://documents/sub/b.pdf"]
    assert ids("s3://documents/*.pdf") == ["s3://documents/a.pdf"]
    assert ids("s3://documents/a.pdf") == ["s3://documents/a.pdf"]


@pytest.mark.parametrize("url", ["s3://marked/docs/", "s3://marked/docs", "s3://marked/docs/**"])
def test_marks_of_folders_are_no_items(s3: S3, url: str) -> None:
    folder = s3.bucket("marked")
    for mark in ("docs/", "docs/sub/", "docs/none.d/"):
        s3.mark_folder("marked", mark)
    (folder / "docs/sub/a.txt").write_text("x")
    for name in ("empty", "z.txt"):
        (folder / "docs" / name).touch()
    found = [item.item_id for item in read(source(url, format="files"))]
    names = ("empty", "sub/a.txt", "z.txt")
    assert found == [f"s3://marked/docs/{name}" for name in names]


async def test_what_is_in_an_item_is_read_from_anywhere(s3: S3, tmp_path: Path) -> None:
    folder = s3.bucket("documents")
    name = "ä b%20#[x].txt"
    (folder / name).write_bytes(b"\0content")
    (tmp_path / "local.bin").write_bytes(b"here")
    contents = Contents(source("s3://documents", format="files"), tmp_path, s3.variables("store"))
    assert await contents.read(f"s3://documents/{name}") == b"\0content"
    assert await contents.read("local.bin") == b"here"
    assert await contents.read(str(tmp_path / "local.bin")) == b"here"
    with pytest.raises(FileNotFoundError, match="there is no object s3://documents/gone"):
        await contents.read("s3://documents/gone")
    with pytest.raises(FileNotFoundError, match="there is no bucket 'nothing'"):
        await contents.read("s3://nothing/gone")
    wrong = Contents(source("s3://documents"), tmp_path, s3.variables("store", secret="wrong"))
    with pytest.raises(PermissionError, match="access denied"):
        await wrong.read("s3://documents/a.pdf")


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("s3://nothing/rows.csv", {}, "url: there is no bucket 'nothing' (NoSuchBucket: "),
        ("s3://nothing/*.csv", {}, "url: there is no bucket 'nothing' (NoSuchBucket: "),
        ("s3://nothing", {"format": "files"}, "url: there is no bucket 'nothing' (NoSuchBucket: "),
        ("s3://data/gone.csv", {}, "url: there is no object s3://data/gone.csv"),
        ("s3://data/*.ods", {}, "url: no object matches s3://data/*.ods"),
        ("s3://data/parts/", {}, "url: s3://data/parts/ is a prefix; for its objects write"),
        ("s3://data/parts/nope", {"format": "files"}, "url: there is no object s3://data/parts/n"),
        ("s3://data/parts/_SUCCESS", {}, "spec.source.format: the name"),
        ("s3://data/parts/_SUCCESS", {"format": "csv"}, "s3://data/parts/_SUCCESS: the file is em"),
    ],
)
@pytest.mark.usefixtures("s3", "data")
def test_what_is_not_there(url: str, more: dict[str, Any], said: str) -> None:
    for look in (check_source, lambda *of: list(read_items(*of))):
        with pytest.raises(InputError) as raised:
            look(source(url, **more), NOWHERE)
        place = said if said.startswith("s") else f"spec.source.objectStore.{said}"
        assert str(raised.value).startswith(place)


@pytest.mark.parametrize(("key", "secret"), [("other", "test-secret-9c1f"), ("test-key", "w-rong")])
@pytest.mark.parametrize("url", ["s3://data/rows.csv", "s3://data/*.csv"])
@pytest.mark.usefixtures("data")
def test_wrong_keys_are_told_and_not_shown(
    server: S3, monkeypatch: pytest.MonkeyPatch, key: str, secret: str, url: str
) -> None:
    for name, value in server.variables("store", key, secret).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=r"objectStore\.secretRef: access denied to ") as raised:
        check_source(source(url), NOWHERE)
    assert secret not in str(raised.value)


@pytest.mark.usefixtures("data")
def test_missing_credentials_name_variables(server: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="set variables such as PENSTOCK_SECRET_STORE_AWS_ACCESS_"):
        check_source(source("s3://data/rows.csv"), NOWHERE)
    # Where nothing else is known, clients of S3 ask the machine's cloud: here nobody answers.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    with pytest.raises(InputError, match=r"secretRef: no credentials for .* AWS_ACCESS_KEY_ID and"):
        check_source(source("s3://data/rows.csv", None), NOWHERE)


@pytest.mark.usefixtures("data")
def test_without_a_secret_the_usual_variables_count(
    server: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.options().items():
        monkeypatch.setenv(name, value)
    assert len(list(read_items(source("s3://data/parts/*.parquet", None), NOWHERE))) == 3


@pytest.mark.usefixtures("s3", "data")
def test_a_secrets_keys_go_without_the_environments_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-other-keys")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    assert len(values("s3://data/parts/*.parquet")) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT", "http://127.0.0.1:1"),
        ("AWS_SKIP_SIGNATURE", "true"),
    ],
)
@pytest.mark.usefixtures("s3", "data")
def test_a_secrets_store_is_not_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert len(values("s3://data/parts/*.parquet")) == 3


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"])
def test_keys_of_a_secret_never_go_to_the_environments_server(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PENSTOCK_SECRET_STORE_AWS_ACCESS_KEY_ID", "a-key")
    monkeypatch.setenv("PENSTOCK_SECRET_STORE_AWS_SECRET_ACCESS_KEY", "a-secret")
    # No name below `.invalid` leads anywhere: nothing of this leaves the machine.
    monkeypatch.setenv("PENSTOCK_SECRET_STORE_AWS_REGION", "x.invalid/")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv(name, f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(InputError, match=r"s3\.x\.invalid does not answer"):
            check_source(source("s3://data/*.csv"), NOWHERE)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.usefixtures("s3")
def test_an_option_that_does_not_exist_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_SECRET_STORE_AWS_ENDPONT", "x")
    with pytest.raises(InputError, match=r"secretRef: .*aws_endpont.* is not valid"):
        check_source(source("s3://data/rows.csv"), NOWHERE)


def test_a_server_that_is_away_is_told_before_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server(tmp_path / "away") as server:
        for name, value in server.variables("store").items():
            monkeypatch.setenv(name, value)
        server.stop()
        before = time.monotonic()
        with pytest.raises(
            InputError, match=rf"url: 127.0.0.1:{server.port} does not answer; is A"
        ):
            check_source(source("s3://data/*.csv"), NOWHERE)
        assert time.monotonic() - before < 60


def test_a_server_that_is_started_again_half_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server(tmp_path / "back") as server:
        for name, value in server.variables("store").items():
            monkeypatch.setenv(name, value)
        lines = "".join(f'{{"id": {n}}}\n' for n in range(200_000))
        (server.bucket("data") / "rows.jsonl").write_text(lines)
        items = read_items(source("s3://data/rows.jsonl"), NOWHERE)
        next(items)
        server.stop()
        server.start()
        assert sum(1 for _ in items) == 199_999


def test_an_object_that_is_replaced_half_way_is_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from obstore.store import S3Store

    with s3_server(tmp_path / "changed") as server:
        for name, value in server.variables("store").items():
            monkeypatch.setenv(name, value)
        server.bucket("data")
        options: Any = server.options()
        store = S3Store("data", config=options, client_options={"allow_http": True})
        lines = "".join(f'{{"id": {n}}}\n' for n in range(100_000)).encode()
        store.put("rows.jsonl", lines, use_multipart=False)
        items = read_items(source("s3://data/rows.jsonl"), NOWHERE)
        next(items)
        store.put("rows.jsonl", lines.replace(b"1", b"2"), use_multipart=False)
        with pytest.raises(InputError, match=r"rows\.jsonl was replaced while it was read"):
            list(items)


@pytest.mark.slow
def test_a_prefix_of_a_hundred_thousand_objects(s3: S3) -> None:
    folder = s3.bucket("many")
    for part in range(100):
        (folder / f"{part:02}").mkdir()
        for number in range(1000):
            (folder / f"{part:02}/{number:03}.txt").write_bytes(b"x")
    items = read_items(source("s3://many/", format="files"), NOWHERE)
    assert [item.item_id for item in items] == [
        f"s3://many/{part:02}/{number:03}.txt" for part in range(100) for number in range(1000)
    ]
