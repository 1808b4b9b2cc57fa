"""The way from the laptop to the cluster: the command line as a process with a kubeconfig, the
operator beside it, everything else in pods."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import parts
from tests.e2e.command import ROOT
from tests.e2e.kube import Object, environment
from tests.e2e.laptop import KEY, PENSTOCK, SECONDS, Site, set_up
from tests.e2e.namespace import Namespaces
from tests.e2e.target import Target
from tests.e2e.waiting import until

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def site(
    namespaces: Namespaces, cluster: Target, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with set_up(namespaces, cluster, tmp_path_factory.mktemp("laptop")) as made:
        yield made


def items(count: int) -> list[Any]:
    return [{"id": f"item-{number}", "text": "x"} for number in range(count)]


def job(site: Site, name: str) -> Object:
    return site.namespace.get("BatchJob", name)


def wait_for(site: Site, name: str, good: Callable[[Object], bool], wanted: str) -> Object:
    """Waits for a BatchJob, which may not be there yet."""
    found = until(
        lambda: site.namespace.find("BatchJob", name),
        lambda one: one is not None and good(one),
        f"BatchJob {name}: {wanted}",
        seconds=SECONDS,
    )
    assert found is not None
    return found


def has_begun(found: Object) -> bool:
    counts = found.get("status", {}).get("itemCounts") or {}
    return bool(counts.get("succeeded"))


def test_one_file_gives_the_same_here_and_there(site: Site) -> None:
    simulator = site.simulator("samples", f"--key={KEY}")
    sample = str(ROOT / "manifests" / "samples" / "movie-embeddings-openai.yaml")
    with site.namespace.forward(f"pod/{simulator.name}", parts.SIMULATOR_PORT) as port:
        url = f"processor.openai.baseURL=http://127.0.0.1:{port}/v1"
        site.penstock("run", sample, "--set", url, "-o", "here.jsonl", OPENAI_API_KEY=KEY)
    url = f"processor.openai.baseURL={simulator.url}/v1"
    arguments = ("submit", sample, "--set", url, "-o", "there.jsonl")

    told = site.there(*arguments, code=2, OPENAI_API_KEY=KEY)
    assert "--yes: needed to make the Secret movie-embeddings-openai-api-key" in told
    assert site.namespace.find("BatchJob", "movie-embeddings-openai") is None

    told = site.there(*arguments, "--yes", OPENAI_API_KEY=KEY)
    assert "movie-embeddings-openai · complete" in told
    assert site.rows("there.jsonl") == site.rows("here.jsonl")
    assert len(site.rows("there.jsonl")) == 100
    there = job(site, "movie-embeddings-openai")
    for kind, name in (
        ("Secret", "movie-embeddings-openai-api-key"),
        ("ConfigMap", there["spec"]["source"]["configMap"]["name"]),
    ):
        [owner] = site.namespace.get(kind, name)["metadata"]["ownerReferences"]
        assert owner["uid"] == there["metadata"]["uid"]
    assert "output" not in there["spec"]

    # Again: a new run in which nothing is left to do.
    told = site.there(*arguments, "--json")
    answer = json.loads(told)
    assert (answer["phase"], answer["skipped"], answer["requests"]) == ("Complete", 100, 0)
    assert job(site, "movie-embeddings-openai")["status"]["currentRun"] == 2
    listed = site.there("status")
    assert "movie-embeddings-openai" in listed
    kubectl = Path(site.cluster.programs["kubectl"])
    path = f"{PENSTOCK.parent}{os.pathsep}{os.environ['PATH']}"
    plugin = subprocess.run(
        [kubectl, "penstock", "status", "-n", site.namespace.name],
        env=environment({"KUBECONFIG": site.cluster.kubeconfig, "PATH": path}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert plugin.stdout == listed


def test_results_of_any_size_come_whole(site: Site) -> None:
    simulator = site.simulator("echo")
    noise = random.Random(1)
    long = [
        {"id": str(number), "text": f"{noise.random()} " * 4_000} for number in range(250)
    ]  # 19 MB, and small enough when it is packed
    manifest = site.manifest("large", simulator.url, long)
    site.there("submit", manifest, "--yes", "-o", "results.jsonl")
    assert (site.folder / "results.jsonl").stat().st_size > 30_000_000
    rows = site.rows("results.jsonl")
    assert [row["text"] for row in rows] == [item["text"] for item in long]
    assert [row["output.text"] for row in rows] == [item["text"] for item in long]
    key = job(site, "large")["spec"]["source"]["configMap"]["key"]
    assert key == "large.jsonl.gz"
    site.there("results", "large", "-o", "again.parquet")
    assert not readers(site), "the pods that read them are gone"
    assert site.there("results", "large") == (site.folder / "results.jsonl").read_text()


def readers(site: Site) -> list[str]:
    """Pods that read results and are not on their way out."""
    found = site.namespace.all("Pod", "app.kubernetes.io/component=results")
    return [
        pod["metadata"]["name"] for pod in found if not pod["metadata"].get("deletionTimestamp")
    ]


def test_results_when_the_jobs_are_long_gone(site: Site) -> None:
    simulator = site.simulator("early")
    site.there("submit", site.manifest("early", simulator.url, items(3)), "-o", "one.jsonl")
    for one in site.namespace.all("Job", "penstock.dev/batchjob=early"):
        site.namespace.delete("Job", one["metadata"]["name"])
    until(
        lambda: site.namespace.all("Job", "penstock.dev/batchjob=early"),
        lambda found: not found,
        "its Jobs are gone",
    )
    assert "--image: needed" in site.there("results", "early", code=2)
    image = site.cluster.images["worker"]
    site.there("results", "early", "--image", image, "-o", "two.jsonl")
    assert site.rows("two.jsonl") == site.rows("one.jsonl")


def test_stopped_watching_suspended_resumed(site: Site) -> None:
    simulator = site.simulator("slow", "--latency=500ms")
    scaling = {"maxParallelism": 1, "concurrency": {"min": 2, "max": 2}}
    manifest = site.manifest("slow", simulator.url, items(60), scaling=scaling)
    process = site.start("submit", manifest, "--namespace", site.namespace.name)
    try:
        wait_for(site, "slow", has_begun, "some items done")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, out + err
    assert "slow goes on in the cluster" in out
    assert f"penstock suspend slow --namespace {site.namespace.name}" in out
    assert job(site, "slow")["status"]["phase"] == "Running"

    site.there("suspend", "slow")
    assert "suspended at" in site.there("watch", "slow", code=4)
    told = site.there("submit", manifest, "--set", "processor.http.url=http://other/", code=2)
    assert "was edited while run 1 is under way" in told
    site.there("submit", manifest, "--no-watch", "--set", "suspend=true")
    site.there("resume", "slow")
    assert "slow · complete" in site.there("watch", "slow")
    assert "slow has no unfinished run to suspend" in site.there("suspend", "slow", code=2)


def test_a_paused_job_goes_on_and_failed_items_run_again(site: Site) -> None:
    simulator = site.simulator("broke", "--quota=30")
    some = [*items(40), {"id": "bad", "text": "POISON"}]
    manifest = site.manifest("broke", simulator.url, some)
    told = site.there("submit", manifest, code=4)
    assert f"penstock resume broke --namespace {site.namespace.name}" in told
    site.namespace.ask(simulator.name, parts.SIMULATOR_PORT, "/reset", method="POST")
    site.there("resume", "broke")
    site.there("watch", "broke", code=3)
    told = site.there("redrive", "broke", "--json", "-o", "broke.csv", code=3)
    answer = json.loads(told)
    assert (answer["skipped"], answer["failed"], answer["succeeded"]) == (40, 1, 0)
    assert job(site, "broke")["status"]["currentRun"] == 2
    assert (site.folder / "broke.csv").is_file()
    assert "--reason is for runs on this machine" in site.there(
        "redrive", "broke", "--reason", "x", code=2
    )

    site.there("delete", "broke", code=2)
    site.there("delete", "broke", "--results", "--yes")
    until(lambda: site.namespace.find("BatchJob", "broke"), lambda one: one is None, "it is gone")
    until(
        lambda: site.namespace.all("ConfigMap", "app.kubernetes.io/part-of=broke"),
        lambda found: not found,
        "its data are gone",
    )


def test_what_the_cluster_finds_wrong_ends_as_it_does_here(site: Site) -> None:
    twice = [{"id": "a"}, {"id": "a", "text": "x"}]
    manifest = site.manifest("twice", "http://nowhere", twice)
    here = site.penstock("run", manifest, code=2)
    there = site.there("submit", manifest, code=2)
    assert here.splitlines()[-1].rpartition(":")[2] in there


def test_mistakes_and_refusals_are_plain(site: Site, tmp_path: Path) -> None:
    name = site.namespace.name
    told = site.there("status", "nothing", code=2)
    assert f"no job named nothing in the namespace {name}" in told
    assert "no job named" in site.there("results", "nothing", code=2)

    content = yaml.safe_load(Path(site.cluster.kubeconfig).read_text())
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}}
    site.namespace.create(account)
    token = site.namespace.kube.kubectl("-n", name, "create", "token", "nobody").strip()
    content["users"][0]["user"] = {"token": token}
    (tmp_path / "nobody").write_text(yaml.safe_dump(content))
    told = site.there("status", code=1, KUBECONFIG=str(tmp_path / "nobody"))
    assert told.startswith("Error: no permission: batchjobs.penstock.dev is forbidden")
    manifest = site.manifest("mine", "http://nowhere", items(1))
    told = site.there("submit", manifest, code=1, KUBECONFIG=str(tmp_path / "nobody"))
    assert "no permission" in told

    content["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    (tmp_path / "away").write_text(yaml.safe_dump(content))
    told = site.there("status", code=1, KUBECONFIG=str(tmp_path / "away"))
    assert "the cluster at 127.0.0.1:9 cannot be reached" in told
    assert len(told.splitlines()) == 1
    told = site.there("status", "--database", "postgresql://h/d", code=2)
    assert "--database: is about this machine, not about a cluster" in told
