"""The operator as a process of a test, which can be stopped, killed and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

from tests.e2e.command import ROOT
from tests.e2e.kube import Kube, environment
from tests.e2e.namespace import Namespace
from tests.e2e.target import Target
from tests.e2e.waiting import until

DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/batchjobs.penstock.dev"
NOWHERE = "postgresql://nobody:Jericho-17@127.0.0.1:1/none"
"""An address at which no database answers, and a password that must be in no log."""


def install_definition(kube: Kube) -> None:
    """The CustomResourceDefinition as it stands in the repository; several tests may do so."""
    file = str(ROOT / "manifests" / "crd.yaml")
    kube.kubectl("apply", "--server-side", "--force-conflicts", "--filename", file)
    # An object so new has no conditions yet: `kubectl wait` and a filter in a JSON path both fail.
    until(
        lambda: kube.get(DEFINITION).get("status", {}).get("conditions") or [],
        lambda found: ("Established", "True") in {(one["type"], one["status"]) for one in found},
        "the definition is established",
    )


class Operator:
    """`python -m penstock_operator`. namespace: where its Lease is, and the BatchJobs that it minds
    unless `minds` names another. url: the database as this process reaches it; worker_url: as pods
    do. log: the file it logs to, after what is there already. Killed at the end of the `with`
    block, if it still runs."""

    def __init__(
        self,
        namespace: Namespace,
        cluster: Target,
        log: Path,
        url: str,
        worker_url: str = "",
        *,
        minds: Namespace | None = None,
    ) -> None:
        self._port, self._log = _free_port(), log
        told = {
            "KUBECONFIG": cluster.kubeconfig,
            "PENSTOCK_DATABASE_URL": url,
            "PENSTOCK_WORKER_DATABASE_URL": worker_url,
            "PENSTOCK_NAMESPACE": namespace.name,
            "PENSTOCK_NAMESPACES": (minds or namespace).name,
            "PENSTOCK_WORKER_IMAGE": cluster.images["worker"],
            "PENSTOCK_HEALTH_PORT": str(self._port),
        }
        with log.open("ab") as target:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "penstock_operator"],
                cwd=ROOT,
                stderr=target,
                env=environment(told),
            )

    def __enter__(self) -> Operator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        if error is not None:
            print(self.log())

    def log(self) -> str:
        """What was logged so far."""
        return self._log.read_text()

    def asked(self, path: str) -> int:
        """The HTTP status of a probe; 0 while nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=10) as got:
                status: int = got.status
                return status
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def wait(self, path: str, status: int = 200) -> None:
        """Waits until a probe is answered so; gives up when the process has ended."""

        def good(seen: int) -> bool:
            assert self.process.poll() is None, f"the operator ended:\n{self.log()}"
            return seen == status

        until(lambda: self.asked(path), good, f"{path} answered with {status}")

    def stop(self) -> tuple[int, float]:
        """SIGTERM; returns its exit code and the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60), time.monotonic() - began


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
