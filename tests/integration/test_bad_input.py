"""Bad manifests, data and options through the real commands: told plainly, exit 2, nothing done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import jsons
from tests.integration.bad_data import DATA
from tests.integration.bad_input_support import ITEMS, MANIFEST, Case
from tests.integration.bad_manifests import MANIFESTS
from tests.integration.command_support import Home, Provider, home, penstock, provider

CASES = [*MANIFESTS, *DATA]


@pytest.fixture(scope="module")
def server() -> Iterator[Provider]:
    """A provider that none of the bad jobs may call."""
    with provider() as server:
        yield server


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A database in which none of the bad jobs may leave anything."""
    with home(tmp_path_factory.mktemp("bad") / "data") as database:
        yield database


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory; no keys are set."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "PENSTOCK_SECRET_"))]:
        monkeypatch.delenv(name)
    return tmp_path


def write(case: Case, folder: Path, url: str) -> None:
    """The case's manifest and data."""
    (folder / "job.yaml").write_bytes(case.text(url))
    for name, content in case.files.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_told_and_nothing_is_done(
    case: Case, folder: Path, server: Provider, database: Home
) -> None:
    write(case, folder, server.url)
    files, rows, requests = sorted(folder.iterdir()), database.rows(), server.requests

    ran = penstock("run", "job.yaml", "--data-dir", database.path, *case.options)

    assert ran.exit_code == 2, ran.output
    for phrase in case.says:
        assert phrase in ran.stderr
    assert ran.stdout == ""
    assert "hunter2" not in ran.stderr
    assert server.requests == requests
    assert database.rows() == rows
    assert sorted(folder.iterdir()) == files
    asked = penstock("status", "products", "--data-dir", database.path)
    assert asked.exit_code == 2
    assert "no job named products" in asked.stderr

    if not case.run_only:
        validated = penstock("validate", "job.yaml", *case.options)
        assert (validated.exit_code, validated.stderr) == (2, ran.stderr)


def test_no_case_stands_for_another() -> None:
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.says for case in CASES)


def test_the_job_that_they_spoil_is_a_good_one(
    folder: Path, server: Provider, database: Home
) -> None:
    good = MANIFEST.replace("name: products", "name: good")
    write(Case("", (), manifest=good.replace("URL", server.url).encode()), folder, "")
    assert penstock("validate", "job.yaml").exit_code == 0
    ran = penstock("run", "job.yaml", "--data-dir", database.path, "--json", "--quiet")
    assert ran.exit_code == 0, ran.output
    assert jsons.loads(ran.stdout)["succeeded"] == ITEMS.count("\n")


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("jop.yaml", "jop.yaml: there is no such file; did you mean 'job.yaml'?"),
        ("data", "data: is a folder; wanted a manifest"),
        ("job.yaml/x", "job.yaml/x: cannot be read: Not a directory"),
    ],
)
def test_a_manifest_that_is_not_there(
    folder: Path, database: Home, manifest: str, says: str
) -> None:
    (folder / "job.yaml").write_text("kind: BatchJob\n")
    (folder / "data").mkdir()
    rows = database.rows()
    for command in (["run", manifest, "--data-dir", database.path], ["validate", manifest]):
        answer = penstock(*command)
        assert answer.exit_code == 2, answer.output
        assert says in answer.stderr
    assert database.rows() == rows


DATABASES = {
    "another scheme": ("mysql://me:hunter2@127.0.0.1/penstock", "such as postgresql://"),
    "a name only": ("penstock", "such as postgresql://"),
    "empty": ("", "such as postgresql://"),
    "nobody listens": ("postgresql://me:hunter2@127.0.0.1:9/x", "at 127.0.0.1:9/x cannot be reach"),
    "no such host": ("postgresql://me:hunter2@db.invalid/x", "at db.invalid/x cannot be reached"),
    "a bad port": ("postgresql://me:hunter2@127.0.0.1:pg/x", "such as postgresql://"),
    "no such socket": ("postgresql:///x?host=/nowhere", "/x cannot be reached"),
}


@pytest.mark.parametrize(("address", "says"), DATABASES.values(), ids=DATABASES.keys())
def test_a_database_that_cannot_be_used(
    folder: Path, server: Provider, address: str, says: str
) -> None:
    write(Case("", ()), folder, server.url)
    before, files = server.requests, sorted(folder.iterdir())
    for command in (["run", "job.yaml"], ["status"], ["delete", "products", "--yes"]):
        answer = penstock(*command, "--database", address)
        assert answer.exit_code == 2, answer.output
        assert answer.stderr.startswith("Error: --database: ")
        assert says in answer.stderr
        assert "hunter2" not in answer.output
    assert server.requests == before
    assert sorted(folder.iterdir()) == files  # it did not fall back to one of its own


def test_a_database_in_which_nothing_may_be_made(
    folder: Path, server: Provider, database: Home
) -> None:
    write(Case("", ()), folder, server.url)
    database.execute("CREATE ROLE guest LOGIN")
    database.execute("CREATE DATABASE bare")
    address = f"postgresql://guest@/bare?{database.dsn.partition('?')[2]}"

    answer = penstock("run", "job.yaml", "--database", address)

    assert answer.exit_code == 2, answer.output
    assert "--database: the database at the local socket" in answer.stderr
    assert "permission denied for schema public" in answer.stderr


