"""The chart as somebody installs it to try it out: in one namespace, with the small database that
comes with it, for the jobs of that namespace only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.e2e import helm
from tests.e2e.helm import CHART, Helm
from tests.e2e.kube import Object
from tests.e2e.namespace import Namespace
from tests.e2e.operator_process import install_definition
from tests.e2e.target import Target

RELEASE = "penstock"
OPERATOR = "app.kubernetes.io/component=operator"
POSTGRES = "app.kubernetes.io/component=postgresql"


@dataclass(frozen=True)
class TriedOut:
    """An installation in `namespace`. It goes with its namespace, if it is not uninstalled."""

    namespace: Namespace
    cluster: Target

    def install(self) -> None:
        """Install it and wait until it is ready."""
        install_definition(self.namespace.kube)
        self._helm("install", RELEASE, str(CHART), "--wait", "--timeout=5m", values=self._values())

    def upgrade(self, **operator: Any) -> None:
        """With other values for the operator; wait until that is ready."""
        values = self._values()
        values["operator"] |= operator
        self._helm("upgrade", RELEASE, str(CHART), "--wait", "--timeout=5m", values=values)

    def uninstall(self) -> None:
        """Remove it; jobs and definition stay."""
        self._helm("uninstall", RELEASE, "--wait", "--timeout=5m")

    def pod(self, selector: str) -> Object:
        """The operator's or the database's; there is only one."""
        [found] = [
            pod
            for pod in self.namespace.all("Pod", f"app.kubernetes.io/instance={RELEASE},{selector}")
            if "deletionTimestamp" not in pod["metadata"]
        ]
        return found

    def _helm(self, *arguments: str, values: Object | None = None) -> None:
        Helm(self.cluster, self.namespace.name)(*arguments, values=values)

    def _values(self) -> Object:
        return {
            **helm.images(self.cluster.images),
            "watchNamespaces": [self.namespace.name],
            # What all tests share is installed by none of them, so that none takes it away.
            "crds": {"install": False},
            "rbac": {"aggregate": False},
        }
