"""The chart, installed for a test: operator and PostgreSQL in a namespace of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from penstock.store.db import Database
from tests.e2e import helm, parts
from tests.e2e.helm import CHART, Helm
from tests.e2e.kube import Object, condition
from tests.e2e.namespace import Namespace, Namespaces
from tests.e2e.operator_process import install_definition
from tests.e2e.target import Target
from tests.e2e.volumes import CLASS, volume
from tests.e2e.waiting import until

RELEASE = "penstock"
POSTGRES = "penstock-postgresql"


@dataclass(frozen=True)
class Installation:
    """home: where operator and database are."""

    home: Namespace

    def operator(self) -> str:
        """The operator's pod, once it is ready."""
        return self._pod("app.kubernetes.io/component=operator")

    def database(self) -> str:
        """The database's pod, once it is ready."""
        return self._pod("app.kubernetes.io/component=postgresql")

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Database]:
        """Penstock's own connection to the database, from the tests' process."""
        with self.home.forward(f"pod/{self.database()}", parts.POSTGRES_PORT) as port:
            password = self.home.exec(POSTGRES + "-0", "printenv", "POSTGRES_PASSWORD").strip()
            db = Database(f"postgresql://penstock:{password}@127.0.0.1:{port}/penstock")
            await db.open()
            try:
                yield db
            finally:
                await db.close()

    def _pod(self, selector: str) -> str:
        def ready() -> list[str]:
            found = self.home.all("Pod", f"app.kubernetes.io/instance={RELEASE},{selector}")
            return [pod["metadata"]["name"] for pod in found if _works(pod)]

        [name] = until(ready, lambda names: len(names) == 1, f"one ready pod of {selector}")
        return name


@contextmanager
def installed(
    namespaces: Namespaces, cluster: Target, watched: Sequence[Namespace]
) -> Iterator[Installation]:
    """An installation that runs the BatchJobs of these namespaces. Its database keeps its data when
    its pod goes."""
    home = namespaces.create()
    install_definition(home.kube)
    values = {
        **helm.images(cluster.images),
        # What all tests share is installed by none of them, so that none removes it.
        "crds": {"install": False},
        "rbac": {"aggregate": False},
        "watchNamespaces": [namespace.name for namespace in watched],
    }
    values["bundledPostgres"]["persistence"] = {"enabled": True, "storageClass": CLASS}
    with volume(namespaces, cluster.images["busybox"], home, POSTGRES):
        try:
            Helm(cluster, home.name)(
                *("install", RELEASE, str(CHART), "--wait", "--timeout=5m"), values=values
            )
            yield Installation(home)
        finally:
            namespaces.delete(home)


def _works(pod: Object) -> bool:
    return condition(pod, "Ready") is not None and "deletionTimestamp" not in pod["metadata"]
