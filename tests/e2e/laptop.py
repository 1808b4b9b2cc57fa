"""A laptop beside the cluster: a folder, the command line in it, and a namespace whose BatchJobs an
operator runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.e2e import parts
from tests.e2e.kube import environment
from tests.e2e.namespace import Namespace, Namespaces
from tests.e2e.operator_process import Operator, install_definition
from tests.e2e.parts import Postgres, Simulator
from tests.e2e.target import Target

PENSTOCK = Path(sys.executable).with_name("penstock")
KEY = "sk-test-Kaleidoscope-42"
"""A key that must be seen in no output."""
SECONDS = 300


@dataclass(frozen=True)
class Site:
    """A namespace with an operator that looks after it, and a folder to work in."""

    namespace: Namespace
    cluster: Target
    postgres: Postgres
    folder: Path

    def simulator(self, name: str, *options: str) -> Simulator:
        return parts.start_simulator(
            self.namespace, self.cluster.images["worker"], *options, name=name
        )

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        told = {"KUBECONFIG": self.cluster.kubeconfig, **variables}
        return subprocess.Popen(
            [PENSTOCK, *arguments],
            cwd=self.folder,
            env=environment(told),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def penstock(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """What a command prints, on both streams; it has to end with `code`."""
        process = self.start(*arguments, **variables)
        out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == code, f"{arguments} ended {process.returncode}:\n{out}{err}"
        assert KEY not in out + err
        return out if "--json" in arguments else out + err

    def there(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """The same about the cluster."""
        return self.penstock(*arguments, "--namespace", self.namespace.name, code=code, **variables)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """What a file of results holds."""
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def manifest(self, name: str, url: str, items: list[Any], **spec: Any) -> str:
        """A manifest with its data in a file beside it."""
        lines = "".join(json.dumps(item) + "\n" for item in items)
        (self.folder / f"{name}.jsonl").write_text(lines)
        written = {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": name},
            "spec": {
                "source": {"file": {"path": f"{name}.jsonl"}, "idField": "id"},
                "processor": {"http": {"url": f"{url}/any", "responsePath": "echo"}},
                "scaling": {"maxParallelism": 1},
                **spec,
            },
        }
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(written))
        return f"{name}.yaml"


@contextmanager
def set_up(namespaces: Namespaces, cluster: Target, folder: Path) -> Iterator[Site]:
    """A namespace with PostgreSQL in it, and an operator beside the cluster that uses both."""
    install_definition(namespaces.kube)
    namespace = namespaces.create()
    try:
        with _operated(namespace, cluster, folder) as site:
            yield site
    finally:
        namespaces.delete(namespace)


@contextmanager
def _operated(namespace: Namespace, cluster: Target, folder: Path) -> Iterator[Site]:
    postgres = parts.start_postgres(namespace, cluster.images["postgres"])
    with namespace.forward(f"pod/{postgres.name}", parts.POSTGRES_PORT) as port:
        url = postgres.url.replace(f"{postgres.name}.{namespace.name}:5432", f"127.0.0.1:{port}")
        with Operator(namespace, cluster, folder / "operator.log", url, postgres.url) as operator:
            operator.wait("/readyz")
            yield Site(namespace, cluster, postgres, folder)
