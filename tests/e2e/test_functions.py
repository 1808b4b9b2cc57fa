"""Python functions on the cluster: their code from a ConfigMap and from the laptop, the files they
read and write, libraries from an image, and what becomes of one that takes its pod along. All jobs
are under way at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.cluster import builds
from tests.cluster.config import Paths
from tests.e2e import pods
from tests.e2e.command import ROOT
from tests.e2e.kube import Object, condition
from tests.e2e.laptop import SECONDS, Site, set_up
from tests.e2e.namespace import Namespaces
from tests.e2e.target import Target

pytestmark = pytest.mark.xdist_group("functions")

ITEMS = 20
GREEDY = 7
"""The item that wants more memory than its container may have."""
FILES = {
    "double.py": """
def run(item, times):
    return {"text": item["text"] * times, "length": len(item["text"])}
""",
    "greedy.py": f"""
async def run(item):
    return len(bytes([1]) * ((400 << 20) if item["id"] == {GREEDY} else 1))
""",
    "pages.py": """
from pathlib import Path

from words.counting import counted


async def run(item, ctx):
    content = await ctx.read(item["path"])
    return {"bytes": len(content), "words": await ctx.process(count, item["path"])}


def count(path):
    return counted(Path(path).read_text())
""",
    "words/__init__.py": "",
    "words/counting.py": """
from pathlib import Path

STOP = Path(__file__).with_name("stop.txt").read_text().split()


def counted(text):
    return sum(word not in STOP for word in text.split())
