"""Which cluster the tests run on, and under which names it knows the images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from penstock import __version__
from tests.cluster import binaries, builds, lifecycle
from tests.cluster.config import Paths
from tests.cluster.errors import ClusterError

KUBECONFIG = "PENSTOCK_E2E_KUBECONFIG"
IMAGES = "PENSTOCK_E2E_IMAGES"
# What stands in for our own images of these on another cluster, which pulls them by itself.
OFFICIAL = {
    "postgres": "postgres:17",
    "prometheus": "prom/prometheus:v3.5.0",
    "busybox": "busybox:1.37",
}


@dataclass(frozen=True)
class Target:
    """A cluster that runs, and what the tests need beside it.

    own: `make cluster` started it, so images can be put into it, its logs can be read, and what is
    known of its network holds. images: their references by name. programs: paths of kubectl, helm.
    """

    kubeconfig: str
    own: bool
    images: Mapping[str, str]
    programs: Mapping[str, str]

    def told(self) -> dict[str, Any]:
        """As plain values, for another process of the tests."""
        return asdict(self)


def named() -> bool:
    """Whether the tests are told which cluster to use."""
    return bool(os.environ.get(KUBECONFIG))


def find() -> Path:
    """Kubeconfig of the cluster to test on. Raises ClusterError with the reason for none."""
    if not named():
        return lifecycle.kubeconfig(Paths())
    path = Path(os.environ[KUBECONFIG]).expanduser()
    if not path.is_file():
        raise ClusterError(f"{KUBECONFIG} names {path}, and there is no such file")
    if not os.environ.get(IMAGES):
        raise ClusterError(
            f"with {KUBECONFIG}, {IMAGES} has to name the registry from which that cluster pulls"
            " what `make images REGISTRY=…` pushed"
        )
    return path


def prepare(kubeconfig: Path) -> Target:
    """Builds programs and images where they are missing, and brings images into our own cluster.

    Says on stderr what it does. Raises ClusterError with the end of what failed.
    """
    programs = {name: str(path) for name, path in binaries.ensure(["kubectl", "helm"]).items()}
    own = not named()
    if own:
        references = builds.load(builds.NAMES, Paths())
    else:
        pushed = f"{os.environ[IMAGES].rstrip('/')}/penstock-{{}}:{__version__}"
        references = {name: pushed.format(name) for name in ("worker", "operator")} | OFFICIAL
    return Target(str(kubeconfig), own, references, programs)
