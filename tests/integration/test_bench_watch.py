"""Watching a command the way the measurements do."""

from __future__ import annotations

import sys

from bench import watch

CHILD = """
import time
held = bytearray(60_000_000)
while time.process_time() < 1.5:
    held[0] ^= 1
raise SystemExit(3)
"""
PARENT = f"""
import subprocess, sys
print("out")
sys.exit(subprocess.call([sys.executable, "-c", {CHILD!r}]))
"""


def test_a_command_is_timed_and_weighed_with_its_children() -> None:
    ended = watch.watched([sys.executable, "-c", PARENT])
    assert (ended.code, ended.output) == (3, "out\n")
    assert 1.5 <= ended.cpu <= ended.seconds + 0.1
    largest = max(figures.peak for figures in ended.roles.values())
    assert 57 < largest < 120
