"""Clients of others in a virtual environment of their own, made when they are first needed.

    python -m bench.peers

makes it now: build/bench-peers, with what bench/live_peers/requirements.txt pins (about a minute
and 1 GB; LiteLLM and Ray are large). It is made again when the pins have changed. They are pinned
by

    uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \\
        bench/live_peers/requirements.in -o bench/live_peers/requirements.txt
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.rig import ROOT, environment

REQUIREMENTS = ROOT / "bench" / "live_peers" / "requirements.txt"
PLACE = ROOT / "build" / "bench-peers"
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "RAY_USAGE_STATS_ENABLED": "0"}
"""They are not to call their makers."""


def python() -> Path:
    """The interpreter of the peers. Makes their environment where it is missing or outdated."""
    found, stamp = PLACE / "bin" / "python", PLACE / "installed.txt"
    pins = REQUIREMENTS.read_text()
    if not stamp.is_file() or stamp.read_text() != pins:
        print(f"installing LiteLLM, Ray and others into {PLACE} …", file=sys.stderr, flush=True)
        uv = [sys.executable, "-m", "uv"]
        made = [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(PLACE)]
        filled = [*uv, "pip", "install", "--quiet", "--python", str(found), "--require-hashes"]
        subprocess.run(made, check=True)
        subprocess.run([*filled, "-r", str(REQUIREMENTS)], check=True)
        stamp.write_text(pins)
    return found


def run(script: str, *arguments: str, within: float) -> dict[str, Any]:
    """One of bench/live_peers, to its end; what its last line says. RuntimeError when it failed."""
    command = [str(python()), "-m", f"bench.live_peers.{script}", *arguments]
    environ = environment() | QUIET
    done = subprocess.run(
        command, capture_output=True, text=True, env=environ, timeout=within, check=False
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise RuntimeError(f"{script} ended with code {done.returncode}:\n{done.stderr[-2000:]}")
    said: dict[str, Any] = json.loads(lines[-1])
    return said


if __name__ == "__main__":
    print(python())
