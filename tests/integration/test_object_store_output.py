"""`output.objectStore` on a real S3 server, by whole jobs: one object, one an item, and what is
said before anything is paid for."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest

from penstock import jsons
from tests.integration.command_support import (
    Home,
    Provider,
    home,
    penstock,
    provider,
    started,
)
from tests.integration.object_store_support import S3, s3_server

pytestmark = pytest.mark.timeout(900)  # the first time the server is built


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        bucket = server.bucket("input")
        (bucket / "docs/sub").mkdir(parents=True)
        for name in ("docs/a.txt", "docs/b.txt", "docs/sub/c.txt"):
            (bucket / name).write_text(name)
        yield server


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with home(tmp_path_factory.mktemp("objects") / "data") as database:
        yield database


@pytest.fixture
def server() -> Iterator[Provider]:
    with provider() as server:
        yield server


@pytest.fixture(autouse=True)
def _credentials(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("AWS_", "PENSTOCK_SECRET_")):
            monkeypatch.delenv(name)
    variables = {**s3.variables("store"), **s3.variables("wrong", secret="w-rong-secret")}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def manifest(folder: Path, url: str, output: str, name: str) -> Path:
    """A job over `s3://input/docs`."""
    path = folder / "job.yaml"
    path.write_text(
        "apiVersion: penstock.dev/v1alpha1\n"
        "kind: BatchJob\n"
        f"metadata: {{name: {name}}}\n"
        "spec:\n"
        "  source:\n"
        "    objectStore: {url: s3://input/docs/, secretRef: {name: store}}\n"
        "    format: files\n"
        "  processor:\n"
        f'    http: {{url: "{url}/items", body: {{text: "{{{{ item.path }}}}"}}}}\n'
        f"  output: {output}\n"
    )
    return path


def keys(bucket: Path) -> list[str]:
    return sorted(str(one.relative_to(bucket)) for one in bucket.rglob("*") if one.is_file())


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "xlsx"])
def test_results_in_one_object(
    s3: S3, tmp_path: Path, server: Provider, database: Home, suffix: str
) -> None:
    bucket = s3.bucket(f"out-{suffix}")
    url = f"s3://out-{suffix}/run/results.{suffix}"
    output = f"{{objectStore: {{url: '{url}', secretRef: {{name: store}}}}}}"
    job = manifest(tmp_path, server.url, output, f"one-{suffix}")
    done = penstock("run", job, "--quiet", "--json", "--database", database.dsn)
    assert done.exit_code == 0, done.output
    assert jsons.loads(done.stdout)["output"] == url
    assert keys(bucket) == [f"run/results.{suffix}"]  # nothing is left of the look beforehand
    content = (bucket / f"run/results.{suffix}").read_bytes()
    ids = [f"s3://input/docs/{name}.txt" for name in ("a", "b", "sub/c")]
    if suffix == "jsonl":
        assert [jsons.loads(line)["_id"] for line in content.splitlines()] == ids
    elif suffix == "csv":
        assert [line.split(",")[1] for line in content.decode().splitlines()] == ["_id", *ids]
    elif suffix == "parquet":
        assert pyarrow.parquet.read_table(io.BytesIO(content))["_id"].to_pylist() == ids
    else:
        assert content.startswith(b"PK")
    # Once more: the object is replaced.
    assert penstock("run", job, "--quiet", "--database", database.dsn).exit_code == 0
    assert keys(bucket) == [f"run/results.{suffix}"]


def test_an_object_for_each_item(s3: S3, tmp_path: Path, server: Provider, database: Home) -> None:
    bucket = s3.bucket("each")
    output = (
        '{objectStore: {url: "s3://each/results", secretRef: {name: store}},'
        " perItem: \"{{ item.path.split('/')[-1] }}.json\"}"
    )
    job = manifest(tmp_path, server.url, output, "each-object")
    done = penstock("run", job, "--quiet", "--json", "--database", database.dsn)
    assert done.exit_code == 0, done.output
    assert keys(bucket) == [f"results/{name}.txt.json" for name in "abc"]
    assert jsons.loads((bucket / "results/a.txt.json").read_text())


def test_a_function_reads_objects_and_its_texts_are_objects(
    s3: S3, tmp_path: Path, database: Home
) -> None:
    bucket = s3.bucket("texts")
    output = (
        '{objectStore: {url: "s3://texts/", secretRef: {name: store}},'
        " perItem: \"{{ item.path.split('/')[-1] }}\"}"
    )
    job = manifest(tmp_path, "http://x", output, "read-objects")
    call = job.read_text().partition("    http:")[2].partition("\n")[0]
    python = "    python: {entrypoint: 'texts:upper', mode: async}"
    job.write_text(job.read_text().replace(f"    http:{call}", python))
    (tmp_path / "texts.py").write_text(
        "async def upper(item, ctx):\n    return (await ctx.read(item['path'])).decode().upper()\n"
    )
    with started("run", job, "--quiet", "--database", database.dsn, cwd=tmp_path) as run:
        assert run.ends() == 0, run.output
    written = {one.name: one.read_text() for one in bucket.glob("*.txt")}
    assert written == {"a.txt": "DOCS/A.TXT", "b.txt": "DOCS/B.TXT", "c.txt": "DOCS/SUB/C.TXT"}


@pytest.mark.parametrize(
    ("store", "more", "said"),
    [
        ("url: s3://nothing/x.csv, secretRef: {name: store}", "", "there is no bucket 'nothing'"),
        (
            "url: s3://input/x.csv, secretRef: {name: wrong}",
            "",
            "secretRef: access denied to s3://input/",
        ),
        (
            "url: s3://input/x.csv, secretRef: {name: other}",
            "",
            "PENSTOCK_SECRET_OTHER_AWS_ACCESS_KEY",
        ),
        ("url: s3://input/docs/x.csv, secretRef: {name: store}", "", "is the input"),
        ("url: s3://input/x.txt, secretRef: {name: store}", "", "wanted a suffix of .jsonl"),
        ("url: s3://input/, secretRef: {name: store}", "", "wanted the path of a file"),
        ("url: 'http://in/x.csv'", "", "wanted an address: s3://"),
        ("url: 's3://k:secret@input/x.csv'", "", "credentials go into secretRef"),
        (
            "url: s3://input/x.csv, secretRef: {name: store, key: a}",
            "",
            "secretRef.key: has no meani",
        ),
        (
            "url: s3://nothing, secretRef: {name: store}",
            ', perItem: "{{ id }}"',
            "there is no buck",
        ),
        (
            "url: s3://input/docs, secretRef: {name: store}",
            ', perItem: "{{ position }}"',
            "the input's",
        ),
        (
            "url: s3://input/out, secretRef: {name: store}",
            ", perItem: \"{{ id }}{{ 'x' * 1000 }}\"",
            "makes a key of more than 1,024 bytes",
        ),
    ],
)
def test_what_cannot_be_written_is_told_before_any_call(
    s3: S3, tmp_path: Path, server: Provider, database: Home, store: str, more: str, said: str
) -> None:
    job = manifest(tmp_path, server.url, f"{{objectStore: {{{store}}}{more}}}", "refused")
    before = keys(s3.folder)
    for command in (("validate", job), ("run", job, "--quiet", "--database", database.dsn)):
        done = penstock(*command)
        assert done.exit_code == 2, done.output
        told = " ".join(done.stderr.split())
        assert said in told
        assert "spec.output." in told
        assert "w-rong-secret" not in told
    assert server.requests == 0
    assert keys(s3.folder) == before


def test_a_store_that_is_away_is_told_before_any_call(
    tmp_path: Path, server: Provider, database: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server(tmp_path / "s3") as own:
        for name, value in own.variables("own").items():
            monkeypatch.setenv(name, value)
        own.stop()
        output = "{objectStore: {url: s3://out/a.csv, secretRef: {name: own}}}"
        job = manifest(tmp_path, server.url, output, "away")
        done = penstock("run", job, "--quiet", "--database", database.dsn)
        assert done.exit_code == 2, done.output
        told = " ".join(done.stderr.split())
        assert f"spec.output.objectStore.url: 127.0.0.1:{own.port} does not answer" in told
    assert server.requests == 0


def test_results_wait_for_a_store_that_is_not_ready(
    tmp_path: Path, server: Provider, database: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server(tmp_path / "s3") as own:
        for name, value in own.variables("own").items():
            monkeypatch.setenv(name, value)
        bucket = own.bucket("out")
        output = "{objectStore: {url: s3://out/results.jsonl, secretRef: {name: own}}}"
        job = manifest(tmp_path, server.url, output, "goes-away")
        server.allow(0)
        with started("run", job, "--quiet", "--database", database.dsn, cwd=tmp_path) as run:
            server.holds(1)
            bucket.rmdir()
            server.allow()
            assert run.ends() == 1
            assert "cannot write s3://out/results.jsonl: there is no bucket" in run.output
        calls = server.requests
        own.bucket("out")
        assert penstock("run", job, "--quiet", "--database", database.dsn).exit_code == 0
        assert (keys(bucket), server.requests) == (["results.jsonl"], calls)
