"""What becomes of errors: plain words on stderr, and the exit code that belongs to them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penstock.cli import failures
from penstock.cli.app import app
from penstock.errors import AlreadyRunning, DatabaseError, InputError, Mistake, NotFound
from penstock.local import logfile


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own, and the log configuration as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logfile, "_handler", None)
    monkeypatch.setattr(logfile, "_current", None)
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)


def ended_by(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Any:
    def parse(_: object) -> float:
        raise error

    monkeypatch.setattr("penstock.spec.types.parse_duration", parse)
    return CliRunner().invoke(app, ["gc"])


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (DatabaseError("cannot be reached"), 1, "Error: cannot be reached\n"),
        (AlreadyRunning("it runs"), 2, "Error: it runs\n"),
        (NotFound("no job named x"), 2, "Error: no job named x\n"),
        (InputError.at("spec.source", "empty"), 2, "Error: spec.source: empty\n"),
        (
            InputError([Mistake("a", "wrong"), Mistake("b", "worse")]),
            2,
            "Error: 2 mistakes\n  a: wrong\n  b: worse\n",
        ),
        (
            BaseExceptionGroup("both", [ValueError("x"), DatabaseError("is gone")]),
            1,
            "Error: is gone\n",
        ),
        (DatabaseError("postgresql://bob:s3cret@db"), 1, "Error: postgresql://bob:***@db\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_in_plain_words(
    error: BaseException, code: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = ended_by(error, monkeypatch)
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", told)


def test_a_bug_is_one_line_and_its_traceback_is_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".penstock").mkdir()
    result = ended_by(ZeroDivisionError("by sk-abcdef123456"), monkeypatch)
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first == "Error: something went wrong that should not: ZeroDivisionError: by ***"
    assert second == "The traceback is in .penstock/logs/penstock.log"
    text = (tmp_path / ".penstock/logs/penstock.log").read_text()
    assert "Traceback (most recent call last)" in text
    assert "sk-abc" not in text


def test_the_traceback_goes_to_the_log_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logfile.configure(tmp_path / "run.log", "driver", {})
    result = ended_by(ZeroDivisionError("oh"), monkeypatch)
    assert f"The traceback is in {tmp_path / 'run.log'}" in result.stderr
    assert "Traceback" in (tmp_path / "run.log").read_text()


def test_where_no_file_can_be_the_traceback_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".penstock").mkdir()
    (tmp_path / ".penstock" / "logs").write_text("in the way")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / f"penstock-{os.getuid()}").write_text("in the way")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    result = ended_by(ZeroDivisionError("oh"), monkeypatch)
    assert "Traceback (most recent call last)" in result.stderr
    assert "The traceback is in" not in result.stderr


def test_mistakes_stand_under_the_manifest_they_are_in() -> None:
    error = InputError([Mistake("job.yaml:3 spec.x", "wrong"), Mistake("a.csv:2", "no ID")])
    assert failures.mistake_lines(error, "job.yaml") == [
        "job.yaml: 2 mistakes",
        "  job.yaml:3 spec.x: wrong",
        "  a.csv:2: no ID",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["run"],
        ["run", "job.yaml", "--limit", "-1"],
        ["run", "job.yaml", "--limit", "many"],
        ["run", "job.yaml", "--concurrency", "0"],
        ["run", "job.yaml", "--workers", "0"],
        ["run", "job.yaml", "--preview", "0"],
        ["run", "job.yaml", "--force", "--redrive"],
        ["run", "job.yaml", "--sett", "a=b"],
        ["gc", "--older-than", "a while"],
        ["delete", "products"],
        ["work"],
    ],
)
def test_wrong_use_ends_with_2_and_says_nothing_on_stdout(arguments: list[str]) -> None:
    result = CliRunner(env={"PENSTOCK_RUN": ""}).invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr


def test_a_misspelt_command_is_guessed() -> None:
    assert "Did you mean 'status'?" in CliRunner().invoke(app, ["statsu"]).stderr


def test_a_reader_that_leaves_ends_the_command_quietly(
    tmp_path: Path,
) -> None:
    code = (
        "import sys\n"
        "import penstock.cli.app as app\n"
        "def many():\n"
        "    for _ in range(100_000): sys.stdout.buffer.write(b'row\\n')\n"
        "app.app.command('many')(many)\n"
        "sys.argv = ['penstock', 'many']\n"
        "app.main()\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writer = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        cwd=tmp_path,
    )
    assert writer.stdout is not None
    assert writer.stderr is not None
    assert writer.stdout.readline() == b"row\n"
    writer.stdout.close()
    assert writer.stderr.read() == b""
    writer.stderr.close()
    assert writer.wait() == 0
