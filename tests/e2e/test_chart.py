"""The Helm chart on a real cluster: what it renders is accepted, installs, upgrades and goes."""

from __future__ import annotations

import functools
import json
import re
import shutil
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import helm
from tests.e2e.helm import CHART, Helm
from tests.e2e.kube import Kube, Object, condition
from tests.e2e.namespace import Namespace, Namespaces
from tests.e2e.operator_process import install_definition
from tests.e2e.target import Target
from tests.e2e.waiting import until
from tools import render_chart

CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/batchjobs.penstock.dev"
RELEASE = "penstock"
POSTGRES = "penstock-postgresql"
# What the operator may do where BatchJobs are, as `kubectl auth can-i --list` has it.
MAY = {
    "batchjobs.penstock.dev": {"get", "list", "watch", "delete"},
    "batchjobs.penstock.dev/status": {"patch"},
    "jobs.batch": {"get", "list", "watch", "create", "patch", "delete"},
    "pods": {"list", "watch"},
    "events": {"get", "create", "patch"},
    "secrets": {"create"},
}
MAY_ANYWHERE = {
    "customresourcedefinitions.apiextensions.k8s.io/batchjobs.penstock.dev": {"get"},
}
LEASE = "penstock-operator"
MAY_AT_HOME = {
    "leases.coordination.k8s.io": {"create"},
    f"leases.coordination.k8s.io/{LEASE}": {"get", "update"},
}


@pytest.fixture(scope="module", autouse=True)
def _crd(kube: Kube) -> None:
    """What all tests share is installed by no release, so that none takes it away."""
    install_definition(kube)


def _values(cluster: Target, namespace: Namespace, **more: Any) -> Object:
    """An installation that minds its own namespace only, as other tests have theirs."""
    return {
        **helm.images(cluster.images),
        "watchNamespaces": [namespace.name],
        "crds": {"install": False},
        "rbac": {"aggregate": False},
        **more,
    }


OWN_DATABASE = {
    "existingSecret": {"name": "db", "key": "address", "workerKey": "pooled"},
    "jobRoles": False,
}
EVERYTHING = {
    "fullnameOverride": "batch",
    "database": OWN_DATABASE,
    "ca": {"configMap": "authorities", "key": "bundle.pem"},
    "serviceAccount": {"name": "someone", "annotations": {"example.org/role": "batch"}},
    "operator": {
        "image": {
            "registry": "registry.example:5000",
            "digest": f"sha256:{'0' * 64}",
            "pullPolicy": "Always",
            "pullSecrets": ["pull"],
        },
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "batch", "operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]}
                    ]
                }
            }
        },
        "logFormat": "json",
        "podAnnotations": {"example.org/scrape": "true"},
        "podLabels": {"team": "batch"},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    },
    "worker": {"image": {"registry": "registry.example", "pullSecrets": ["a", "b"]}},
}
KEPT = {"bundledPostgres": {"persistence": {"enabled": True, "storageClass": "fast"}}}


def _rendered(program: Helm, values: Object) -> list[Object]:
    text = program("template", RELEASE, str(CHART), "--kube-version", "1.33.0", values=values)
    return [one for one in yaml.safe_load_all(text) if one]


def _one(objects: list[Object], kind: str) -> Object:
    [found] = [one for one in objects if one["kind"] == kind]
    return found


@contextmanager
def _roles(namespace: Namespace, cluster: Target, watched: list[str]) -> Iterator[None]:
    """The chart's roles alone: without an operator, which would mind other tests' BatchJobs."""
    text = Helm(cluster, namespace.name)(
        *("template", RELEASE, str(CHART), "--kube-version", "1.33.0"),
        *("--show-only", "templates/rbac.yaml"),
        values={"watchNamespaces": watched},
    )
    namespace.kube.kubectl("apply", "--filename", "-", text=text)
    try:
        yield
    finally:
        namespace.kube.kubectl("delete", "--ignore-not-found", "--filename", "-", text=text)


def _may(home: Namespace, where: Namespace) -> dict[str, set[str]]:
    """What the operator of `home` may do in a namespace, beyond what every pod may."""
    operator = _list(where, f"system:serviceaccount:{home.name}:penstock-operator")
    anyone = _list(where, f"system:serviceaccount:{home.name}:default")
    return {name: verbs for name, verbs in operator.items() if anyone.get(name) != verbs}


