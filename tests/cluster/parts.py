"""What a part of the cluster is: a program, its arguments and the address that says it is well.

`recipe.py` lists all parts, `processes.py` starts them; the modules that describe one part each
(`control_plane.py`, `containerd.py`, `node.py`, `dns.py`) only return data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """One long-running process. `files` are its configuration, by path."""

    name: str
    command: tuple[str, ...]
    # Answers 200 as soon as the part works. None: its socket has to exist.
    health: str | None
    files: Mapping[Path, str] = field(default_factory=dict)


def flags(values: Mapping[str, object]) -> tuple[str, ...]:
    """`{"bind-address": "0.0.0.0"}` as `--bind-address=0.0.0.0`, in the order given."""
    return tuple(f"--{name}={value}" for name, value in values.items())
