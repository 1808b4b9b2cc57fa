"""The Jobs, pods and the Secret that are made for a run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.spec.secrets import variable_name
from penstock_operator.builders.merge import template_code
from penstock_operator.builders.secret import database_secret
from penstock_operator.names import annotations_of
from penstock_operator.observed import Role
from tests.unit.operator.manifests import OWNER, ROLES, SECRET, SETTINGS, URL, built, manifest

CONFIG_MAP = {"configMap": {"name": "products", "key": "tv.jsonl"}}
API_KEY = {"secretKeyRef": {"name": "openai", "key": "api-key"}}
OPENAI = {"openai": {"model": "m", "messages": [], "apiKey": API_KEY}}
HTTP = {"http": {"url": "http://far.side/", "apiKey": API_KEY}}


def pod(role: Role, **spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = built(role, manifest(**spec))["spec"]["template"]["spec"]
    return found


def container(role: Role, **spec: Any) -> dict[str, Any]:
    (found,) = pod(role, **spec)["containers"]
    assert found["name"] == "penstock"
    return dict(found)


def environment(role: Role, **spec: Any) -> dict[str, Any]:
    return {one["name"]: one.get("value") or one for one in container(role, **spec)["env"]}


@pytest.mark.parametrize("role", ROLES)
def test_every_job_belongs_to_its_batchjob(role: Role) -> None:
    job = built(role, manifest())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job["metadata"] == {
        "name": f"tv-2-{role}",
        "namespace": "shop",
        "labels": {
            "penstock.dev/batchjob": "tv",
            "penstock.dev/run": "2",
            "penstock.dev/role": role,
            "app.kubernetes.io/name": "penstock",
            "app.kubernetes.io/component": role,
            "app.kubernetes.io/managed-by": "penstock-operator",
            "app.kubernetes.io/part-of": "tv",
        },
        "annotations": {
            "penstock.dev/batchjob": "tv",
            "penstock.dev/batchjob-uid": OWNER.uid,
            "penstock.dev/template": template_code(None),
        },
        "ownerReferences": [
            {
                "apiVersion": "penstock.dev/v1alpha1",
                "kind": "BatchJob",
                "name": "tv",
                "uid": OWNER.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
    template = job["spec"]["template"]["metadata"]
    assert template["labels"] == job["metadata"]["labels"]
    assert template["annotations"].items() >= annotations_of(OWNER).items()


@pytest.mark.parametrize("role", ROLES)
def test_nothing_secret_stands_in_a_job(role: Role) -> None:
    text = json.dumps(built(role, manifest(processor=HTTP)))
    assert "hunter22" not in text
    assert "secret77" not in text


def test_work_has_a_slot_for_every_worker_and_spare_ones() -> None:
    spec = built("work", manifest(scaling={"maxParallelism": 20}), parallelism=7)["spec"]
    del spec["template"]
    assert spec == {
        "completionMode": "Indexed",
        "completions": 40,
        "parallelism": 7,
        "suspend": False,
        "backoffLimitPerIndex": 1000,
        "maxFailedIndexes": 40,
        "successPolicy": {"rules": [{"succeededCount": 1}]},
        "podReplacementPolicy": "Failed",
        "ttlSecondsAfterFinished": 3600,
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "Ignore",
                    "onExitCodes": {
                        "containerName": "penstock",
                        "operator": "In",
                        "values": [130],
                    },
                },
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": "penstock", "operator": "In", "values": [2]},
                },
            ]
        },
    }


@pytest.mark.parametrize(("most", "slots"), [(1, 9), (8, 16), (9, 18), (10_000, 20_000)])
def test_slots_depend_on_the_most_parallelism_alone(most: int, slots: int) -> None:
    job = manifest(scaling={"maxParallelism": most})
    for parallelism in (0, 1, most):
        assert built("work", job, parallelism=parallelism)["spec"]["completions"] == slots


@pytest.mark.parametrize("role", ["plan", "export"])
def test_plan_and_export_are_one_pod(role: Role) -> None:
    spec = built(role, manifest(), parallelism=9)["spec"]
    rules = spec.pop("podFailurePolicy")["rules"]
    assert [rule["action"] for rule in rules] == ["Ignore", "Ignore", "FailJob"]
    del spec["template"]
    assert spec == {
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": 6,
        "suspend": False,
        "podReplacementPolicy": "Failed",
        "ttlSecondsAfterFinished": 3600,
    }


@pytest.mark.parametrize("suspend", [True, False])
def test_a_job_may_begin_suspended(suspend: bool) -> None:
    assert built("work", manifest(), suspend=suspend)["spec"]["suspend"] is suspend


@pytest.mark.parametrize("role", ROLES)
def test_pods_are_restricted(role: Role) -> None:
    spec, own = pod(role), container(role)
    assert spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never"
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert own["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert own["image"] == SETTINGS.image
    assert own["imagePullPolicy"] == "IfNotPresent"
    assert own["args"] == [role]
    assert "command" not in own
    assert own["resources"] == {"requests": {"cpu": "100m", "memory": "128Mi"}}
    assert own["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert [mount["mountPath"] for mount in own["volumeMounts"]] == ["/tmp"]


@pytest.mark.parametrize("role", ROLES)
def test_what_a_pod_is_told(role: Role) -> None:
    assert environment(role, scaling={"maxParallelism": 4}) == {
        "PENSTOCK_DATABASE_URL": {
            "name": "PENSTOCK_DATABASE_URL",
            "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "url"}},
        },
        "PENSTOCK_RUN": "77",
        "PENSTOCK_JOB": "shop/tv",
        "PENSTOCK_WORKERS": "4",
    }


def test_the_items_of_a_configmap_are_a_file_for_plan_alone() -> None:
    assert environment("plan", source=CONFIG_MAP)["PENSTOCK_SOURCE"] == (
        "/etc/penstock/source/tv.jsonl"
    )
    (mount,) = (
        mount
        for mount in container("plan", source=CONFIG_MAP)["volumeMounts"]
        if mount["mountPath"] == "/etc/penstock/source"
    )
    assert mount["readOnly"] is True
    (volume,) = (
        volume
        for volume in pod("plan", source=CONFIG_MAP)["volumes"]
        if volume["name"] == mount["name"]
    )
    assert volume["configMap"] == {
        "name": "products",
        "items": [{"key": "tv.jsonl", "path": "tv.jsonl"}],
    }
    for role in ("work", "export"):
        assert "products" not in json.dumps(pod(role, source=CONFIG_MAP))


@pytest.mark.parametrize("processor", [OPENAI, HTTP], ids=["openai", "http"])
def test_only_workers_get_the_key(processor: dict[str, Any]) -> None:
    name = "PENSTOCK_SECRET_OPENAI_API_KEY"
    found = environment("work", processor=processor)[name]
    assert found["valueFrom"] == {"secretKeyRef": {"name": "openai", "key": "api-key"}}
    for role in ("plan", "export"):
        assert name not in environment(role, processor=processor)


def test_code_is_a_folder_for_those_that_call_it() -> None:
    python = {"entrypoint": "convert:run", "codeFrom": {"configMap": {"name": "tv-code"}}}
    for role in ("plan", "work"):
        found = container(role, processor={"python": python})
        assert {"name": "PENSTOCK_CODE", "value": "/etc/penstock/code"} in found["env"]
        mount = next(
            one for one in found["volumeMounts"] if one["mountPath"] == "/etc/penstock/code"
        )
        assert mount["readOnly"] is True
        volumes = {one["name"]: one for one in pod(role, processor={"python": python})["volumes"]}
        assert volumes[mount["name"]]["configMap"] == {"name": "tv-code"}
    assert "tv-code" not in json.dumps(pod("export", processor={"python": python}))
    in_image = {"python": {"entrypoint": "convert:run"}}
    assert "PENSTOCK_CODE" not in environment("work", processor=in_image)


SECRETS: dict[str, tuple[dict[str, Any], dict[Role, list[str]]]] = {
    # What the manifest says, and which variables, or beginnings of them, each role gets.
    "a database to read": (
        {"source": {"postgres": {"query": "SELECT 1", "secretRef": {"name": "shop-db"}}}},
        {"plan": ["PENSTOCK_SECRET_SHOP_DB_URL"], "work": [], "export": []},
    ),
    "a database by another key": (
        {"source": {"postgres": {"query": "SELECT 1", "secretRef": {"name": "db", "key": "dsn"}}}},
        {"plan": ["PENSTOCK_SECRET_DB_DSN"], "work": [], "export": []},
    ),
    "a table to write": (
        {"output": {"postgres": {"table": "t", "secretRef": {"name": "db"}}}},
        {"plan": ["PENSTOCK_SECRET_DB_URL"], "work": [], "export": ["PENSTOCK_SECRET_DB_URL"]},
    ),
    "a store to read": (
        {"source": {"objectStore": {"url": "s3://in/*.csv", "secretRef": {"name": "s3"}}}},
        {"plan": ["PENSTOCK_SECRET_S3_*"], "work": [], "export": []},
    ),
    "a store that functions may read": (
        {
            "source": {"objectStore": {"url": "s3://in/*.pdf", "secretRef": {"name": "s3"}}},
            "processor": {"python": {"entrypoint": "convert:convert"}},
        },
        {"plan": ["PENSTOCK_SECRET_S3_*"], "work": ["PENSTOCK_SECRET_S3_*"], "export": []},
    ),
    "a store to write": (
        {"output": {"objectStore": {"url": "s3://out/a.jsonl", "secretRef": {"name": "s3"}}}},
        {"plan": ["PENSTOCK_SECRET_S3_*"], "work": [], "export": ["PENSTOCK_SECRET_S3_*"]},
    ),
    "one store for both": (
        {
            "source": {"objectStore": {"url": "s3://in/*.pdf", "secretRef": {"name": "s3"}}},
            "output": {"objectStore": {"url": "s3://out/", "secretRef": {"name": "s3"}}},
        },
        {
            "plan": ["PENSTOCK_SECRET_S3_*"],
            "work": [],
            "export": ["PENSTOCK_SECRET_S3_*"],
        },
    ),
    "one database for both": (
        {
            "source": {"postgres": {"query": "SELECT 1", "secretRef": {"name": "db"}}},
            "output": {"postgres": {"table": "t", "secretRef": {"name": "db", "key": "url"}}},
        },
        {"plan": ["PENSTOCK_SECRET_DB_URL"], "work": [], "export": ["PENSTOCK_SECRET_DB_URL"]},
    ),
    "none": (
        {
            "source": {"objectStore": {"url": "s3://in/*.pdf"}},
            "output": {"postgres": {"table": "t"}},
        },
        {"plan": [], "work": [], "export": []},
    ),
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("spec", "wanted"), SECRETS.values(), ids=SECRETS)
def test_secrets_go_where_they_are_needed(
    role: Role, spec: dict[str, Any], wanted: dict[Role, list[str]]
) -> None:
    found = container(role, **spec)
    single = [one["name"] for one in found["env"] if one["name"].startswith("PENSTOCK_SECRET_")]
    whole = [one["prefix"] + "*" for one in found.get("envFrom", [])]
    assert [*single, *whole] == wanted[role]
    for one in found["env"]:
        if one["name"] in single:
            reference = one["valueFrom"]["secretKeyRef"]
            assert one["name"] == variable_name(reference["name"], reference["key"])


def test_variables_of_the_template_stay_beside_those_of_a_store() -> None:
    source = {"objectStore": {"url": "s3://in/*.pdf", "secretRef": {"name": "s3"}}}
    more = {"configMapRef": {"name": "modes"}}
    template = {"spec": {"containers": [{"envFrom": [more]}]}}
    own = {"prefix": "PENSTOCK_SECRET_S3_", "secretRef": {"name": "s3"}}
    assert container("plan", source=source, template=template)["envFrom"] == [more, own]
    assert container("export", source=source, template=template)["envFrom"] == [more]


@pytest.mark.parametrize("role", ROLES)
def test_what_queues_jobs_is_passed_on(role: Role) -> None:
    queue = {"kueue.x-k8s.io/queue-name": "batch"}
    least = {"kueue.x-k8s.io/job-min-parallelism": "2"}
    applied = {"kubectl.kubernetes.io/last-applied-configuration": "{…}"}
    job = built(
        role, manifest({"labels": {**queue, "team": "x"}, "annotations": {**least, **applied}})
    )
    assert job["metadata"]["labels"].items() >= queue.items()
    assert "team" not in job["metadata"]["labels"]
    assert job["metadata"]["annotations"].items() >= least.items()
    assert applied.keys().isdisjoint(job["metadata"]["annotations"])


def test_the_secret() -> None:
    secret = database_secret(OWNER, SECRET, URL)
    assert secret["metadata"]["name"] == SECRET
    assert secret["metadata"]["namespace"] == "shop"
    assert secret["metadata"]["ownerReferences"][0]["uid"] == OWNER.uid
    assert secret["immutable"] is True
    assert secret["stringData"] == {"url": URL}
    assert "hunter22" not in json.dumps(secret["metadata"])