""",
    "words/stop.txt": "a the\n",
    "docs/one.txt": "a word and the other",
    "docs/two.txt": "none",
    "docs/new/three.txt": "the end\n" * 40,
    "docs/left.md": "not read",
}


@pytest.fixture(scope="module")
def site(
    namespaces: Namespaces, cluster: Target, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with set_up(namespaces, cluster, tmp_path_factory.mktemp("laptop")) as made:
        for name, text in FILES.items():
            path = made.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        begin(made)
        yield made


def begin(site: Site) -> None:
    """The jobs that take long: one item of the first takes its pods along, by turns, since
    Kubernetes waits ever longer to start one again; nobody has put the code of the second there."""
    container = {"resources": {"limits": {"memory": "200Mi"}}}
    applied(
        site,
        "greedy",
        {"entrypoint": "greedy:run"},
        [{"id": number} for number in range(ITEMS)],
        scaling={"minParallelism": 2, "maxParallelism": 2, "concurrency": {"max": 4}},
        template={"spec": {"containers": [container]}},
    )
    reference = {"configMap": {"name": "nowhere"}}
    python = {"entrypoint": "absent:run", "codeFrom": reference}
    site.namespace.create(manifest("absent", python, [1]))


def manifest(name: str, python: Object, items: list[Any], **spec: Any) -> Object:
    id_field = {"idField": "id"} if isinstance(items[0], dict) else {}
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": name},
        "spec": {
            "source": {"inline": {"items": items}, **id_field},
            "processor": {"python": python},
            "scaling": {"maxParallelism": 1},
            **spec,
        },
    }


def applied(site: Site, name: str, python: Object, items: list[Any], **spec: Any) -> Object:
    """A job that has begun, with the code in NAME.py as a ConfigMap, as kubectl makes one."""
    site.namespace.create(pods.config_map(f"{name}-code", {f"{name}.py": FILES[f"{name}.py"]}))
    python = {**python, "codeFrom": {"configMap": {"name": f"{name}-code"}}}
    made = manifest(name, python, items, **spec)
    site.namespace.create(made)
    return made


def ended(found: Object) -> bool:
    return any(condition(found, kind) for kind in ("Complete", "Failed"))


def wait_for(site: Site, name: str) -> Object:
    found = site.namespace.wait("BatchJob", name, ended, "it has ended", seconds=SECONDS)
    status: Object = found["status"]
    assert condition(found, "Complete"), status
    return status


def test_code_in_a_configmap(site: Site) -> None:
    items = [{"id": number, "text": "x" * number} for number in range(ITEMS)]
    python = {"entrypoint": "double:run", "mode": "process", "kwargs": {"times": 3}}
    made = applied(site, "double", python, items)
    # Here codeFrom says nothing: the module beside the manifest is used.
    (site.folder / "double.yaml").write_text(yaml.safe_dump(made))
    site.penstock("run", "double.yaml", "-o", "here.jsonl")
    wait_for(site, "double")
    site.there("results", "double", "-o", "there.jsonl")
    assert site.rows("there.jsonl") == site.rows("here.jsonl")
    assert [row["length"] for row in site.rows("there.jsonl")] == list(range(ITEMS))


def test_code_and_files_of_the_laptop(site: Site) -> None:
    made = manifest("pages", {"entrypoint": "pages:run"}, [1])
    made["spec"]["source"] = {"file": {"path": "docs/**/*.txt"}, "format": "files"}
    (site.folder / "pages.yaml").write_text(yaml.safe_dump(made))
    site.penstock("run", "pages.yaml", "-o", "here.jsonl")
    told = site.there("submit", "pages.yaml", "-o", "there.jsonl")
    assert "pages.py, words (4 files, " in told
    assert "3 files of " in told
    here = site.rows("here.jsonl")
    assert site.rows("there.jsonl") == here
    assert [(row["path"], row["words"]) for row in here] == [
        ("docs/new/three.txt", 40), ("docs/one.txt", 3), ("docs/two.txt", 1),
    ]  # fmt: skip
    there = site.namespace.get("BatchJob", "pages")
    staged = site.namespace.all("ConfigMap", "app.kubernetes.io/part-of=pages")
    assert {one["metadata"]["name"] for one in staged} == {
        there["spec"]["source"]["configMap"]["name"],
        there["spec"]["processor"]["python"]["codeFrom"]["configMap"]["name"],
    }
    for one in staged:
        assert one["metadata"]["ownerReferences"][0]["uid"] == there["metadata"]["uid"]
        assert one["immutable"] is True

    # Again, with other code: nothing is left to do, and what went along before is gone.
    (site.folder / "words" / "stop.txt").write_text("and\n")
    answer = json.loads(site.there("submit", "pages.yaml", "--json"))
    assert (answer["phase"], answer["skipped"], answer["succeeded"]) == ("Complete", 3, 0)
    again = site.namespace.all("ConfigMap", "app.kubernetes.io/part-of=pages")
    kept = {one["metadata"]["name"] for one in again} & {one["metadata"]["name"] for one in staged}
    assert (len(again), kept) == (2, {there["spec"]["source"]["configMap"]["name"]})


@pytest.mark.own_cluster
def test_a_sample_with_libraries_writes_the_same_files_here_and_there(site: Site) -> None:
    samples, sample = ROOT / "manifests" / "samples", "document-conversion"
    for folder in ("here", "there"):
        made = site.folder / folder
        shutil.copytree(samples / "data" / "documents", made / "data" / "documents")
        shutil.copy(samples / f"{sample}.yaml", made)
        shutil.copy(samples / "document_conversion.py", made)
    image = builds.load(["samples"], Paths())["samples"]
    changes = (f"template.spec.containers=[{{image: {image}}}]", "scaling.maxParallelism=1")
    options = [word for change in changes for word in ("--set", change)]

    def results(folder: str) -> dict[str, bytes]:
        out = site.folder / folder / "out"
        return {
            path.relative_to(out).as_posix(): path.read_bytes()
            for path in out.rglob("*")
            if path.is_file()
        }

    site.penstock("run", f"here/{sample}.yaml", code=3)
    told = site.there("submit", f"there/{sample}.yaml", *options, code=3)
    assert "document_conversion.py (1 file, " in told
    assert results("there") == results("here")
    documents = sorted(path.name for path in (samples / "data" / "documents").iterdir())
    assert len(results("there")) == len(documents) - 1
    site.penstock("results", sample, "-o", "here.jsonl")
    site.there("results", sample, "-o", "there.jsonl")
    failed = [row for row in site.rows("there.jsonl") if row["_status"] == "failed"]
    assert failed == [row for row in site.rows("here.jsonl") if row["_status"] == "failed"]
    assert [row["_error"].partition(":")[0] for row in failed] == ["not a whole PDF"]


def test_code_that_is_not_there_is_told(site: Site) -> None:
    def told(found: Object) -> bool:
        return any(
            (one["type"], one["status"], one["reason"])
            == ("Progressing", "False", "StartTakesLong")
            and "ConfigMap nowhere" in one["message"]
            for one in found.get("status", {}).get("conditions") or ()
        )

    site.namespace.wait("BatchJob", "absent", told, "the ConfigMap is missed", seconds=SECONDS)
    warned = [
        one["message"]
        for one in site.namespace.all("Event")
        if one["involvedObject"]["name"] == "absent" and one["reason"] == "StartTakesLong"
    ]
    assert "ConfigMap nowhere" in warned[0]


def test_an_item_that_takes_its_pod_along_fails_alone(site: Site) -> None:
    counts = wait_for(site, "greedy")["itemCounts"]
    assert (counts["succeeded"], counts["failed"]) == (ITEMS - 1, 1)
    site.there("results", "greedy", "-o", "greedy.jsonl")
    rows = site.rows("greedy.jsonl")
    assert [row["_status"] for row in rows] == [
        "failed" if number == GREEDY else "succeeded" for number in range(ITEMS)
    ]
    assert "killed its worker" in rows[GREEDY]["_error"]
    ends = [
        one["state"]["terminated"]["reason"]
        for pod in site.namespace.all("Pod", "penstock.dev/batchjob=greedy,penstock.dev/role=work")
        for one in pod["status"]["containerStatuses"]
        if "terminated" in one["state"]
    ]
    assert ends.count("OOMKilled") >= 3  # at least twice among others, once alone
