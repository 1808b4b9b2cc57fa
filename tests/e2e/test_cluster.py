"""What the cluster has to do for the other tests to mean anything."""

from __future__ import annotations

import pytest

from tests.e2e import pods
from tests.e2e.kube import Kube, Object, Refused
from tests.e2e.namespace import Namespace
from tests.e2e.target import Target
from tests.e2e.waiting import until


def shell(cluster: Target, script: str, **more: object) -> Object:
    """The spec of a pod that runs a shell script."""
    return pods.pod_spec(pods.shell(cluster.images["busybox"], script), **more)


def web(cluster: Target) -> Object:
    """The spec of a pod that serves a file over HTTP."""
    script = (
        "mkdir /tmp/www && echo hello > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www"
    )
    ready = pods.http_ready(8080, "/")
    return pods.pod_spec(pods.shell(cluster.images["busybox"], script, readinessProbe=ready))


def test_logs_of_a_pod_that_ended(namespace: Namespace, cluster: Target) -> None:
    namespace.create(pods.pod("says", shell(cluster, "echo out; echo err >&2; exit 7")))
    assert namespace.ended("says") == 7
    assert set(namespace.logs("says").split()) == {"out", "err"}


def test_exec_in_a_running_pod(namespace: Namespace, cluster: Target) -> None:
    namespace.create(pods.pod("runs", shell(cluster, "echo here > /tmp/place; exec sleep 3600")))
    namespace.ready("runs")
    wrote = "cat /tmp/place 2>/dev/null || true"
    until(
        lambda: namespace.exec("runs", "sh", "-c", wrote).strip(),
        lambda said: said == "here",
        "the file the pod writes",
    )
    with pytest.raises(AssertionError, match="exit code 3"):
        namespace.exec("runs", "sh", "-c", "exit 3")


def test_a_service_is_reached_by_its_name(namespace: Namespace, cluster: Target) -> None:
    namespace.create(pods.service("web", 8080), pods.pod("web", web(cluster)))
    namespace.ready("web")
    names = ("web", f"web.{namespace.name}", f"web.{namespace.name}.svc.cluster.local")
    # The address of a new Service takes a moment to work.
    asks = "; ".join(f"until wget -q -O - http://{name}:8080/; do sleep 1; done" for name in names)
    namespace.create(pods.pod("asks", shell(cluster, asks)))
    assert namespace.ended("asks") == 0
    assert namespace.logs("asks").split().count("hello") == len(names)


def test_a_name_that_nobody_has_is_not_found(namespace: Namespace, cluster: Target) -> None:
    ask = "nslookup nobody.$NS.svc.cluster.local; echo code $?"
    namespace.create(pods.pod("asks", shell(cluster, ask.replace("$NS", namespace.name))))
    assert namespace.ended("asks") == 0
    assert "NXDOMAIN" in namespace.logs("asks")
    assert "code 1" in namespace.logs("asks")


def test_a_service_account_may_do_what_its_role_says_and_no_more(
    namespace: Namespace, kube: Kube
) -> None:
    namespace.create(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}},
        pods.config_map("open", {"key": "value"}),
        pods.secret("closed", {"key": "value"}),
    )
    account = namespace.path("ServiceAccount", "reader")
    asked: Object = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = kube.create(f"{account}/token", asked)["status"]["token"]
    reader = Namespace(kube.bearer(token), namespace.name)
    with pytest.raises(Refused) as refused:
        reader.get("ConfigMap", "open")
    assert refused.value.status == 403
    user = f'User "system:serviceaccount:{namespace.name}:reader" cannot get resource "configmaps"'
    assert user in refused.value.message

    group = "rbac.authorization.k8s.io"
    metadata = {"name": "reader"}
    namespace.create(
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "reader"}],
        },
    )

    def look() -> int:
        """The HTTP status: the authorizer hears of a new role a moment later."""
        try:
            reader.get("ConfigMap", "open")
        except Refused as refused:
            return refused.status
        return 200

    until(look, lambda status: status == 200, "the role takes effect")
    for path in (namespace.path("Secret", "closed"), namespace.path("ConfigMap")):
        with pytest.raises(Refused) as refused:
            reader.kube.get(path)
        assert refused.value.status == 403


@pytest.mark.own_cluster
def test_network_policies_are_not_enforced_as_documented(
    namespace: Namespace, cluster: Target
) -> None:
    """docs/how-to/cluster-for-tests.md says so; where that changes, tests can ask for more."""
    nobody: Object = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "nobody"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    namespace.create(nobody, pods.service("web", 8080), pods.pod("web", web(cluster)))
    namespace.ready("web")
    # Several times, as the address of a new Service takes a moment to work.
    ask = "for n in $(seq 20); do timeout 5 wget -q -O - http://web:8080/ && exit; sleep 1; done"
    namespace.create(pods.pod("asks", shell(cluster, f"{ask}; exit 1")))
    assert namespace.ended("asks") == 0
    assert namespace.logs("asks").split()[-1] == "hello"


def test_a_pod_that_runs_as_root_is_refused(namespace: Namespace, cluster: Target) -> None:
    harmless = shell(cluster, "exit 0")
    root = shell(cluster, "exit 0", securityContext={**pods.RESTRICTED_POD, "runAsUser": 0})
    with pytest.raises(Refused) as refused:
        namespace.create(pods.pod("root", root))
    assert refused.value.status == 403
    assert 'violates PodSecurity "restricted:latest": runAsUser=0' in refused.value.message
    namespace.create(pods.pod("user", harmless))
    assert namespace.ended("user") == 0
