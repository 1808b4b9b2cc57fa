"""The operator's log: readable by people or programs, and without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from penstock_operator import logs

SECRET = "postgres://me:Jericho-17@db.example/penstock"


@pytest.fixture
def quiet() -> Iterator[None]:
    """Puts the log back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    logs.configure(environ)
    log = logging.getLogger("penstock_operator.test")
    log.info("cannot reach %s", SECRET)
    try:
        raise ValueError(f"in {SECRET}")
    except ValueError:
        log.exception("it went wrong")
    logging.getLogger("kopf.activities").info("of no interest")
    return capsys.readouterr().err.splitlines()


@pytest.mark.usefixtures("quiet")
def test_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    said = lines({}, capsys)
    assert "INFO" in said[0]
    assert "cannot reach postgres://me:***@db.example/penstock" in said[0]
    assert any("Traceback" in line for line in said)
    assert "Jericho" not in "".join(said)
    assert "of no interest" not in "".join(said)


@pytest.mark.usefixtures("quiet")
def test_one_json_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    said = [json.loads(line) for line in lines({logs.FORMAT: "json"}, capsys)]
    assert [line["level"] for line in said] == ["info", "error"]
    assert said[0]["logger"] == "penstock_operator.test"
    assert "ValueError" in said[1]["error"]
    assert "Jericho" not in json.dumps(said)
