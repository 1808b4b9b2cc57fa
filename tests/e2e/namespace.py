"""A namespace of one test: its objects by kind and name, and what its pods say and do."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.kube import Kube, Object, Refused, condition, environment
from tests.e2e.waiting import SECONDS, until

# Kind: where its objects are.
KINDS = {
    "BatchJob": "apis/penstock.dev/v1alpha1/namespaces/{}/batchjobs",
    "ConfigMap": "api/v1/namespaces/{}/configmaps",
    "Deployment": "apis/apps/v1/namespaces/{}/deployments",
    "Event": "api/v1/namespaces/{}/events",
    "Job": "apis/batch/v1/namespaces/{}/jobs",
    "Lease": "apis/coordination.k8s.io/v1/namespaces/{}/leases",
    "NetworkPolicy": "apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "PersistentVolumeClaim": "api/v1/namespaces/{}/persistentvolumeclaims",
    "Pod": "api/v1/namespaces/{}/pods",
    "Role": "apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Secret": "api/v1/namespaces/{}/secrets",
    "Service": "api/v1/namespaces/{}/services",
    "ServiceAccount": "api/v1/namespaces/{}/serviceaccounts",
}


@dataclass(frozen=True)
class Namespace:
    """Everything takes place in the namespace `name`."""

    kube: Kube
    name: str

    def path(self, kind: str, name: str = "") -> str:
        """Where the API server has an object, or all of a kind."""
        collection = f"/{KINDS[kind]}".format(self.name)
        return f"{collection}/{name}" if name else collection

    def create(self, *objects: Object) -> None:
        """Objects as dicts; their namespace is this one."""
        for one in objects:
            self.kube.create(self.path(one["kind"]), one)

    def get(self, kind: str, name: str) -> Object:
        """An object. Raises Refused with 404 when there is none."""
        return self.kube.get(self.path(kind, name))

    def find(self, kind: str, name: str) -> Object | None:
        """An object, or None."""
        try:
            return self.get(kind, name)
        except Refused as refused:
            if refused.status != 404:
                raise
            return None

    def all(self, kind: str, selector: str = "") -> list[Object]:
        """All objects of a kind; with a selector (`app=web`) those with certain labels."""
        found: list[Object] = self.kube.get(self.path(kind), labelSelector=selector)["items"]
        return found

    def patch(self, kind: str, name: str, body: Object) -> None:
        """Merge patch."""
        self.kube.patch(self.path(kind, name), body)

    def delete(self, kind: str, name: str, *, grace: int | None = None) -> None:
        """Ask for an object's end; grace 0 forgets a pod at once (kubectl's --force)."""
        self.kube.delete(self.path(kind, name), grace=grace)

    def wait(
        self,
        kind: str,
        name: str,
        good: Callable[[Object], bool],
        wanted: str,
        *,
        seconds: float = SECONDS,
    ) -> Object:
        """Waits for an object to be as it should."""

        def look() -> Object:
            found = self.get(kind, name)
            found["metadata"].pop("managedFields", None)
            return found

        return until(look, good, f"{kind} {name}: {wanted}", seconds=seconds)

    def ready(self, pod: str, *, seconds: float = SECONDS) -> Object:
        """Waits until a pod is Ready; gives up at once when it has ended."""

        def good(found: Object) -> bool:
            phase = found.get("status", {}).get("phase")
            assert phase not in ("Failed", "Succeeded"), f"pod {pod} has ended:\n{self.logs(pod)}"
            return condition(found, "Ready") is not None

        return self.wait("Pod", pod, good, "Ready", seconds=seconds)

    def ended(self, pod: str, *, seconds: float = SECONDS) -> int:
        """Waits until a pod has ended; returns its container's exit code."""

        def good(found: Object) -> bool:
            return found.get("status", {}).get("phase") in ("Failed", "Succeeded")

        found = self.wait("Pod", pod, good, "ended", seconds=seconds)
        code: int = found["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
        return code

    def finished(self, job: str, kind: str = "Complete", *, seconds: float = SECONDS) -> Object:
        """Waits until a Job is Complete (or Failed); gives up when it went the other way."""
        other = {"Complete": "Failed", "Failed": "Complete"}[kind]

        def good(found: Object) -> bool:
            assert condition(found, other) is None, f"Job {job}: {condition(found, other)}"
            return condition(found, kind) is not None

        return self.wait("Job", job, good, kind, seconds=seconds)

    def logs(self, pod: str, *, container: str | None = None) -> str:
        """What a pod has printed so far."""
        query = {"container": container} if container else {}
        return self.kube.read(f"{self.path('Pod', pod)}/log", **query).decode(errors="replace")

    def exec(self, pod: str, *command: str) -> str:
        """What a command in a pod prints. Raises AssertionError when it fails."""
        return self.kube.kubectl("--namespace", self.name, "exec", pod, "--", *command)

    def ask(self, pod: str, port: int, path: str, *, method: str = "GET") -> bytes:
        """What a pod's HTTP server answers, through the API server."""
        return self.kube.read(f"{self.path('Pod', f'{pod}:{port}')}/proxy{path}", method=method)

    def ask_json(self, pod: str, port: int, path: str) -> Any:
        """The same for JSON."""
        return json.loads(self.ask(pod, port, path))

    @contextmanager
    def forward(self, target: str, port: int) -> Iterator[int]:
        """A port on 127.0.0.1 that leads to a pod's (`pod/NAME`), as long as that pod lives."""
        forwarding = ["port-forward", "--address=127.0.0.1", target, f":{port}"]
        process = subprocess.Popen(
            self.kube.kubectl_command("--namespace", self.name, *forwarding),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
        )
        said: queue.SimpleQueue[str | None] = queue.SimpleQueue()

        def listen() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                said.put(line)
            said.put(None)

        # Its output is read to the end, as a full pipe would stop it.
        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield _forwarded(said, f"port-forward to {target}")
        finally:
            process.kill()
            process.wait()
            listener.join()
            assert process.stdout is not None
            process.stdout.close()


def _forwarded(said: queue.SimpleQueue[str | None], what: str) -> int:
    heard = ""
    with suppress(queue.Empty):
        while (line := said.get(timeout=SECONDS)) is not None:
            heard += line
            if found := re.search(r"Forwarding from 127\.0\.0\.1:(\d+)", line):
                return int(found[1])
    raise AssertionError(f"{what} does not work: {heard or 'nothing was heard of it'}")


@dataclass
class Namespaces:
    """Makes and removes namespaces; `open` ones are looked at when a test fails."""

    kube: Kube
    open: list[Namespace] = field(default_factory=list)

    def create(self, level: str = "restricted") -> Namespace:
        """A new namespace in which Kubernetes refuses pods below a Pod Security level."""
        name = f"test-{uuid.uuid4().hex[:8]}"
        labels = {
            "app.kubernetes.io/part-of": "penstock-tests",
            "pod-security.kubernetes.io/enforce": level,
        }
        self.kube.create(
            "/api/v1/namespaces",
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": labels},
            },
        )
        made = Namespace(self.kube, name)
        self.open.append(made)
        # Pods are refused until their service account is there.
        until(
            lambda: made.find("ServiceAccount", "default"),
            lambda found: found is not None,
            f"the default service account of {name}",
        )
        return made

    def delete(self, namespace: Namespace) -> None:
        """Starts the end of a namespace; its pods get a second, so that they are gone soon."""
        self.open.remove(namespace)
        self.kube.delete(f"/api/v1/namespaces/{namespace.name}")
        # Kubernetes removes the pods of a namespace before all else, and a Job with a backoff limit
        # per index keeps its last failed pod until there is another, which there can't be any more:
        # as long as such a Job is there, its namespace stays.
        self.kube.delete(namespace.path("Job"))
        self.kube.delete(namespace.path("Pod"), grace=1)
