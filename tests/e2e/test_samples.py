"""The samples as BatchJobs of an installed operator: what `kubectl` shows on the way, and results
that equal those of `penstock run`. Their data come inline, from a ConfigMap and from a volume; each
writes its file to that volume."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet
import pytest
import yaml

from tests.e2e import parts, pods
from tests.e2e.command import ROOT
from tests.e2e.installation import installed
from tests.e2e.kube import Object, environment
from tests.e2e.namespace import Namespace, Namespaces
from tests.e2e.target import Target
from tests.e2e.volumes import Volume, claim, volume
from tests.e2e.waiting import until
from tests.integration.chaos_support import provider

pytestmark = pytest.mark.acceptance

SAMPLES = ROOT / "manifests" / "samples"
PENSTOCK = Path(sys.executable).with_name("penstock")
SECONDS = 600
CLAIM = "data"
PODS = 2


@dataclass(frozen=True)
class Sample:
    """url: the field of the manifest that says where its provider is, and what follows the host.
    limits: of that provider, so that there is something to see on the way."""

    name: str
    url: tuple[str, str]
    limits: tuple[str, ...]
    items: int

    def manifest(self) -> Object:
        """As it stands."""
        read: Object = yaml.safe_load((SAMPLES / f"{self.name}.yaml").read_text())
        return read

    @property
    def output(self) -> str:
        """The path it writes its results to."""
        path: str = self.manifest()["spec"]["output"]["file"]["path"]
        return path


MOVIES = Sample("movie-embeddings", ("ollama.baseURL", ""), ("--latency=800ms",), 100)
PRODUCTS = Sample(
    "product-metafields",
    ("openai.baseURL", "/v1"),
    ("--rpm=240", "--limit=fixed", "--window=15s"),
    201,
)
SUPPLIERS = Sample(
    "supplier-matching", ("http.url", "/match"), ("--latency=500ms", "--straggler-share=0.05"), 400
)
ALL = (MOVIES, PRODUCTS, SUPPLIERS)


@pytest.fixture
def jobs(namespaces: Namespaces, cluster: Target) -> Iterator[tuple[Namespace, Volume]]:
    """A namespace whose BatchJobs are run, and the volume they share."""
    namespace = namespaces.create()
    with volume(namespaces, cluster.images["busybox"], namespace, CLAIM) as shared:
        namespace.create(claim(CLAIM))
        try:
            with installed(namespaces, cluster, [namespace]):
                yield namespace, shared
        finally:
            namespaces.delete(namespace)


@pytest.mark.slow
def test_samples_give_on_the_cluster_what_they_give_here(
    jobs: tuple[Namespace, Volume], cluster: Target, tmp_path: Path
) -> None:
    namespace, shared = jobs
    kube, at = namespace.kube, ("--namespace", namespace.name)
    given = []
    for sample in ALL:
        simulator = parts.start_simulator(
            namespace, cluster.images["worker"], *sample.limits, name=f"{sample.name}-provider"
        )
        given.append(on_cluster(sample, simulator.url))
    lines = (SAMPLES / "data" / "movies.jsonl").read_text().splitlines()
    given[0]["spec"]["source"]["inline"] = {"items": [json.loads(line) for line in lines]}
    text = (SAMPLES / "data" / "products.csv").read_text()
    namespace.create(pods.config_map("products", {"televisions.csv": text}))
    given[1]["spec"]["source"]["configMap"] = {"name": "products", "key": "televisions.csv"}
    shared.write("data/suppliers.xlsx", (SAMPLES / "data" / "suppliers.xlsx").read_bytes())
    given[2]["spec"]["source"]["file"] = {"path": "data/suppliers.xlsx"}

    kube.kubectl(*at, "apply", "--filename", "-", text=yaml.safe_dump_all(given))
    waits = ("wait", "--for=condition=Complete", "bj", "--all", f"--timeout={SECONDS}s")
    with subprocess.Popen(
        kube.kubectl_command(*at, *waits), env=environment(), stdout=subprocess.PIPE, text=True
    ) as waiting:
        shown = watched(namespace)
        told, _ = waiting.communicate(timeout=60)
    assert (waiting.returncode, told.count("condition met")) == (0, len(ALL)), told

    for sample in ALL:
        on_the_way = [row for row in shown if row["NAME"] == sample.name and row["ETA"]]
        assert [row for row in on_the_way if moves(row)], shown
        status = namespace.get("BatchJob", sample.name)["status"]
        assert status["itemCounts"] == {
            **{"total": sample.items, "succeeded": sample.items},
            **{"skipped": 0, "failed": 0, "pending": 0, "running": 0},
        }
    throttled = [row["429"] for row in shown if row["NAME"] == PRODUCTS.name]
    assert [share for share in throttled if share not in ("", "0.0%")], throttled

    for sample in ALL:
        here = run_here(sample, tmp_path)
        assert len(here) == sample.items
        assert same(table(shared.read(sample.output), sample.output)) == same(here)
        query = ("results", sample.name)
        penstock(tmp_path, *query, "-o", "here.jsonl")
        penstock(tmp_path, *query, "-n", namespace.name, "-o", "there.jsonl", cluster=cluster)
        there, stored = (
            [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
            for name in ("there.jsonl", "here.jsonl")
        )
        assert same(there) == same(stored)


def on_cluster(sample: Sample, url: str) -> Object:
    """The manifest with its provider in a pod and the volume in place of the working directory; its
    source is still to be said."""
    made = sample.manifest()
    (field, key), path = sample.url[0].split("."), sample.url[1]
    made["spec"]["processor"][field][key] = f"{url}{path}"
    source = made["spec"]["source"]
    del source["file"]
    mounts = [{"name": "shared", "mountPath": "/data"}]
    main = {
        "name": "penstock",
        "volumeMounts": mounts,
        "resources": {"requests": {"cpu": "10m"}},
    }
    made["spec"].setdefault("scaling", {})["maxParallelism"] = PODS
    made["spec"]["template"] = {
        "spec": {
            "containers": [main],
            "volumes": [{"name": "shared", "persistentVolumeClaim": {"claimName": CLAIM}}],
        }
    }
    return made


def watched(namespace: Namespace) -> list[dict[str, str]]:
    """Everything `kubectl get bj` shows until all are complete: a row by its headings."""
    shown: list[dict[str, str]] = []

    def look() -> list[dict[str, str]]:
        printed = namespace.kube.kubectl("--namespace", namespace.name, "get", "bj")
        rows = parsed(printed)
        shown.extend(rows)
        return rows

    def good(rows: list[dict[str, str]]) -> bool:
        phases = {row["PHASE"] for row in rows}
        assert "Failed" not in phases, rows
        return phases == {"Complete"}

    until(look, good, "all are complete", seconds=SECONDS)
    return shown


def parsed(printed: str) -> list[dict[str, str]]:
    """A table of kubectl: fields may be empty, so they are told apart by where they begin."""
    head, *rows = printed.splitlines()
    names = head.split()
    begins = [head.index(name) for name in names]
    ends = [*begins[1:], None]
    return [
        {name: row[at:end].strip() for name, at, end in zip(names, begins, ends, strict=True)}
        for row in rows
    ]


def moves(row: dict[str, str]) -> bool:
    """Whether it says how far a job is, how fast, and how much it is throttled."""
    part = 0 < int(row["PROGRESS"].rstrip("%") or 0) < 100
    return part and float(row["RATE"].removesuffix("/s") or 0) > 0 and row["429"].endswith("%")


def run_here(sample: Sample, folder: Path) -> list[dict[str, Any]]:
    """The rows that `penstock run` of the same manifest writes."""
    output = Path(sample.output).name
    with provider() as far_side:
        field, path = sample.url
        url = f"processor.{field}={far_side.url}{path}"
        penstock(folder, "run", f"{SAMPLES / sample.name}.yaml", "--set", url, "-o", output)
    return table((folder / output).read_bytes(), output)


def penstock(folder: Path, *arguments: str, cluster: Target | None = None) -> None:
    """A command, here or about the cluster."""
    told = {"KUBECONFIG": cluster.kubeconfig} if cluster else {"PENSTOCK_SERVER_GRACE": "3"}
    done = subprocess.run(
        [PENSTOCK, *arguments],
        cwd=folder,
        env=environment(told),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}:\n{done.stdout}{done.stderr}"


def table(content: bytes, name: str) -> list[dict[str, Any]]:
    """The rows of an Excel or Parquet file."""
    if name.endswith(".parquet"):
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
        return rows
    head, *values = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0].values
    return [dict(zip(map(str, head), row, strict=True)) for row in values]


def same(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What does not depend on when it was done: how often a call was refused does."""
    return [{name: value for name, value in row.items() if name != "_attempts"} for row in rows]
