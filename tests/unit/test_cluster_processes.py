"""What belongs to the cluster and what does not: processes, mounts, images, readiness."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import __main__ as commands
from tests.cluster import api, images, leftovers, processes
from tests.cluster.config import Paths
from tests.cluster.errors import ClusterError

PATHS = Paths(Path("/state"), Path("/runtime"))


def test_a_process_name_may_hold_brackets() -> None:
    fields = " ".join(str(number) for number in range(4, 30))
    assert processes.parse_stat(f"12 (a) b (c)) S {fields}") == ("S", 22)


def test_a_process_is_known_by_more_than_its_number() -> None:
    found = processes.stat(os.getpid())
    assert found is not None
    record = processes.Record("me", os.getpid(), found[1], processes.boot_id())
    assert processes.alive(record)
    assert not processes.alive(dataclasses.replace(record, started=found[1] + 1))
    assert not processes.alive(dataclasses.replace(record, boot="another"))


def test_ending_waits_until_the_process_is_gone() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        processes.end([process.pid])
        assert process.wait(timeout=10) == -9
    processes.end([process.pid])  # nobody has this number any more


def test_waiting_ends_when_a_watched_process_has(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path)
    log = processes.log_of("kubelet", paths)
    log.parent.mkdir()
    log.write_text("fine\n" * 100 + "out of cheese\n")
    gone = processes.Record("kubelet", os.getpid(), -1, "another boot")
    with pytest.raises(ClusterError, match="kubelet has ended") as caught:
        processes.wait(lambda: "not yet", seconds=60, watched=[gone], paths=paths)
    assert str(log) in str(caught.value)
    assert str(caught.value).endswith("  out of cheese")
    assert str(caught.value).count("\n") < 20


def test_waiting_says_what_was_missing() -> None:
    with pytest.raises(ClusterError, match="the node is asleep after 0 s"):
        processes.wait(lambda: "the node is asleep", seconds=0)


def test_parts_inherit_nothing_but_the_mark() -> None:
    environment = processes.environment(PATHS)
    assert set(environment) == {"PATH", "HOME", "LANG", "PENSTOCK_CLUSTER"}
    text = b"\0".join(f"{name}={value}".encode() for name, value in environment.items())
    assert leftovers.marked(text, PATHS)
    assert not leftovers.marked(text, Paths(Path("/sta"), Path("/runtime")))
    assert not leftovers.marked(b"HOME=/state\0", PATHS)


def test_mounts_of_the_cluster_are_found_innermost_first() -> None:
    text = "\n".join(
        f"{number} 1 0:1 / {point} rw - tmpfs tmpfs rw"
        for number, point in enumerate(
            ["/", "/state", "/state/a\\040b", "/stateful", "/state/a\\040b/c", "/runtime/x"]
        )
    )
    found = leftovers.mounts_below(text, [PATHS.state, PATHS.runtime])
    assert found == ["/runtime/x", "/state/a b/c", "/state/a b", "/state"]


def test_an_image_is_the_same_every_time_and_holds_what_it_should() -> None:
    made = images.archive("a/b:1", {"bin/x": b"#!"}, ["/bin/x"], links={"bin/y": "/bin/x"})
    assert made == images.archive("a/b:1", {"bin/x": b"#!"}, ["/bin/x"], links={"bin/y": "/bin/x"})
    with tarfile.open(fileobj=io.BytesIO(made)) as outer:
        manifest = json.loads(_member(outer, "manifest.json"))
        configuration = json.loads(_member(outer, manifest[0]["Config"]))
        layer = _member(outer, manifest[0]["Layers"][0])
    assert manifest[0]["RepoTags"] == ["a/b:1"]
    assert configuration["config"]["User"] == "65534:65534"
    assert configuration["rootfs"]["diff_ids"][0].startswith("sha256:")
    with tarfile.open(fileobj=io.BytesIO(layer)) as inner:
        assert inner.getmember("bin/x").mode == 0o755
        assert inner.getmember("bin/y").linkname == "/bin/x"
        assert inner.getmember("tmp").mode == 0o1777


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member is not None
    return member.read()


def _ready(status: str) -> dict[str, str]:
    return {"type": "Ready", "status": status, "message": "no CNI"}


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ({"spec": {}, "status": {}}, "the node has said nothing yet"),
        ({"spec": {"taints": [{"key": "not-ready"}]}}, "the node is tainted (not-ready)"),
        (
            {"spec": {}, "status": {"conditions": [_ready("False")]}},
            "the node is not Ready: no CNI",
        ),
        ({"spec": {}, "status": {"conditions": [_ready("True")]}}, None),
    ],
)
def test_a_node_takes_pods_or_says_why_not(node: dict[str, Any], reason: str | None) -> None:
    assert api.readiness(node) == reason


def test_an_unknown_command_shows_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["upp"]) == 2
    assert "up | down | status" in capsys.readouterr().err
