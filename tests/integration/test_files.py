"""A folder of files in, one file an item out, on the real engine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with home(tmp_path_factory.mktemp("files") / "data") as database:
        yield database


@pytest.fixture
def server() -> Iterator[Provider]:
    with provider() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("docs/a.txt", "docs/b.txt", "docs/sub/c.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def manifest(folder: Path, url: str, output: str, *, name: str) -> Path:
    """A job over `docs`, whose answer is the path of the file."""
    path = folder / "job.yaml"
    path.write_text(
        "apiVersion: penstock.dev/v1alpha1\n"
        "kind: BatchJob\n"
        f"metadata: {{name: {name}}}\n"
        "spec:\n"
        f"  source: {{file: {{path: docs}}, format: files}}\n"
        "  processor:\n"
        f'    http: {{url: "{url}/items", body: {{text: "{{{{ item.path }}}}"}}}}\n'
        f"  output: {output}\n"
    )
    return path


def files(folder: Path) -> list[str]:
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


def test_each_file_gets_a_file(folder: Path, server: Provider, database: Home) -> None:
    job = manifest(folder, server.url, '{perItem: "out/{{ id }}.json"}', name="each")
    done = penstock("run", job, "--quiet", "--json", "--database", database.dsn)
    assert done.exit_code == 0, done.output
    report = jsons.loads(done.stdout)
    assert (report["succeeded"], report["output"]) == (3, str(folder / "out/{{ id }}.json"))
    written = ["docs/a.txt.json", "docs/b.txt.json", "docs/sub/c.txt.json"]
    assert files(folder / "out") == written
    assert jsons.loads((folder / "out/docs/a.txt.json").read_text())
    mode = stat.S_IMODE((folder / "out/docs/a.txt.json").stat().st_mode)
    usual = folder / "usual"
    usual.touch()
    assert mode == stat.S_IMODE(usual.stat().st_mode)
    # The second time all are skipped, and written again all the same.
    (folder / "out/docs/a.txt.json").unlink()
    (folder / "out/docs/b.txt.json").write_text("something else")
    done = penstock("run", job, "--quiet", "--json", "--database", database.dsn)
    assert jsons.loads(done.stdout)["skipped"] == 3
    assert files(folder / "out") == written
    assert jsons.loads((folder / "out/docs/b.txt.json").read_text())


def test_only_what_has_a_result_gets_one(folder: Path, server: Provider, database: Home) -> None:
    job = manifest(
        folder, server.url, '{file: {path: results}, perItem: "{{ position }}.txt"}', name="some"
    )
    (folder / "docs" / os.fsdecode(b"\xff")).touch()
    job.write_text(job.read_text().replace("format: files", "format: files, onBadRecord: failItem"))
    done = penstock("run", job, "--quiet", "--json", "--database", database.dsn)
    assert done.exit_code == 3, done.output
    assert files(folder / "results") == ["0.txt", "1.txt", "2.txt"]


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ('{perItem: "{{ item.size }}.txt"}', "is that of the item at position 0, too"),
        ('{perItem: "out/x.txt"}', "every item would be written to one file"),
        ('{perItem: "{{ id }}"}', "one of the input's files"),
        ('{perItem: "docs/{{ position }}.md"}', "one of the input's files"),
        ('{perItem: "{{ ident }}"}', "'ident' is not known here"),
        ('{perItem: "{{ id }}", format: csv}', "spec.output.format: does not go with perItem"),
        ('{perItem: "{{ id }}", file: {path: job.yaml}}', "is a file, not a folder"),
    ],
)
def test_what_cannot_be_written_is_told_before_any_call(
    folder: Path, server: Provider, database: Home, output: str, said: str
) -> None:
    job = manifest(folder, server.url, output, name="refused")
    for command in (("validate", job), ("run", job, "--quiet", "--database", database.dsn)):
        done = penstock(*command)
        assert done.exit_code == 2, done.output
        assert said in " ".join(done.stderr.split())
    assert server.requests == 0


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ('{perItem: "out/{{ item.size }}.txt"}', "is that of the item at position 0, too"),
        ('{perItem: "{{ id }}", file: {path: job.yaml}}', "is a file, not a folder"),
        ('{perItem: "{{ id }}", file: {path: docs}}', "one of the input's files"),
        ('{perItem: "out/{{ id }}.txt"}', "no-such-file"),
    ],
)
def test_submit_looks_at_the_paths_on_this_machine_before_it_asks_a_cluster(
    folder: Path, output: str, said: str
) -> None:
    job = manifest(folder, "http://example.com", output, name="there")
    done = penstock("submit", job, "--kubeconfig", folder / "no-such-file")
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.stderr.split())


def test_paths_of_outputs_are_looked_at_before_the_first_file(
    folder: Path, server: Provider, database: Home
) -> None:
    output = '{perItem: "out/{{ output | length * 0 }}.txt"}'
    job = manifest(folder, server.url, output, name="late")
    with started("run", job, "--quiet", "--database", database.dsn, cwd=folder) as run:
        assert run.ends() == 1
        assert "item 'docs/b.txt': 'out/0.txt' is that of the item at position 0" in run.output
    assert not (folder / "out").exists()
    # The results are kept: with another path they are written without a call.
    calls = server.requests
    job.write_text(job.read_text().replace("output | length * 0", "position"))
    assert penstock("run", job, "--quiet", "--database", database.dsn).exit_code == 0
    assert (len(files(folder / "out")), server.requests) == (3, calls)
