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

from tests.cluster.errors import ClusterError
from tests.e2e import helm, parts, target
from tests.e2e.helm import CHART, Helm
from tests.e2e.kube import Kube, Object, Refused
from tests.e2e.namespace import Namespace
from tests.e2e.target import Target

NAMESPACE = "penstock"
RELEASE = "penstock"
_GONE = ("--ignore-not-found", "--wait", "--timeout=180s")
_LABEL = "penstock.dev/batchjob"


def main(arguments: Sequence[str]) -> int:
    """0 when it is up (or gone), 1 with the reason on stderr when not, 2 for an unknown command."""
    if list(arguments) not in (["up"], ["down"]):
        print("usage: python -m tests.e2e.deploy up | down", file=sys.stderr)
        return 2
    try:
        found = target.prepare(target.find())
        kube = Kube(Path(found.kubeconfig), Path(found.programs["kubectl"]))
        namespace = Namespace(kube, NAMESPACE)
        (_up if arguments[0] == "up" else _down)(found, namespace)
    except (ClusterError, AssertionError, Refused) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    return 0


def _up(found: Target, namespace: Namespace) -> None:
    _apply(namespace.kube, _namespace(), _service_account(), _role_binding())
    # The definition may be there already, put there by a test.
    done = Helm(found, NAMESPACE).run(
        *("upgrade", RELEASE, str(CHART), "--install", "--take-ownership"),
        *("--wait", "--timeout", "5m"),
        values=helm.images(found.images),
    )
    if done.returncode:
        raise ClusterError(f"{done.stderr.strip()}\n{_condition(namespace)}")
    _prometheus(found, namespace)
    print(done.stdout[done.stdout.index("NOTES:") :])
    print(f"export KUBECONFIG={shlex.quote(found.kubeconfig)}\n")
    print("Prometheus: kubectl -n penstock port-forward pod/prometheus 9090")


def _down(found: Target, namespace: Namespace) -> None:
    Helm(found, NAMESPACE)("uninstall", RELEASE, "--ignore-not-found", "--wait")
    namespace.kube.kubectl("delete", "clusterrolebinding", "penstock-prometheus", *_GONE)
    namespace.kube.kubectl("delete", "namespace", NAMESPACE, *_GONE)
    print("removed; the definition of BatchJobs stays, and the BatchJobs with it")


def _prometheus(found: Target, namespace: Namespace) -> None:
    """A Prometheus that finds the pods of jobs in all namespaces; a new one at every call."""
    namespace.kube.kubectl(
        *("--namespace", NAMESPACE, "delete", *_GONE, "--grace-period=1"),
        *("pod/prometheus", "service/prometheus", "configmap/prometheus"),
    )
    scrape = {
        "job_name": "penstock",
        "scrape_interval": "5s",
        "scrape_timeout": "5s",
        "kubernetes_sd_configs": [
            {"role": "pod", "selectors": [{"role": "pod", "label": _LABEL}]},
        ],
        "relabel_configs": [
            {
                "source_labels": ["__meta_kubernetes_pod_ip"],
                "target_label": "__address__",
                "replacement": "$1:8080",
            },
            _copied("__meta_kubernetes_namespace", "namespace"),
            _copied("__meta_kubernetes_pod_name", "pod"),
            _copied("__meta_kubernetes_pod_annotation_penstock_dev_batchjob", "batchjob"),
        ],
    }
    image = found.images["prometheus"]
    parts.start_prometheus(namespace, image, [scrape], service_account="prometheus")


def _copied(source: str, label: str) -> Object:
    return {"source_labels": [source], "target_label": label}


def _namespace() -> Object:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": labels},
    }


def _service_account() -> Object:
    metadata = {"name": "prometheus", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def _role_binding() -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "penstock-prometheus"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "view",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "prometheus", "namespace": NAMESPACE}],
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
