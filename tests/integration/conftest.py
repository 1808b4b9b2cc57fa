"""Fixtures of the tests that break real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.chaos_support import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A directory of this test's own to run jobs in."""
    with Place(tmp_path) as place:
        yield place
