"""`make deploy` and `make undeploy`: this checkout in the cluster for the tests, to play with.

    python -m tests.e2e.deploy up | down

Images, the chart with its bundled PostgreSQL, and a Prometheus that scrapes the pods of jobs. Both
commands may be given again at any time.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.errors import ClusterError
from tests.e2e import helm, parts, target
from tests.e2e.helm import CHART, Helm
from tests.e2e.kube import Kube, Object, Refused
from tests.e2e.namespace import Namespace
from tests.e2e.target import Target

NAMESPACE = "penstock"
RELEASE = "penstock"
_GONE = ("--ignore-not-found", "--wait", "--timeout=180s")
# Where what is printed at the end puts a job, and what leads Prometheus to its pods.
_JOBS, _WORKERS = "default", "penstock-workers"


def main(arguments: Sequence[str]) -> int:
    """0 when it is up (or gone), 1 with the reason on stderr when not, 2 for an unknown command."""
    if list(arguments) not in (["up"], ["down"]):
        print("usage: python -m tests.e2e.deploy up | down", file=sys.stderr)
        return 2
    try:
        kubeconfig = target.find()
        programs = {name: str(path) for name, path in binaries.ensure(["kubectl", "helm"]).items()}
        namespace = Namespace(Kube(kubeconfig, Path(programs["kubectl"])), NAMESPACE)
        if arguments[0] == "up":
            _up(target.prepare(kubeconfig), namespace)
        else:
            _down(Target(str(kubeconfig), not target.named(), {}, programs), namespace)
    except (ClusterError, AssertionError, Refused) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    return 0


def _up(found: Target, namespace: Namespace) -> None:
    _apply(namespace.kube, _namespace(), _workers())
    # The definition may be there already, put there by a test.
    done = Helm(found, NAMESPACE).run(
        *("upgrade", RELEASE, str(CHART), "--install", "--take-ownership"),
        *("--wait", "--timeout", "5m"),
        # In the other namespaces tests may be under way, with operators of their own.
        values={**helm.images(found.images), "watchNamespaces": [_JOBS]},
    )
    if done.returncode:
        raise ClusterError(f"{done.stderr.strip()}\n{_condition(namespace)}")
    _prometheus(found, namespace)
    print(done.stdout[done.stdout.index("NOTES:") :])
    print(f"export KUBECONFIG={shlex.quote(found.kubeconfig)}\n")
    print("Prometheus: kubectl -n penstock port-forward pod/prometheus 9090")


def _down(found: Target, namespace: Namespace) -> None:
    Helm(found, NAMESPACE)("uninstall", RELEASE, "--ignore-not-found", "--wait")
    namespace.kube.kubectl("--namespace", _JOBS, "delete", "service", _WORKERS, *_GONE)
    namespace.kube.kubectl("delete", "namespace", NAMESPACE, *_GONE)
    print("removed; the definition of BatchJobs stays, and the BatchJobs with it")


def _prometheus(found: Target, namespace: Namespace) -> None:
    """A Prometheus that finds the pods of jobs in the namespace `default`; a new one every time.

    By their names in DNS: Debian's Prometheus is built without knowledge of Kubernetes.
    """
    namespace.kube.kubectl(
        *("--namespace", NAMESPACE, "delete", *_GONE, "--grace-period=1"),
        *("pod/prometheus", "service/prometheus", "configmap/prometheus"),
    )
    name = f"{_WORKERS}.{_JOBS}.svc.cluster.local"
    scrape = {
        "job_name": "penstock",
        "scrape_interval": "5s",
        "scrape_timeout": "5s",
        "dns_sd_configs": [
            {"names": [name], "type": "A", "port": 8080, "refresh_interval": "5s"},
        ],
    }
    parts.start_prometheus(namespace, found.images["prometheus"], [scrape])


def _namespace() -> Object:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": labels},
    }


def _workers() -> Object:
    """A Service without an address: its name stands for the pods of all jobs."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _WORKERS, "namespace": _JOBS},
        "spec": {
            "clusterIP": "None",
            "selector": {"app.kubernetes.io/managed-by": "penstock-operator"},
        },
    }


def _apply(kube: Kube, *objects: Object) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kube.kubectl("apply", "--server-side", "--filename", "-", text=text)


def _condition(namespace: Namespace) -> str:
    """What the pods look like and what the operator said, to explain a failure."""
    at = ("--namespace", namespace.name)
    shown = namespace.kube.try_kubectl(*at, "get", "pods", "--output", "wide").stdout
    said = namespace.kube.try_kubectl(
        *at, "logs", "--selector", "app.kubernetes.io/component=operator", "--tail=20"
    )
    return f"{shown}{said.stdout}{said.stderr}".strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
