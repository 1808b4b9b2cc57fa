"""The pinned Helm installs, upgrades and removes a chart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.helm import Helm
from tests.e2e.kube import Object
from tests.e2e.namespace import Namespace
from tests.e2e.target import Target

CHART = """\
apiVersion: v2
name: colours
version: 0.1.0
"""
TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  colour: {{ .Values.colour }}
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A chart of one ConfigMap."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text(CHART)
    (tmp_path / "values.yaml").write_text("colour: red\n")
    (tmp_path / "templates" / "colour.yaml").write_text(TEMPLATE)
    return tmp_path


def test_a_release_comes_changes_and_goes(
    namespace: Namespace, cluster: Target, chart: Path
) -> None:
    helm = Helm(cluster, namespace.name)

    def found() -> Object:
        data: Object = namespace.get("ConfigMap", "paint")["data"]
        return data

    helm("install", "paint", str(chart))
    assert found() == {"colour": "red"}
    helm("upgrade", "paint", str(chart), "--set", "colour=blue")
    assert found() == {"colour": "blue"}
    assert helm("list", "--short").split() == ["paint"]
    helm("uninstall", "paint", "--wait")
    assert namespace.find("ConfigMap", "paint") is None
    assert helm("list", "--short").split() == []
