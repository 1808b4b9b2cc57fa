"""The commands behind `make cluster`, as processes of their own, so that what they start outlives
the tests' process without being its children."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def cluster(command: str, *arguments: str, text: str | None = None) -> None:
    """Runs `python -m tests.cluster`; says what that says. Raises CalledProcessError."""
    subprocess.run(
        [sys.executable, "-m", "tests.cluster", command, *arguments],
        cwd=ROOT,
        input=text,
        text=True,
        check=True,
    )
