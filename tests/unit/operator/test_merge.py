"""`spec.template` laid over the operator's pod, and what is refused in it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_operator.builders.merge import template_mistakes
from penstock_operator.builders.strategic import overlaid
from penstock_operator.observed import Role
from tests.unit.operator.manifests import ROLES, built, manifest
from tests.unit.operator.templates import GOOD

SAFE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def made(template: dict[str, Any], role: Role = "work") -> dict[str, Any]:
    """The pod template with this template laid over it."""
    assert template_mistakes(template) == []
    found: dict[str, Any] = built(role, manifest(template=template))["spec"]["template"]
    return found


def containers(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in made(template)["spec"]["containers"]}


def own(**container: Any) -> dict[str, Any]:
    """Our container, changed by these fields."""
    return containers({"spec": {"containers": [container]}})["penstock"]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("template", GOOD.values(), ids=GOOD)
def test_what_the_operator_needs_survives(template: dict[str, Any], role: Role) -> None:
    before = copy.deepcopy(template)
    plain, pod = made({}, role), made(template, role)
    assert template == before, "the manifest is not changed"
    (ours,) = (one for one in pod["spec"]["containers"] if one["name"] == "penstock")
    (bare,) = plain["spec"]["containers"]
    assert ours["env"][: len(bare["env"])] == bare["env"]
    assert ours["args"] == [role]
    assert ours["image"]
    assert ours["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert "/tmp" in [mount["mountPath"].rstrip("/") for mount in ours["volumeMounts"]]
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["metadata"]["annotations"].items() >= plain["metadata"]["annotations"].items()
    for name, value in plain["metadata"]["labels"].items():
        assert not name.startswith("penstock.dev/") or pod["metadata"]["labels"][name] == value
    names = [volume["name"] for volume in pod["spec"]["volumes"]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("template", [None, {}, {"spec": None}, {"spec": {"containers": []}}])
def test_no_template_changes_nothing(template: dict[str, Any] | None) -> None:
    assert template_mistakes(template) == []
    assert built("work", manifest(template=template)) == built("work", manifest())


@pytest.mark.parametrize(
    ("given", "ours", "others"),
    [
        ([{"name": "penstock"}], 0, []),
        ([{}], 0, []),
        ([{"name": ""}], 0, []),
        ([{"name": "worker"}], 0, []),
        ([{"name": "a"}, {"name": "penstock"}], 1, ["a"]),
        ([{"name": "a"}, {}], 1, ["a"]),
        ([{}, {"name": "a"}, {"name": "b"}], 0, ["a", "b"]),
    ],
)
def test_which_container_is_ours(given: list[dict[str, Any]], ours: int, others: list[str]) -> None:
    given = [{**one, "image": f"image-{place}"} for place, one in enumerate(given)]
    found = containers({"spec": {"containers": given}})
    assert list(found) == ["penstock", *others]
    assert found["penstock"]["image"] == f"image-{ours}"


def test_the_image_may_be_another_and_is_ours_when_left_out() -> None:
    assert own(image="mine:1")["image"] == "mine:1"
    assert own(image=None)["image"] == own()["image"] == "example.com/penstock-worker:0.1"


def test_variables_follow_ours_and_replace_each_other_whole() -> None:
    variables = own(env=[{"name": "A", "value": "1"}])["env"]
    assert variables[-1] == {"name": "A", "value": "1"}
    assert variables[0]["name"] == "PENSTOCK_DATABASE_URL"
    base = {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    source = {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert overlaid(base, {"env": [source]}) == {"env": [source, {"name": "B", "value": "2"}]}


def test_a_volume_at_tmp_takes_the_place_of_ours() -> None:
    (mount,) = own(volumeMounts=[{"name": "big", "mountPath": "/tmp/"}])["volumeMounts"]
    assert mount["name"] == "big"


def test_pull_secrets_are_added() -> None:
    spec = made({"spec": {"imagePullSecrets": [{"name": "mine"}, {"name": "registry"}]}})["spec"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}, {"name": "mine"}]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, {"requests": {"cpu": "100m", "memory": "128Mi"}}),
        ({"requests": {"cpu": "2"}}, {"requests": {"cpu": "2", "memory": "128Mi"}}),
        # A request of ours above the limit would be refused.
        (
            {"limits": {"memory": "64Mi"}},
            {"limits": {"memory": "64Mi"}, "requests": {"cpu": "100m"}},
        ),
        (
            {"limits": {"nvidia.com/gpu": 1}, "requests": {"cpu": 1, "memory": "1Gi"}},
            {"limits": {"nvidia.com/gpu": 1}, "requests": {"cpu": 1, "memory": "1Gi"}},
        ),
    ],
)
def test_requests_where_nothing_is_said(given: Any, wanted: dict[str, Any]) -> None:
    assert own(resources=given)["resources"] == wanted


def test_resources_of_the_whole_pod_stand_alone() -> None:
    template = {"spec": {"resources": {"limits": {"memory": "64Mi"}}}}
    assert "resources" not in containers(template)["penstock"]


def test_security_may_be_changed_field_by_field() -> None:
    spec = made({"spec": {"securityContext": {"runAsUser": 1000, "fsGroup": None}}})["spec"]
    assert spec["securityContext"]["runAsUser"] == 1000
    assert "fsGroup" not in spec["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert own(securityContext={"readOnlyRootFilesystem": False})["securityContext"] == {
        **SAFE,
        "readOnlyRootFilesystem": False,
    }


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (None, SAFE),
        ({"runAsUser": 5}, {**SAFE, "runAsUser": 5}),
        (
            {"capabilities": {"add": ["NET_BIND_SERVICE"]}},
            {**SAFE, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
        ),
        ({"privileged": True}, {"privileged": True, "capabilities": {"drop": ["ALL"]}}),
        (
            {"capabilities": {"add": ["SYS_ADMIN"]}},
            {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}},
        ),
    ],
)
@pytest.mark.parametrize("field", ["containers", "initContainers"])
def test_containers_beside_ours_get_no_more_than_they_ask_for(
    field: str, asked: Any, wanted: dict[str, Any]
) -> None:
    beside = {"name": "beside", "image": "x:1", "securityContext": asked}
    given = [beside, {"name": "penstock"}] if field == "containers" else [beside]
    found = made({"spec": {field: given}})["spec"][field]
    assert found[-1]["securityContext"] == wanted


WRONG: list[tuple[Any, list[str]]] = [
    ("text", ["spec.template: wanted an object, given text"]),
    ([], ["spec.template: wanted an object, given a list"]),
    (
        {"containers": [], "specs": {}},
        [
            "spec.template.containers: a pod template has metadata and spec only",
            "spec.template.specs: a pod template has metadata and spec only; did you mean 'spec'?",
        ],
    ),
    ({"spec": 3}, ["spec.template.spec: wanted an object, given a number"]),
    (
        {"spec": {"containers": {}}},
        ["spec.template.spec.containers: wanted a list, given an object"],
    ),
    ({"spec": {"containers": "x"}}, ["spec.template.spec.containers: wanted a list, given text"]),
    (
        {"spec": {"containers": [None, "x"]}},
        [
            "spec.template.spec.containers[0]: wanted an object, given nothing",
            "spec.template.spec.containers[1]: wanted an object, given text",
        ],
    ),
    (
        {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}},
        [
            "spec.template.spec.containers: which of them works? Name that one penstock, "
            "or leave its name out"
        ],
    ),
    (
        {"spec": {"containers": [{"name": "penstock"}, {}, {"name": "a"}, {"name": "a"}]}},
        [
            "spec.template.spec.containers[1].name: is missing; only that of the container "
            "penstock may be",
            "spec.template.spec.containers[3].name: 'a' is there twice",
        ],
    ),
    (
        {"spec": {"containers": [{"name": 3}]}},
        ["spec.template.spec.containers[0].name: wanted text, given a number"],
    ),
    (
        {"spec": {"initContainers": [{"image": "x"}, {"name": "penstock"}]}},
        [
            "spec.template.spec.initContainers[0].name: is missing",
            "spec.template.spec.initContainers[1].name: penstock is the container that works",
        ],
    ),
    (
        {"spec": {"restartPolicy": "OnFailure"}},
        [
            "spec.template.spec.restartPolicy: only Never will do: Penstock decides itself what "
            "is tried again"
        ],
    ),
    (
        {"spec": {"containers": [{"args": ["work"]}]}},
        [
            "spec.template.spec.containers[0].args: is set by the operator; `command` may be what "
            "takes them"
        ],
    ),
    (
        {"spec": {"containers": [{"envFrom": {"secretRef": {"name": "s"}}}]}},
        ["spec.template.spec.containers[0].envFrom: wanted a list, given an object"],
    ),
    (
        {"spec": {"containers": [{"env": [{"name": "PENSTOCK_RUN"}, {"value": "x"}, 7]}]}},
        [
            "spec.template.spec.containers[0].env[2]: wanted an object, given a number",
            "spec.template.spec.containers[0].env[1].name: is missing",
            "spec.template.spec.containers[0].env[0].name: PENSTOCK_RUN is set by the operator",
        ],
    ),
    (
        {"spec": {"containers": [{"env": [{"name": "JOB_COMPLETION_INDEX"}]}]}},
        [
            "spec.template.spec.containers[0].env[0].name: JOB_COMPLETION_INDEX is set by the "
            "operator"
        ],
    ),
    (
        {
            "spec": {
                "containers": [
                    {
                        "volumeMounts": [
                            {"name": "a", "mountPath": "/data"},
                            {"name": "b", "mountPath": "/data/"},
                            {"name": "c", "mountPath": "/etc/penstock/source"},
                        ]
                    }
                ]
            }
        },
        [
            "spec.template.spec.containers[0].volumeMounts[1].mountPath: '/data' is there twice",
            "spec.template.spec.containers[0].volumeMounts[2].mountPath: /etc/penstock is the "
            "operator's own",
        ],
    ),
    (
        {"spec": {"volumes": [{"name": "penstock-tmp"}, {"name": True}]}},
        [
            "spec.template.spec.volumes[1].name: wanted text, given true or false",
            "spec.template.spec.volumes[0].name: names that begin with penstock- are the "
            "operator's own",
        ],
    ),
    (
        {"spec": {"securityContext": [], "resources": "x", "imagePullSecrets": ["x"]}},
        [
            "spec.template.spec.securityContext: wanted an object, given a list",
            "spec.template.spec.resources: wanted an object, given text",
            "spec.template.spec.imagePullSecrets[0]: wanted an object, given text",
        ],
    ),
    (
        {
            "spec": {
                "containers": [
                    {"resources": {"limits": 3}, "securityContext": {"capabilities": {"add": "x"}}}
                ]
            }
        },
        [
            "spec.template.spec.containers[0].securityContext.capabilities.add: wanted a list, "
            "given text",
            "spec.template.spec.containers[0].resources.limits: wanted an object, given a number",
        ],
    ),
    (
        {
            "metadata": {
                "name": "x",
                "labels": {"penstock.dev/run": "1", "job-name": "x", "n": 3, "ok": "1"},
                "annotations": {"penstock.dev/batchjob": "x"},
            }
        },
        [
            "spec.template.metadata.name: only labels and annotations can be set; the operator "
            "names its pods",
            "spec.template.metadata.labels.penstock.dev/run: is set by the operator or by "
            "Kubernetes",
            "spec.template.metadata.labels.job-name: is set by the operator or by Kubernetes",
            'spec.template.metadata.labels.n: wanted text, given a number; write it in "quotes"',
            "spec.template.metadata.annotations.penstock.dev/batchjob: is set by the operator or "
            "by Kubernetes",
        ],
    ),
]


@pytest.mark.parametrize(("template", "wanted"), WRONG)
def test_what_cannot_be_merged_is_told_at_its_path(template: Any, wanted: list[str]) -> None:
    assert [str(mistake) for mistake in template_mistakes(template)] == wanted


# Templates of the right and the wrong shape: the fields that are looked at, with any JSON in them.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {}, optional={name: st.one_of(value, json_values) for name, value in fields.items()}
    )


named = st.sampled_from(["a", "b", "penstock", "PENSTOCK_RUN", "penstock-tmp", ""])
security = objects(capabilities=objects(add=st.lists(json_values, max_size=2)))
container_values = objects(
    name=named,
    args=json_values,
    env=st.lists(objects(name=named), max_size=3),
    volumeMounts=st.lists(objects(name=named, mountPath=named), max_size=3),
    securityContext=security,
    resources=objects(limits=objects(cpu=json_values), requests=objects(cpu=json_values)),
)
templates = objects(
    metadata=objects(labels=st.dictionaries(named, st.text()), annotations=json_values),
    spec=objects(
        containers=st.lists(container_values, max_size=3),
        initContainers=st.lists(container_values, max_size=2),
        volumes=st.lists(objects(name=named), max_size=3),
        imagePullSecrets=st.lists(objects(name=named), max_size=2),
        securityContext=security,
        resources=json_values,
        restartPolicy=st.sampled_from(["Never", "Always"]),
    ),
)


@given(templates, st.sampled_from(ROLES))
def test_a_template_is_refused_or_merged_never_both_nor_neither(
    template: dict[str, Any], role: Role
) -> None:
    if template_mistakes(template):
        return
    pod = built(role, manifest(template=template))["spec"]["template"]
    (ours,) = (one for one in pod["spec"]["containers"] if one["name"] == "penstock")
    assert ours["args"] == [role]
    assert pod["spec"]["restartPolicy"] == "Never"
    names = [variable["name"] for variable in ours["env"]]
    assert len(set(names)) == len(names)
    assert names[:3] == ["PENSTOCK_DATABASE_URL", "PENSTOCK_RUN", "PENSTOCK_JOB"]


objects_of_json = st.dictionaries(st.sampled_from("abcd"), json_values, max_size=4)


@given(objects_of_json, objects_of_json)
def test_overlaying_again_changes_nothing_more(base: dict[str, Any], over: dict[str, Any]) -> None:
    once = overlaid(base, over)
    assert overlaid(once, over) == once
    assert overlaid(base, {}) == base
