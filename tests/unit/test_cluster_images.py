"""What the images are made from: names that follow the content, and pip's settings handed on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cluster import contents
from tests.cluster.buildah import pip_settings
from tests.cluster.contents import IMAGES, ROOT, copy, digest, files, key, reference

DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", IMAGES)
def test_a_name_is_made_of_the_content_and_valid(name: str) -> None:
    assert re.fullmatch(rf"penstock\.test/{name}:[0-9a-f]{{12}}", reference(name))
    assert reference(name) == reference(name)


@pytest.mark.parametrize("name", ["worker", "postgres"])
def test_a_copy_has_the_key_of_the_original_until_it_is_edited(name: str, tmp_path: Path) -> None:
    copy(name, tmp_path)
    assert key(name, tmp_path) == key(name)
    image = IMAGES[name]
    edited = files(tmp_path / image.context, image.inputs)[-1]
    edited.write_bytes(edited.read_bytes() + b"\n")
    assert key(name, tmp_path) != key(name)


def test_what_python_leaves_beside_its_sources_changes_nothing(tmp_path: Path) -> None:
    copy("worker", tmp_path)
    compiled = tmp_path / "worker" / "penstock" / "__pycache__" / "x.cpython-311.pyc"
    compiled.parent.mkdir()
    compiled.write_bytes(b"compiled")
    assert key("worker", tmp_path) == key("worker")


def test_another_base_makes_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: key(name) for name in (*IMAGES, "base")}
    monkeypatch.setattr(contents, "PACKAGES", (*contents.PACKAGES, "curl"))
    assert all(key(name) != old for name, old in before.items())


def test_a_digest_knows_where_its_parts_end() -> None:
    assert digest([b"ab", b"c"]) != digest([b"a", b"bc"])


def test_everything_the_dockerfile_copies_is_an_input() -> None:
    """What is not would be missing in the build, or change without another name."""
    copied = set(re.findall(r"^COPY (requirements-\S+)", DOCKERFILE, re.MULTILINE))
    assert copied
    for role in ("worker", "operator", "samples"):
        assert IMAGES[role].target == role
        assert copied <= set(IMAGES[role].inputs)
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    wanted = {
        name for name in IMAGES["worker"].inputs if name not in {"Dockerfile", ".dockerignore"}
    }
    assert {line[1:] for line in allowed if line.startswith("!")} == wanted


def test_no_image_of_ours_runs_as_root() -> None:
    for image in IMAGES.values():
        text = (ROOT / image.context / "Dockerfile").read_text()
        if image is not IMAGES["build"]:
            assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", text, re.MULTILINE), image.context


def test_settings_of_pip_are_handed_on_and_the_environment_wins() -> None:
    said = [
        ":env:.index-url='https://environment.example/simple'",
        ":env:.find-links='/wheels'",
        "global.cert='/etc/authorities.pem'",
        "global.index-url='https://file.example/simple'",
        "global.trusted-host='a.example\\nb.example'",
    ]
    assert pip_settings(said) == {
        "cert": "/etc/authorities.pem",
        "index-url": "https://environment.example/simple",
        "trusted-host": "a.example\n    b.example",
    }
