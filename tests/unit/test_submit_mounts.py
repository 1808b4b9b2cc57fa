"""Files that go along, mounted where the same paths lead to them."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cluster.mounts import with_files
from penstock.errors import InputError
from penstock_operator.builders.merge import merged, template_mistakes


def own(template: dict[str, Any]) -> dict[str, Any]:
    """The container that works, as the operator makes it of a template."""
    plain = {"spec": {"containers": [{"name": "penstock"}]}}
    found: dict[str, Any] = next(
        one for one in merged(plain, template)["spec"]["containers"] if one["name"] == "penstock"
    )
    return found


def places(template: dict[str, Any]) -> dict[str, str]:
    """Where each key can be read in a pod."""
    (mount,) = (one for one in own(template)["volumeMounts"] if one["name"] == "staged-files")
    (volume,) = (one for one in template["spec"]["volumes"] if one["name"] == "staged-files")
    assert mount["readOnly"] is True
    assert volume["configMap"]["name"] == "c"
    found = {}
    for item in volume["configMap"]["items"]:
        top, _, rest = item["path"].partition("/")
        assert top == mount["subPath"]
        found[item["key"]] = f"{mount['mountPath']}/{rest}"
    return found


@pytest.mark.parametrize(
    ("paths", "folder", "wanted"),
    [
        (["docs/a.pdf"], "/data/docs", ["/data/docs/a.pdf"]),
        (
            ["docs/a.pdf", "docs/new/b.pdf"],
            "/data/docs",
            ["/data/docs/a.pdf", "/data/docs/new/b.pdf"],
        ),
        (["a.pdf", "docs/b.pdf"], "/data", ["/data/a.pdf", "/data/docs/b.pdf"]),
        (["../scans/a.pdf"], "/scans", ["/scans/a.pdf"]),
        (["/home/me/a.pdf", "/home/me/b.pdf"], "/home/me", ["/home/me/a.pdf", "/home/me/b.pdf"]),
    ],
)
def test_the_same_paths_lead_to_them(paths: list[str], folder: str, wanted: list[str]) -> None:
    template = with_files(None, "c", {path: f"k{number}" for number, path in enumerate(paths)})
    assert template_mistakes(template) == []
    assert places(template) == {f"k{number}": place for number, place in enumerate(wanted)}
    assert own(template)["volumeMounts"][-1]["mountPath"] == folder


@pytest.mark.parametrize(
    "containers",
    [
        [{"image": "mine:1", "workingDir": "/work"}],
        [{"name": "side"}, {"name": "penstock", "image": "mine:1", "workingDir": "/work"}],
        [{"image": "mine:1", "workingDir": "/work"}, {"name": "side"}],
    ],
)
def test_the_rest_of_the_template_stays(containers: list[dict[str, Any]]) -> None:
    given: dict[str, Any] = {
        "metadata": {"labels": {"team": "a"}},
        "spec": {
            "nodeSelector": {"disk": "fast"},
            "containers": containers,
            "volumes": [{"name": "models", "emptyDir": {}}],
        },
    }
    template = with_files(given, "c", {"docs/a.pdf": "a.pdf"})
    assert template_mistakes(template) == []
    assert places(template) == {"a.pdf": "/work/docs/a.pdf"}
    assert own(template)["image"] == "mine:1"
    assert template["metadata"] == given["metadata"]
    assert template["spec"]["nodeSelector"] == {"disk": "fast"}
    assert [one["name"] for one in template["spec"]["volumes"]] == ["models", "staged-files"]
    assert [one.get("name") for one in template["spec"]["containers"]] == [
        one.get("name") for one in containers
    ]
    assert given["spec"]["containers"] == containers, "the one given was changed"
    assert all("volumeMounts" not in one for one in containers)


def test_sidecars_alone_are_none_to_work_in() -> None:
    template = with_files({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}, "c", {"x": "x"})
    assert template_mistakes(template) == []
    assert places(template) == {"x": "/data/x"}


@pytest.mark.parametrize("path", ["/a.pdf", "../a.pdf", "/tmp/a.pdf", "/usr/share/dict/words"])
def test_nothing_takes_the_place_of_what_pods_need(path: str) -> None:
    with pytest.raises(InputError, match=r"pods, which have their own: put them in a folder"):
        with_files(None, "c", {path: "k"})


def test_a_volume_of_the_users_keeps_its_place() -> None:
    mounts = [{"name": "d", "mountPath": "/data/"}]
    template = {"spec": {"containers": [{"volumeMounts": mounts}]}}
    with pytest.raises(InputError, match=r"mounts a volume at /data, where these files would go"):
        with_files(template, "c", {"a.pdf": "k"})
    below = with_files(template, "c", {"docs/a.pdf": "k"})
    assert places(below) == {"k": "/data/docs/a.pdf"}