def _list(where: Namespace, who: str) -> dict[str, set[str]]:
    """`kubectl auth can-i --list` as somebody: verbs by resource (and name, where it is named)."""
    printed = where.kube.kubectl(
        *("--namespace", where.name, "auth", "can-i", "--list", "--no-headers", f"--as={who}")
    )
    found: dict[str, set[str]] = {}
    for line in printed.splitlines():
        row = re.fullmatch(r"(\S*)\s+\[(.*)\]\s+\[(.*)\]\s+\[(.*)\]", line)
        assert row, line
        resource, _, name, verbs = row.groups()
        if resource:
            found.setdefault(f"{resource}/{name}" if name else resource, set()).update(
                verbs.split()
            )
    return found


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("defaults", {}),
        ("everything", EVERYTHING),
        ("kept", KEPT),
        ("namespaces", {"watchNamespaces": ["default", "kube-public"]}),
    ],
)
def test_what_is_rendered_is_accepted(
    name: str, values: Object, namespace: Namespace, cluster: Target, tmp_path: Path
) -> None:
    program = Helm(cluster, namespace.name)
    file = tmp_path / f"{name}.yaml"
    file.write_text(json.dumps(values))
    program("lint", "--strict", str(CHART), "--values", str(file))
    namespace.kube.kubectl(
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename", "-"),
        text=yaml.safe_dump_all(_rendered(program, values)),
    )


def test_values_reach_the_operator(namespace: Namespace, cluster: Target) -> None:
    objects = _rendered(Helm(cluster, namespace.name), EVERYTHING)
    assert not [one for one in objects if one["kind"] in ("Secret", "StatefulSet", "Service")]
    pod = _one(objects, "Deployment")["spec"]["template"]
    [container] = pod["spec"]["containers"]
    assert container["image"] == f"registry.example:5000/penstock-operator@sha256:{'0' * 64}"
    plain = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    assert plain == {
        "PENSTOCK_NAMESPACES": "",
        "PENSTOCK_JOB_ROLES": "false",
        "PENSTOCK_WORKER_IMAGE": "registry.example/penstock-worker:0.1.0",
        "PENSTOCK_IMAGE_PULL_POLICY": "IfNotPresent",
        "PENSTOCK_IMAGE_PULL_SECRETS": "a,b",
        "PENSTOCK_LOG_FORMAT": "json",
        "SSL_CERT_FILE": "/etc/penstock/ca/ca.crt",
        "PGSSLROOTCERT": "/etc/penstock/ca/ca.crt",
        "HTTPS_PROXY": "http://proxy.example:3128",
    }
    secret = {
        one["name"]: one["valueFrom"]["secretKeyRef"]
        for one in container["env"]
        if "secretKeyRef" in one.get("valueFrom", {})
    }
    assert secret == {
        "PENSTOCK_DATABASE_URL": {"name": "db", "key": "address"},
        "PENSTOCK_WORKER_DATABASE_URL": {"name": "db", "key": "pooled"},
    }
    assert pod["metadata"]["labels"]["team"] == "batch"
    assert pod["spec"]["serviceAccountName"] == "someone"
    assert pod["spec"]["imagePullSecrets"] == [{"name": "pull"}]
    assert {one["name"] for one in pod["spec"]["volumes"]} == {"tmp", "ca", "more"}


