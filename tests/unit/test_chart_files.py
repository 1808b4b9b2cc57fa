"""The chart's files, without Helm: versions, the copy of the CRD, values and their schema."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema_rs
import pytest
import yaml

from penstock import __version__
from tools.render_chart import CHART, CRD, CRD_IN_CHART, INSTALL

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def test_the_chart_has_the_version_of_the_code() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_the_crd_of_the_chart_is_the_generated_one() -> None:
    assert CRD_IN_CHART.read_text() == CRD.read_text(), "run `make manifests`"


def test_the_rendered_install_has_the_generated_crd_and_no_secret() -> None:
    objects = list(yaml.safe_load_all(INSTALL.read_text()))
    [definition] = [one for one in objects if one["kind"] == "CustomResourceDefinition"]
    assert definition["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert definition == yaml.safe_load(CRD.read_text()), "run `make manifests`"
    kinds = {one["kind"] for one in objects}
    assert "Deployment" in kinds
    assert not kinds & {"Secret", "StatefulSet"}


def test_the_schema_takes_the_values_as_they_are() -> None:
    assert list(jsonschema_rs.validator_for(SCHEMA).iter_errors(VALUES)) == []


def test_the_schema_knows_every_value_and_no_other() -> None:
    assert _known(SCHEMA) - {"global"} == set(VALUES)
    _compare(VALUES, SCHEMA, "values")


def _known(schema: dict[str, Any]) -> set[str]:
    return set(schema["properties"])


def _compare(value: dict[str, Any], schema: dict[str, Any], path: str) -> None:
    """Every object of the values is closed in the schema, with exactly the keys it has."""
    for name, part in value.items():
        found = schema["properties"][name]
        if "$ref" in found:
            found = SCHEMA["definitions"][found["$ref"].rpartition("/")[2]]
        if not isinstance(part, dict) or "properties" not in found:
            continue
        assert found["additionalProperties"] is False, f"{path}.{name}"
        if found is not SCHEMA["definitions"]["resources"]:
            assert _known(found) == set(part), f"{path}.{name}"
        _compare(part, found, f"{path}.{name}")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("watchNamespace", ["a"]),
        ("watchNamespaces", "a"),
        ("watchNamespaces", ["a", "a"]),
        ("watchNamespaces", ["Team A"]),
        ("operator.replicas", 2),
        ("operator.image.tag", 1.5),
        ("operator.image.digest", "abc"),
        ("operator.image.pullPolicy", "Sometimes"),
        ("operator.image.repository", "penstock operator"),
        ("operator.extraEnv", {"A": "b"}),
        ("operator.podLabels", {"a": 1}),
        ("worker.image.name", "x"),
        ("database.url", "postgresql://u:p@h/d"),
        ("database.existingSecret.workerKey", "workers"),  # of which Secret?
        ("database.jobRoles", "yes"),
        ("bundledPostgres.persistence.size", "ten"),
        ("bundledPostgres.maxConnections", "300"),
        ("crds.install", "yes"),
    ],
)
def test_the_schema_refuses(path: str, value: object) -> None:
    values = copy.deepcopy(VALUES)
    *parents, last = path.split(".")
    target = values
    for name in parents:
        target = target[name]
    target[last] = value
    assert not jsonschema_rs.validator_for(SCHEMA).is_valid(values)
