"""`make run`, as a user has it: everything the first time, nothing the second."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import openpyxl
import pytest

from tools import run_sample


def sample(*options: str) -> subprocess.CompletedProcess[str]:
    script = run_sample.ROOT / "tools" / "run_sample.py"
    return subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_sample_runs_and_a_second_time_skips_all(tmp_path: Path) -> None:
    book = tmp_path / "products.xlsx"
    options = ("--data-dir", str(tmp_path / "data"), "--output", str(book))

    first = sample(*options)

    assert first.returncode == 0, first.stdout + first.stderr
    rows = list(openpyxl.load_workbook(book).worksheets[0].values)
    position, status = rows[0].index("_position"), rows[0].index("_status")
    positions = [int(str(row[position])) for row in rows[1:]]
    assert positions == sorted(positions)
    assert [row[status] for row in rows[1:]] == ["succeeded"] * 201
    assert accepted(first.stdout) == 201

    second = sample(*options)

    assert second.returncode == 0, second.stdout + second.stderr
    assert accepted(second.stdout) == 0


def test_another_port_is_taken_when_the_wanted_one_is_in_use() -> None:
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        taken = occupied.getsockname()[1]
        assert run_sample.free_port(taken) not in (0, taken)
    assert run_sample.free_port(taken) == taken


def accepted(text: str) -> int:
    found = re.search(r"accepted (\d+) calls", text)
    assert found, text
    return int(found[1])