def test_data_that_is_to_be_kept_outlives_an_uninstall_with_its_password(
    namespace: Namespace, cluster: Target
) -> None:
    objects = _rendered(Helm(cluster, namespace.name), KEPT)
    kept = {
        one["kind"]
        for one in objects
        if one["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
    }
    assert kept == {"CustomResourceDefinition", "PersistentVolumeClaim", "Secret"}


def test_values_that_do_not_exist_are_refused(namespace: Namespace, cluster: Target) -> None:
    done = Helm(cluster, namespace.name).run(
        *("template", RELEASE, str(CHART)), values={"operator": {"replicas": 2}}
    )
    assert done.returncode != 0
    assert "replicas" in done.stderr


def test_the_rendered_install_is_what_the_chart_gives(cluster: Target) -> None:
    found = render_chart.install(cluster.programs["helm"])
    assert render_chart.INSTALL.read_text() == found, "run `make manifests`"


def test_the_operator_may_do_what_it_must_everywhere_and_nothing_else(
    namespace: Namespace, namespaces: Namespaces, cluster: Target
) -> None:
    with _roles(namespace, cluster, []):
        other = namespaces.create()
        try:
            assert _may(namespace, namespace) == {**MAY, **MAY_AT_HOME, **MAY_ANYWHERE}
            assert _may(namespace, other) == {**MAY, **MAY_ANYWHERE}
        finally:
            namespaces.delete(other)


def test_with_namespaces_named_it_may_do_so_only_there(
    namespace: Namespace, namespaces: Namespaces, cluster: Target
) -> None:
    other = namespaces.create()
    try:
        with _roles(namespace, cluster, [other.name]):
            assert _may(namespace, namespace) == {**MAY_AT_HOME, **MAY_ANYWHERE}
            assert _may(namespace, other) == {**MAY, **MAY_ANYWHERE}
            assert _may(namespace, Namespace(namespace.kube, "default")) == MAY_ANYWHERE
    finally:
        namespaces.delete(other)


def test_who_may_edit_a_namespace_may_edit_its_batch_jobs(
    namespace: Namespace, cluster: Target
) -> None:
    kube = namespace.kube
    with _roles(namespace, cluster, []):
        reads = {"get", "list", "watch"}
        writes = {"create", "update", "patch", "delete", "deletecollection"}
        for role, wanted in (("view", reads), ("edit", reads | writes), ("admin", reads | writes)):
            who = f"system:serviceaccount:{namespace.name}:{role}"
            at = ["--namespace", namespace.name, f"--serviceaccount={namespace.name}:{role}"]
            kube.kubectl("create", "rolebinding", role, f"--clusterrole={role}", *at)
            # The controller manager copies the rules into view, edit and admin.
            until(
                functools.partial(_list, namespace, who),
                functools.partial(_includes, wanted, reads),
                f"{role} may {sorted(wanted)}",
            )


def _includes(jobs: set[str], statuses: set[str], found: dict[str, set[str]]) -> bool:
    return (
        found.get("batchjobs.penstock.dev") == jobs
        and found.get("batchjobs.penstock.dev/status") == statuses
    )


def test_the_operator_may_not_touch_secrets_of_others(
    namespace: Namespace, cluster: Target
) -> None:
    with _roles(namespace, cluster, []):
        who = f"--as=system:serviceaccount:{namespace.name}:penstock-operator"
        at = ("--namespace", namespace.name, who)
        namespace.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs"}})
        for verb in ("get", "delete"):
            done = namespace.kube.try_kubectl(*at, verb, "secret", "theirs")
            assert done.returncode != 0
            assert "forbidden" in done.stderr.lower(), done.stderr
        for arguments in (("get", "secrets"), ("get", "namespaces"), ("get", "configmaps")):
            done = namespace.kube.try_kubectl(*at, *arguments)
            assert "forbidden" in done.stderr.lower(), done.stderr


def test_it_comes_keeps_its_password_and_goes(
    namespace: Namespace, cluster: Target, kube: Kube
) -> None:
    program, values = Helm(cluster, namespace.name), _values(cluster, namespace)
    said = program("install", RELEASE, str(CHART), "--wait", "--timeout=5m", values=values)
    assert "ALL RESULTS ARE LOST" in said
    assert f"kubectl -n {namespace.name} get batchjobs --watch" in said
    # Under the restricted standard, or the pods would not be there.
    before = {one["metadata"]["name"]: one for one in namespace.all("Pod")}
    assert len(before) == 2
    assert all(condition(one, "Ready") for one in before.values())
    secret = namespace.get("Secret", POSTGRES)
    _logs_in(namespace)

    values["operator"] = {**values["operator"], "logFormat": "json"}
    program("upgrade", RELEASE, str(CHART), "--wait", "--timeout=5m", values=values)
    assert namespace.get("Secret", POSTGRES)["data"] == secret["data"]
    after = {one["metadata"]["name"]: one for one in namespace.all("Pod")}
    uid = before[f"{POSTGRES}-0"]["metadata"]["uid"]
    assert after[f"{POSTGRES}-0"]["metadata"]["uid"] == uid, "the database was restarted"
    assert set(after) & set(before) == {f"{POSTGRES}-0"}
    _logs_in(namespace)

    program("uninstall", RELEASE, "--wait", "--timeout=3m")
    until(lambda: _left(namespace), lambda left: left == [f"Lease/{LEASE}"], "only the Lease left")
    mine = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/managed-by=Helm"
    roles = kube.kubectl("get", "clusterroles,clusterrolebindings", "-l", mine, "-o", "name")
    assert namespace.name not in roles
    assert kube.get(CRD_PATH)


def _logs_in(namespace: Namespace) -> None:
    """The password in the Secret is the database's, by the address that the operator uses."""
    data = namespace.get("Secret", POSTGRES)["data"]
    url, password = (b64decode(data[key]).decode() for key in ("url", "password"))
    host = f"{POSTGRES}.{namespace.name}.svc"
    assert url == f"postgresql://penstock:{password}@{host}:5432/penstock"
    query = (
        f'PGPASSWORD="$POSTGRES_PASSWORD" psql -h {host} -U penstock -Atc "show max_connections"'
    )
    assert namespace.exec(f"{POSTGRES}-0", "sh", "-c", query).strip() == "300"


def _left(namespace: Namespace) -> list[str]:
    """What a namespace holds beyond what each has."""
    kinds = namespace.kube.kubectl(
        "api-resources", "--namespaced", "--verbs=list", "--output=name"
    ).split()
    listed = namespace.kube.kubectl(
        *("--namespace", namespace.name, "get", "--output=json"),
        ",".join(kind for kind in kinds if not kind.startswith("events")),
    )
    found = [f"{one['kind']}/{one['metadata']['name']}" for one in json.loads(listed)["items"]]
    usual = {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"}
    return sorted(set(found) - usual)


@pytest.mark.xdist_group("definition")
def test_the_definition_is_upgraded_with_the_chart_and_outlives_it(
    namespace: Namespace, cluster: Target, kube: Kube, tmp_path: Path
) -> None:
    # No database, so no operator starts: this is about the definition, which all tests share. So
    # only its labels change, which the API server minds as little as who watches BatchJobs.
    values = _values(cluster, namespace, crds={"install": True}, database=OWN_DATABASE)
    program = Helm(cluster, namespace.name)
    install = ("upgrade", RELEASE, "--install", "--take-ownership")
    program(*install, str(CHART), values=values)
    newer = shutil.copytree(CHART, tmp_path / "penstock")
    definition = newer / "files" / "crd.yaml"
    label = "app.kubernetes.io/name: penstock"
    text = definition.read_text()
    assert label in text
    definition.write_text(text.replace(label, f"{label}\n    newer: '{namespace.name}'", 1))
    try:
        program(*install, str(newer), values=values)
        assert kube.get(CRD_PATH)["metadata"]["labels"]["newer"] == namespace.name
        before = kube.get(CRD_PATH)["metadata"]["uid"]
        # Looked at before anything is removed: all BatchJobs would go with the definition.
        manifest = yaml.safe_load_all(program("get", "manifest", RELEASE))
        [held] = [one for one in manifest if one and one["kind"] == "CustomResourceDefinition"]
        assert held["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        said = program("uninstall", RELEASE, "--wait", "--timeout=2m")
        assert "kept due to the resource policy" in said
        assert kube.get(CRD_PATH)["metadata"]["uid"] == before
        assert "deletionTimestamp" not in kube.get(CRD_PATH)["metadata"]
    finally:
        # As it was: nobody's.
        owner = ("meta.helm.sh/release-name", "meta.helm.sh/release-namespace")
        metadata = {
            "labels": {"newer": None, "app.kubernetes.io/managed-by": None},
            "annotations": dict.fromkeys((*owner, "helm.sh/resource-policy")),
        }
        kube.patch(CRD_PATH, {"metadata": metadata})
