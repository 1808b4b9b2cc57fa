"""The log file: who wrote what, bounded, shared by processes, and without secrets."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.local import logfile
from penstock.local.logfile import SharedFileHandler

log = logging.getLogger("penstock.test")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)


def test_lines_say_who_wrote_them(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "products.log"
    logfile.configure(path, "worker 2", {})
    log.info("claimed shard %d", 7)
    log.debug("not shown")
    assert logfile.current() == path
    line = path.read_text()
    assert " INFO    worker 2 [" in line
    assert line.endswith("] claimed shard 7\n")


def test_configured_again_it_writes_to_the_new_file_only(tmp_path: Path) -> None:
    logfile.configure(tmp_path / "one.log", "driver", {})
    logfile.configure(tmp_path / "two.log", "driver", {})
    log.info("hello")
    assert (tmp_path / "one.log").read_text() == ""
    assert "hello" in (tmp_path / "two.log").read_text()


def test_tracebacks_are_masked_too(tmp_path: Path) -> None:
    logfile.configure(tmp_path / "x.log", "driver", {"MY_API_KEY": "hunter2hunter2"})
    try:
        raise ValueError("refused: hunter2hunter2")
    except ValueError:
        log.exception("call with Bearer abcdef123456 failed")
    text = (tmp_path / "x.log").read_text()
    assert "ValueError: refused: ***" in text
    assert "Bearer ***" in text
    assert "hunter2" not in text
    assert "abcdef" not in text


def test_pods_log_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logfile.configure(None, "worker 0", {})
    log.warning("the driver is gone")
    assert capsys.readouterr().err.endswith("the driver is gone\n")
    assert logfile.current() is None
    assert logfile.configured()


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("penstock", logging.INFO, __file__, 1, text, None, None)


def test_the_log_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    handler = SharedFileHandler(path, max_bytes=100, kept=2)
    for number in range(100):
        handler.emit(record(f"line {number:04d}"))
    handler.close()
    files = sorted(tmp_path.glob("x.log*"))
    assert [file.name for file in files] == ["x.log", "x.log.1", "x.log.2", "x.log.lock"]
    assert all(file.stat().st_size <= 110 for file in files)
    assert "line 0099" in path.read_text()


def test_processes_that_share_a_log_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    one = SharedFileHandler(path, max_bytes=200, kept=20)
    other = SharedFileHandler(path, max_bytes=200, kept=20)
    for number in range(100):
        (one if number % 3 else other).emit(record(f"line {number:04d}"))
    one.close()
    other.close()
    lines = [line for file in tmp_path.glob("x.log*") for line in file.read_text().splitlines()]
    assert sorted(lines) == [f"line {number:04d}" for number in range(100)]