def test_all_mistakes_are_told_at_once(folder: Path, server: Provider, database: Home) -> None:
    text = MANIFEST.replace("idField: id", 'idFeild: id\n    limit: "5"\n    where: "item.id ="')
    text = text.replace("item.text }}", "item.text }").replace("10m", "soon")
    text = text.replace("url: URL", "method: FETCH\n      url: URL")
    (folder / "job.yaml").write_text(text.replace("URL", server.url))
    places = [
        *("7 spec.source.idFeild", "8 spec.source.limit", "9 spec.source.where"),
        *("12 spec.processor.http.method", "14 spec.processor.http.body.text"),
        "15 spec.retry.maxElapsed",
    ]
    for command in (["run", "job.yaml", "--data-dir", database.path], ["validate", "job.yaml"]):
        answer = penstock(*command)
        assert answer.exit_code == 2
        heading, *lines = answer.stderr.splitlines()
        assert heading == "job.yaml: 6 mistakes"
        told = [line.removeprefix("  job.yaml:").partition(": ")[0] for line in lines]
        assert told == places


def test_validate_tells_of_data_and_output_together(folder: Path, server: Provider) -> None:
    text = MANIFEST.replace("URL", server.url) + "  output: {file: {path: job.yaml/x.csv}}\n"
    (folder / "job.yaml").write_text(text)
    (folder / "items.jsonl").write_text(f"{ITEMS}oops\n{{}}\n")
    answer = penstock("validate", "job.yaml")
    assert answer.exit_code == 2
    assert "job.yaml: 3 mistakes" in answer.stderr
    for place in ("items.jsonl:3: ", "items.jsonl:4: ", "spec.output.file.path: "):
        assert f"\n  {place}" in answer.stderr


TOLERATED = {
    "items.jsonl": (
        b'{"id": "a", "text": "one"}\n'
        b"oops\n"
        b'{"text": "no ID"}\n'
        b'{"id": "a", "text": "again"}\n'
        b'{"id": "\xf6", "text": "Windows"}\n'
        b'{"id": "b", "text": "two"}\n',
        {1: "not JSON", 2: "no ID", 3: "duplicate ID", 4: "not UTF-8"},
    ),
    "items.csv": (
        b"id,text\na,one\nb\n,no ID\na,again\nc,\xf6\nd,two\n",
        {1: "too few cells", 2: "no ID", 3: "duplicate ID", 4: "not UTF-8"},
    ),
}


@pytest.mark.parametrize("name", TOLERATED)
def test_bad_records_fail_in_their_place_where_that_is_asked_for(
    name: str, folder: Path, server: Provider, database: Home
) -> None:
    content, wrong = TOLERATED[name]
    (folder / name).write_bytes(content)
    job = f"tolerant-{Path(name).suffix[1:]}"
    text = MANIFEST.replace("items.jsonl", name).replace("URL", server.url)
    text = text.replace("name: products", f"name: {job}")
    text = text.replace("idField: id", "idField: id\n    onBadRecord: failItem")
    (folder / "job.yaml").write_text(text)
    requests = server.requests

    validated = penstock("validate", "job.yaml")
    assert validated.exit_code == 0, validated.output
    ran = penstock("run", "job.yaml", "--data-dir", database.path)

    assert ran.exit_code == 3, ran.output
    assert server.requests - requests == 2
    listed = penstock("results", job, "--data-dir", database.path)
    rows = [jsons.loads(line) for line in listed.stdout.splitlines()]
    assert [row["_position"] for row in rows] == list(range(6))
    assert [row["_status"] for row in rows] == ["succeeded", *["failed"] * 4, "succeeded"]
    for position, reason in wrong.items():
        assert reason in rows[position]["_error"]
        assert rows[position]["_attempts"] == 0


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["status", "nothing"], "no job named nothing"),
        (["watch", "nothing"], "no job named nothing"),
        (["results", "nothing"], "no job named nothing"),
        (["redrive", "nothing"], "no job named nothing"),
        (["suspend", "nothing"], "no job named nothing"),
        (["resume", "nothing"], "no job named nothing"),
        (["delete", "nothing", "--yes"], "no job named nothing"),
        (["delete", "nothing", "--yes", "--results"], "no job named nothing"),
        (["delete", "nothing"], "--yes: needed to delete nothing and its runs"),
        (["gc", "--older-than", "long"], "--older-than: 'long' is not a duration"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_other_commands_say_what_is_wrong(
    folder: Path, database: Home, command: list[str], says: str
) -> None:
    answer = penstock(*command, "--data-dir", database.path)
    assert answer.exit_code == 2, answer.output
    assert says in answer.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing.csv"], "no file 'nothing.csv'"),
        (["bad.csv"], "bad.csv:3: too few cells"),
        (["good.csv", "-o", "good.csv"], "good.csv: exists already"),
        (["good.csv", "-o", "no/such/job.yaml"], "cannot be written: No such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_init_says_what_is_wrong(folder: Path, arguments: list[str], says: str) -> None:
    (folder / "bad.csv").write_text("id,text\na,one\nb\n")
    (folder / "good.csv").write_text("id,text\na,one\n")
    answer = penstock("init", *arguments)
    assert answer.exit_code == 2, answer.output
    assert says in answer.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["bad.csv", "good.csv"]
