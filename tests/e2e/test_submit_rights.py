"""Submitting a job with a key, by users who may do little with Secrets."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tests.e2e.kube import Kube, Object, Refused, environment
from tests.e2e.namespace import Namespace
from tests.e2e.operator_process import install_definition
from tests.e2e.target import Target
from tests.e2e.waiting import until

PENSTOCK = Path(sys.executable).with_name("penstock")
KEY = "sk-test-Persimmon-3"
"""A key that must be seen in no output."""
GROUP = "rbac.authorization.k8s.io"
JOB: Object = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "BatchJob",
    "metadata": {"name": "asks"},
    "spec": {
        "source": {"inline": {"items": [{"id": 1}]}},
        "processor": {"openai": {"model": "m", "messages": [{"role": "user", "content": "x"}]}},
    },
}


class User:
    """Who may submit BatchJobs, and with Secrets do what `verbs` say."""

    def __init__(
        self, namespace: Namespace, cluster: Target, folder: Path, verbs: Sequence[str]
    ) -> None:
        self._namespace, self._folder = namespace, folder
        metadata = {"name": "user"}
        rules = [
            {"apiGroups": ["penstock.dev"], "resources": ["batchjobs"],
             "verbs": ["get", "create", "patch"]},
            *({"apiGroups": [""], "resources": ["secrets"], "verbs": [verb]} for verb in verbs),
        ]  # fmt: skip
        namespace.create(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
            {"apiVersion": f"{GROUP}/v1", "kind": "Role", "metadata": metadata, "rules": rules},
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "user"},
                "subjects": [{"kind": "ServiceAccount", "name": "user"}],
            },
        )
        asked: Object = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        account = namespace.path("ServiceAccount", "user")
        token = namespace.kube.create(f"{account}/token", {**asked, "spec": {}})["status"]["token"]
        content = yaml.safe_load(Path(cluster.kubeconfig).read_text())
        for one in content["users"]:
            one["user"] = {"token": token}
        (folder / "kubeconfig").write_text(yaml.safe_dump(content))
        (folder / "job.yaml").write_text(json.dumps(JOB))
        mine = Namespace(namespace.kube.bearer(token), namespace.name)

        def look() -> int:
            """The HTTP status: the authorizer hears of a new role a moment later."""
            try:
                mine.get("BatchJob", "asks")
            except Refused as refused:
                return refused.status
            return 200

        until(look, lambda status: status == 404, "the role takes effect")

    def submit(self) -> subprocess.CompletedProcess[str]:
        """`penstock submit` with the key at hand."""
        told = {"KUBECONFIG": str(self._folder / "kubeconfig"), "OPENAI_API_KEY": KEY}
        options = ("--namespace", self._namespace.name, "--yes", "--no-watch")
        done = subprocess.run(
            [PENSTOCK, "submit", self._folder / "job.yaml", *options],
            env=environment(told),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert KEY not in done.stdout + done.stderr
        return done


@pytest.fixture(autouse=True)
def definition(kube: Kube) -> None:
    """What a BatchJob is."""
    install_definition(kube)


@pytest.mark.parametrize("verbs", [("create",), ("get", "create")])
def test_a_secret_is_made_by_who_may_only_make_one(
    namespace: Namespace, cluster: Target, tmp_path: Path, verbs: Sequence[str]
) -> None:
    user = User(namespace, cluster, tmp_path, verbs)
    done = user.submit()
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Secret asks-api-key made from OPENAI_API_KEY" in said
    assert "Secret asks-api-key stays when the job is deleted" in said
    secret, job = namespace.get("Secret", "asks-api-key"), namespace.get("BatchJob", "asks")
    reference = {"name": "asks-api-key", "key": "api-key"}
    assert job["spec"]["processor"]["openai"]["apiKey"] == {"secretKeyRef": reference}

    done = user.submit()
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert ("may not change it: it stays as it is" in said) == (verbs == ("create",))
    after = namespace.get("Secret", "asks-api-key")
    assert after["metadata"]["resourceVersion"] == secret["metadata"]["resourceVersion"]


def test_who_may_make_none_is_told_how_it_is_made(
    namespace: Namespace, cluster: Target, tmp_path: Path
) -> None:
    done = User(namespace, cluster, tmp_path, ()).submit()
    assert done.returncode == 1
    assert "the Secret asks-api-key cannot be made for you (no permission: " in done.stderr
    assert f"printenv OPENAI_API_KEY | kubectl -n {namespace.name} create secret" in done.stderr
    wanted = "spec.processor.openai.apiKey: {secretKeyRef: {name: asks-api-key, key: api-key}}"
    assert wanted in " ".join(done.stderr.split())
    assert namespace.find("BatchJob", "asks") is None
