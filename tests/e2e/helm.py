"""The pinned Helm with the chart of this repository and the images of the tests."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.kube import Object, environment
from tests.e2e.target import Target

CHART = Path(__file__).resolve().parents[2] / "charts" / "penstock"
_MINUTES = 6


@dataclass(frozen=True)
class Helm:
    """Helm on one namespace of the cluster."""

    target: Target
    namespace: str

    def __call__(self, *arguments: str, values: Object | None = None) -> str:
        """What a command prints. Raises AssertionError with what it complains about."""
        done = self.run(*arguments, values=values)
        assert done.returncode == 0, f"helm {arguments[0]}: {done.stderr.strip()}"
        return done.stdout

    def run(
        self, *arguments: str, values: Object | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The same for a command that may fail; `values` go in by its standard input."""
        at = ["--kubeconfig", self.target.kubeconfig, "--namespace", self.namespace]
        read = [] if values is None else ["--values", "-"]
        return subprocess.run(
            [self.target.programs["helm"], *at, *arguments, *read],
            input=None if values is None else json.dumps(values),
            capture_output=True,
            text=True,
            env=environment(),
            timeout=60 * _MINUTES,
            check=False,
        )


def images(references: Mapping[str, str]) -> Object:
    """Values of the chart for the images of the tests: operator, worker, PostgreSQL."""
    return {
        "operator": {"image": image(references["operator"])},
        "worker": {"image": image(references["worker"])},
        "bundledPostgres": {"image": image(references["postgres"])},
    }


def image(reference: str) -> Object:
    """`registry.example:5000/penstock/worker:1` as the chart's values have it."""
    name, _, tag = reference.rpartition(":")
    first, _, rest = name.partition("/")
    if rest and ("." in first or ":" in first):
        return {"registry": first, "repository": rest, "tag": tag}
    return {"registry": "", "repository": name, "tag": tag}
