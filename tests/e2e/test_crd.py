"""The CustomResourceDefinition on a real API server: what it takes, refuses, explains and shows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import InputError
from penstock.spec.load import parse
from penstock_operator.crd.status import BatchJobStatus, Condition, ItemCounts
from tests.e2e.crd_cases import GOOD, REFUSED, TAKEN, Case, changed
from tests.e2e.kube import Kube, Refused
from tests.e2e.namespace import Namespace
from tests.e2e.operator_process import install_definition

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def _crd(kube: Kube) -> None:
    """A cluster that knows BatchJobs."""
    install_definition(kube)


def offer(kube: Kube, manifest: str) -> tuple[bool, str]:
    """Whether the API server would take a manifest, and what it says."""
    done = kube.try_kubectl("create", "--dry-run=server", "--filename", "-", text=manifest)
    return done.returncode == 0, done.stdout + done.stderr


@pytest.mark.xdist_group("definition")
def test_the_definition_is_taken_whole(kube: Kube) -> None:
    found = kube.get(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/batchjobs.penstock.dev"
    )
    conditions = {one["type"]: one["status"] for one in found["status"]["conditions"]}
    assert conditions["Established"] == conditions["NamesAccepted"] == "True"
    # What is wrong with a schema that was stored all the same would be told here.
    assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_taken(kube: Kube, sample: Path) -> None:
    assert offer(kube, sample.read_text()) == (
        True,
        f"batchjob.penstock.dev/{sample.stem} created (server dry run)\n",
    )


@pytest.mark.parametrize("case", TAKEN, ids=lambda case: case.name)
def test_good_manifests_are_taken(kube: Kube, case: Case) -> None:
    taken, said = offer(kube, case.text())
    assert taken, said
    parse(case.text(), "job.yaml")


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_bad_manifests_are_refused_with_the_field(kube: Kube, case: Case) -> None:
    taken, said = offer(kube, case.text())
    assert not taken
    for words in case.says:
        assert words in said
    with pytest.raises(InputError):
        parse(case.text(), "job.yaml")


@pytest.mark.xdist_group("definition")
@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("rateLimit", ["requestsPerMinute <number>", "Left out, the limit is found out from"]),
        ("scaling.maxParallelism", ["never more worker pods than this. Default: 10."]),
        ("retry", ["maxElapsed", "A duration: 500ms,", "Default: 10m."]),
        ("source", ["exactly one of inline, configMap, file"]),
        ("processor.openai", ["model <string> -required-", "enum: chat, responses, embeddings"]),
    ],
)
def test_explain_teaches(kube: Kube, field: str, words: list[str]) -> None:
    said = " ".join(kube.kubectl("explain", f"bj.spec.{field}").split())
    for one in words:
        assert one in said


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ({"sharding": {"itemsPerShard": 5}}, {"sharding": {"itemsPerShard": 6}}, "spec.sharding: "),
        ({"sharding": {"itemsPerShard": 5}}, {"sharding": None}, "spec.sharding: "),
        ({}, {"sharding": {"itemsPerShard": 5}}, "divided already; make another BatchJob"),
        ({"rerun": 2}, {"rerun": 1}, "spec.rerun: "),
        ({"rerun": 2}, {"rerun": None}, "never falls; leave it as it was, or raise it"),
        ({"redrive": 1}, {"redrive": 0}, "spec.redrive: "),
        ({"managedBy": "a"}, {"managedBy": "b"}, "spec.managedBy: "),
        ({}, {"managedBy": "a"}, "two controllers would run the job"),
    ],
)
def test_edits_that_cannot_be_are_refused(
    namespace: Namespace, before: dict[str, Any], after: dict[str, Any], says: str
) -> None:
    namespace.create(changed(GOOD, {f"spec.{name}": value for name, value in before.items()}))
    with pytest.raises(Refused) as refused:
        namespace.patch("BatchJob", "products", {"spec": after})
    assert refused.value.status == 422
    assert says in refused.value.message


def test_edits_that_can_be_are_taken(namespace: Namespace) -> None:
    namespace.create(changed(GOOD, {"spec.redrive": 1}))
    for edit in (
        {"redrive": 2, "rerun": 1, "suspend": True},
        {"sharding": {"itemsPerShard": "auto"}},  # what it was
        {"sharding": None},
        {"scaling": {"minParallelism": 2, "maxParallelism": 2}, "rateLimit": {"pool": "shared"}},
    ):
        namespace.patch("BatchJob", "products", {"spec": edit})
    assert namespace.get("BatchJob", "products")["metadata"]["generation"] == 5


def test_nothing_is_added_or_lost(namespace: Namespace) -> None:
    items: list[Any] = [None, 1, "a", {"b": None, "c": [1, None, {"d": []}]}]
    wanted = changed(GOOD, {"spec.source": {"inline": {"items": items}}})
    namespace.create(wanted)
    assert namespace.get("BatchJob", "products")["spec"] == wanted["spec"]


def test_an_object_near_the_limit_of_etcd_is_taken(namespace: Namespace) -> None:
    items = [{"text": "x" * 1000} for _ in range(1200)]
    namespace.create(changed(GOOD, {"spec.source": {"inline": {"items": items}}}))
    assert len(namespace.get("BatchJob", "products")["spec"]["source"]["inline"]["items"]) == 1200


def test_the_status_is_shown(namespace: Namespace) -> None:
    namespace.create(GOOD)
    status = BatchJobStatus(
        phase="Running",
        observed_generation=1,
        message="going on",
        progress="61%",
        rate="48.1/s",
        throttled="0.4%",
        eta="12m",
        item_counts=ItemCounts(total=100, skipped=1, succeeded=60, failed=2),
        conditions=[
            Condition(
                type="Planned",
                status="True",
                reason="Planned",
                message="100 items",
                last_transition_time=NOON,
            )
        ],
    )
    namespace.kube.patch(
        f"{namespace.path('BatchJob', 'products')}/status",
        {"status": status.as_json(), "spec": {"suspend": True}},
    )
    found = namespace.get("BatchJob", "products")
    assert found["status"] == status.as_json()
    assert "suspend" not in found["spec"], "the status subresource leaves the spec alone"

    here = ("--namespace", namespace.name)
    heads, row = namespace.kube.kubectl("get", "bj", *here).splitlines()
    assert heads.split() == [
        *(
            "NAME",
            "PHASE",
            "PROGRESS",
            "SUCCEEDED",
            "SKIPPED",
            "FAILED",
            "RATE",
            "429",
            "ETA",
            "AGE",
        )
    ]
    assert row.split()[:9] == [
        *("products", "Running", "61%", "60", "1", "2", "48.1/s", "0.4%", "12m")
    ]
    assert "going on" in namespace.kube.kubectl("get", "batchjob", *here, "--output=wide")
    assert "batchjob.penstock.dev/products" in namespace.kube.kubectl("get", "all", *here)
    selected = ("get", "bj", *here, "--output=name", "--field-selector")
    assert "products" in namespace.kube.kubectl(*selected, "status.phase=Running")
    assert not namespace.kube.kubectl(*selected, "status.phase=Failed")
    namespace.kube.kubectl("wait", *here, "bj/products", "--for=condition=Planned", "--timeout=10s")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"phase": "Working"}, "status.phase: Unsupported value"),
        ({"itemCounts": {"total": -1}}, "status.itemCounts.total: "),
        ({"startTime": "yesterday"}, "status.startTime: "),
        ({"failures": [{"reason": str(n), "count": 1} for n in range(11)]}, "status.failures: "),
    ],
)
def test_a_status_that_cannot_be_is_refused(
    namespace: Namespace, status: dict[str, Any], says: str
) -> None:
    namespace.create(GOOD)
    with pytest.raises(Refused) as refused:
        namespace.kube.patch(f"{namespace.path('BatchJob', 'products')}/status", {"status": status})
    assert refused.value.status == 422
    assert says in refused.value.message
