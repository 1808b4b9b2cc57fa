"""The samples whose work is a Python function, run as they lie there."""

from __future__ import annotations

import csv
import io
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet
import pypdf
import pytest
from pypdf.errors import PyPdfError

from penstock import jsons
from tests.integration.command_support import started

SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"
BROKEN = "settling-basin.pdf"
COMPLETE, SOME_FAILED = 0, 3


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A copy of the folder, so that what the samples write goes away."""
    copy = tmp_path / "samples"
    shutil.copytree(SAMPLES, copy, ignore=shutil.ignore_patterns("out", ".penstock", "__pycache__"))
    return copy


def run(samples: Path, name: str, code: int, *options: str) -> list[dict[str, object]]:
    """Run a sample; its results, one object an item."""
    place = ("--data-dir", samples.parent / "data")
    manifest = samples / f"{name}.yaml"
    with started("run", manifest, "--quiet", *place, *options, cwd=samples.parent) as command:
        assert command.ends() == code, command.output
    rows = samples.parent / "rows.jsonl"
    with started("results", name, "-o", rows, *place, cwd=samples.parent) as command:
        assert command.ends() == 0, command.output
    return [jsons.loads(line) for line in rows.read_text().splitlines()]


@contextmanager
def file_server(folder: Path) -> Iterator[str]:
    """The server that the hybrid sample tells to start; its address."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "--directory", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        found = re.search(r"http://\S+:\d+", server.stdout.readline())
        assert found
        try:
            yield found[0]
        finally:
            server.kill()


def expect_texts(folder: Path, rows: list[dict[str, object]]) -> None:
    """One text file a document that could be read; the broken one failed, with the reason."""
    documents = sorted(path.name for path in (SAMPLES / "data" / "documents").iterdir())
    failed = [row for row in rows if row["_status"] == "failed"]
    assert len(rows) == len(documents) == 30
    assert [str(row["_id"]).rpartition("/")[2] for row in failed] == [BROKEN]
    assert failed[0]["_attempts"] == 1
    assert "not a whole PDF" in str(failed[0]["_error"])

    assert sorted(path.name for path in folder.iterdir()) == [
        f"{name}.txt" for name in documents if name != BROKEN
    ]
    for name in documents:
        if name != BROKEN:
            text = (folder / f"{name}.txt").read_text()
            part = name.rpartition(".")[0].replace("-", " ")
            assert text.lower().startswith(f"data sheet: {part}\nwhat it does\nthe {part} ")
            assert re.search(r"Next inspection in\s\d+ months$", text)
            assert "Search" not in text  # which stands beside the text of the web pages


@pytest.mark.slow
def test_documents_of_a_folder_become_text_files(samples: Path) -> None:
    rows = run(samples, "document-conversion", SOME_FAILED)
    expect_texts(samples / "out" / "documents", rows)


@pytest.mark.slow
def test_documents_of_a_server_become_text_files(samples: Path) -> None:
    with file_server(samples / "data" / "documents") as url:
        server = f"spec.processor.python.kwargs.server={url}"
        rows = run(samples, "document-conversion-hybrid", SOME_FAILED, "--set", server)
    expect_texts(samples / "out" / "documents-hybrid", rows)


@pytest.mark.slow
def test_a_document_that_the_server_lacks_fails_at_once(samples: Path) -> None:
    (samples / "data" / "documents" / "penstock.pdf").unlink()
    with file_server(samples / "data" / "documents") as url:
        server = f"spec.processor.python.kwargs.server={url}"
        rows = run(samples, "document-conversion-hybrid", SOME_FAILED, "--set", server)
    failed = {row["_id"]: (row["_attempts"], row["_error"]) for row in rows if row["_error"]}
    assert failed.keys() == {BROKEN, "penstock.pdf"}
    assert failed["penstock.pdf"][0] == 1
    assert "HTTP 404" in str(failed["penstock.pdf"][1])


@pytest.mark.slow
def test_movies_are_embedded_without_a_server(samples: Path) -> None:
    run(samples, "embeddings-in-process", COMPLETE)
    table = pyarrow.parquet.read_table(samples / "out" / "embeddings-in-process.parquet")
    vectors = table.column("output").to_pylist()
    assert len(vectors) == 100
    assert {len(vector) for vector in vectors} == {64}
    assert all(sum(x * x for x in vector) == pytest.approx(1, abs=1e-6) for vector in vectors)
    titles = table.column("title").to_pylist()
    mob = vectors[titles.index("The Godfather")]
    near = [sum(a * b for a, b in zip(mob, other, strict=True)) for other in vectors]
    assert near[titles.index("Goodfellas")] > near[titles.index("Toy Story")]


def test_the_script_makes_the_documents_that_lie_there(tmp_path: Path) -> None:
    runpy.run_path(str(SAMPLES / "data/make_documents.py"))["make"](tmp_path)
    listed = (tmp_path / "documents.csv").read_text()
    assert listed == (SAMPLES / "data" / "documents.csv").read_text()
    made = {path.name for path in (tmp_path / "documents").iterdir()}
    assert made == {row["name"] for row in csv.DictReader(io.StringIO(listed))}
    for name in made - {BROKEN}:
        assert text(tmp_path / "documents" / name) == text(SAMPLES / "data/documents" / name)
    with pytest.raises(PyPdfError):
        text(SAMPLES / "data/documents" / BROKEN)


def text(path: Path) -> str:
    if path.suffix == ".html":
        return path.read_text()
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)
