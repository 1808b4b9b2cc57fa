"""Results from a cluster: the rows as they come over the wire, the pod that they are read by."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cluster.reader_pod import database_secret, newest, reader_of, reader_with
from penstock.cluster.results import rows_of
from penstock.errors import ClusterError
from penstock.export.rows import ExportRow
from penstock.pods.rows import _line
from penstock.spec.job import BatchJob
from penstock.store.results import StoredRow
from penstock_operator.builders.jobs import build
from penstock_operator.names import Owner
from penstock_operator.settings import Settings

ROWS = [
    StoredRow(0, "a", '{"a":"ä\\n"}', "succeeded", 1, None, '[1,{"b":null}]'),
    StoredRow(1, 'quote"', "null", "failed", 5, "HTTP 500: no\nreason", None),
    StoredRow(3, "c", '"text"', "pending", 0, None, None),
]
WIRE = ("".join(map(_line, ROWS)) + '{"rows":3}\n').encode()


async def cut(data: bytes, places: Sequence[int]) -> AsyncIterator[bytes]:
    edges = [0, *sorted(places), len(data)]
    for start, end in pairwise(edges):
        yield data[start:end]


async def read(data: bytes, places: Sequence[int] = ()) -> list[ExportRow]:
    return [row async for rows in rows_of(cut(data, places)) for row in rows]


@given(st.lists(st.integers(0, len(WIRE)), max_size=8))
async def test_rows_come_whole_however_they_are_cut(places: list[int]) -> None:
    rows = await read(WIRE, places)
    assert [(row.position, row.item_id, row.status, row.attempts, row.error) for row in rows] == [
        (row.position, row.item_id, row.status, row.attempts, row.error) for row in ROWS
    ]
    assert [row.item for row in rows] == [json.loads(row.payload) for row in ROWS]
    assert [row.output for row in rows] == [[1, {"b": None}], None, None]


@pytest.mark.parametrize("missing", [1, 5, len(b'{"rows":3}\n'), len(WIRE)])
async def test_what_breaks_off_is_no_result(missing: int) -> None:
    with pytest.raises(ClusterError, match="broke off"):
        await read(WIRE[: len(WIRE) - missing])


async def test_no_rows_are_a_result() -> None:
    assert await read(b'{"rows":0}\n') == []


# --- the pod

TEMPLATE = {
    "metadata": {"labels": {"team": "a"}},
    "spec": {
        "nodeSelector": {"disk": "fast"},
        "imagePullSecrets": [{"name": "registry"}],
        "initContainers": [{"name": "wait", "image": "busybox"}],
        "containers": [
            {
                "name": "penstock",
                "image": "registry.example/worker:1",
                "env": [
                    {"name": "PGSSLROOTCERT", "value": "/ca/ca.crt"},
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "t", "key": "t"}}},
                ],
                "volumeMounts": [
                    {"name": "ca", "mountPath": "/ca"},
                    {"name": "data", "mountPath": "/data"},
                ],
            },
            {"name": "sidecar", "image": "busybox"},
        ],
        "volumes": [
            {"name": "ca", "configMap": {"name": "ca"}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        ],
    },
}
JOB = BatchJob.model_validate(
    {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "products"},
        "spec": {
            "source": {"configMap": {"name": "items", "key": "items.csv"}},
            "processor": {
                "http": {
                    "url": "http://p",
                    "apiKey": {"secretKeyRef": {"name": "k", "key": "k"}},
                }
            },
            "template": TEMPLATE,
        },
    }
)
SETTINGS = Settings(
    "postgresql://o@db/p",
    "postgresql://w@db/p",
    "ops",
    (),
    "worker:1",
    "Never",
    (),
    job_roles=False,
)
BATCHJOB: dict[str, Any] = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "BatchJob",
    "metadata": {"name": "products", "uid": "u-1"},
}


def made(role: Any, run: int = 1, uid: str = "u-1") -> dict[str, Any]:
    """A Job as the operator makes it."""
    owner = Owner("products", "team", uid)
    return build(
        role, owner, run, 7, JOB, SETTINGS, secret="products-db-1", parallelism=1, suspend=False
    )


def test_the_pod_is_the_jobs_own_without_what_it_does_not_need() -> None:
    pod = reader_of(made("plan"), BATCHJOB, None)
    spec = pod["spec"]
    [container] = spec["containers"]
    assert container["image"] == "registry.example/worker:1"
    variables = {one["name"] for one in container["env"]}
    assert variables >= {"PENSTOCK_DATABASE_URL", "PGSSLROOTCERT"}
    assert "TOKEN" not in variables
    volumes = {one["name"] for one in spec["volumes"]}
    assert volumes >= {"penstock-tmp", "ca"}
    assert not volumes & {"penstock-source", "data"}
    assert {one["name"] for one in container["volumeMounts"]} <= volumes
    assert "initContainers" not in spec
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert pod["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    # The operator must not take it for one of its own.
    assert not [name for name in pod["metadata"]["labels"] if name.startswith("penstock.dev/")]


def test_the_keys_of_providers_stay_out_of_it() -> None:
    [container] = reader_of(made("work"), BATCHJOB, None)["spec"]["containers"]
    secrets = [one["name"] for one in container["env"] if "valueFrom" in one]
    assert secrets == ["PENSTOCK_DATABASE_URL"]


def test_which_job_it_is_made_after() -> None:
    jobs = [
        made("work", 1),
        made("export", 1),
        made("plan", 2),
        made("work", 2),
        made("plan", 9, "x"),
    ]
    found = newest(jobs, "u-1")
    assert found is not None
    assert found["metadata"]["name"] == "products-2-plan"
    found = newest(jobs[:2], "u-1")
    assert found is not None
    assert found["metadata"]["name"] == "products-1-export"
    assert newest(jobs, "y") is None


def test_when_the_jobs_are_gone_the_secret_is_left() -> None:
    def secret(name: str, time: str, uid: str = "u-1") -> dict[str, Any]:
        owners = [{"uid": uid}]
        return {"metadata": {"name": name, "creationTimestamp": time, "ownerReferences": owners}}

    secrets = [
        secret("products-db-11", "2026-01-01T00:00:00Z"),
        secret("products-db-22", "2026-01-02T00:00:00Z"),
        secret("products-api-key", "2026-01-03T00:00:00Z"),
        secret("products-db-33", "2026-01-03T00:00:00Z", "u-2"),
    ]
    assert database_secret(secrets, "u-1") == "products-db-22"
    assert database_secret([], "u-1") is None
    [container] = reader_with("products-db-22", "w:1", BATCHJOB)["spec"]["containers"]
    assert container["env"][0]["valueFrom"] == {
        "secretKeyRef": {"name": "products-db-22", "key": "url"}
    }
