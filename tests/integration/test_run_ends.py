"""How a run ends that does not simply finish: policies, deadlines, interrupts, edits."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock import jsons
from tests.integration.command_support import (
    Home,
    Provider,
    eventually,
    home,
    only_object,
    penstock,
    provider,
    started,
)

INTERRUPTS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
MANY = 500_000
"""Items that take seconds to plan."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The database of all these jobs; each has a name of its own."""
    with home(tmp_path_factory.mktemp("ends") / "data") as database:
        yield database


@pytest.fixture
def server() -> Iterator[Provider]:
    """A provider that takes everything but poison, 20 ms a call."""
    with provider(latency=0.02) as server:
        yield server


class Job:
    """A job of this name over the lines of items.jsonl in a folder of its own."""

    def __init__(self, name: str, folder: Path, database: Home, url: str) -> None:
        self.name, self.folder, self.database, self.url = name, folder, database, url
        self.manifest, self.output = folder / "job.yaml", folder / "out.jsonl"
        self.place: tuple[str | Path, ...] = ("--data-dir", database.path)

    def write(self, lines: list[str], prompt: str = "{{ item.text }}", **spec: Any) -> None:
        """Its data and its manifest; `spec` adds to that."""
        (self.folder / "items.jsonl").write_text("\n".join(lines) + "\n")
        source = {"file": {"path": "items.jsonl"}, "idField": "id", **spec.pop("source", {})}
        http = {"url": f"{self.url}/items", "body": {"text": prompt}}
        manifest = {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": self.name},
            "spec": {
                "source": source,
                "processor": {"http": http},
                "output": {"file": {"path": self.output.name}},
                **spec,
            },
        }
        self.manifest.write_text(yaml.safe_dump(manifest))

    def run(self, *options: str, code: int) -> dict[str, Any]:
        """`penstock run --json`; the object it printed."""
        ran = penstock("run", self.manifest, "--json", *options, *self.place)
        assert ran.exit_code == code, ran.output
        return only_object(ran.stdout)

    def do(self, command: str, *options: str, code: int = 0) -> str:
        """A command on the job; what it said."""
        answer = penstock(command, self.name, *options, *self.place)
        assert answer.exit_code == code, answer.output
        return answer.output

    def exported(self) -> list[str]:
        """The status of every row that was written."""
        return [jsons.loads(line)["_status"] for line in self.output.read_text().splitlines()]


@pytest.fixture
def job(tmp_path: Path, database: Home, server: Provider, request: pytest.FixtureRequest) -> Job:
    """A job that is named after the test."""
    name = request.node.name.removeprefix("test_").replace("_", "-").replace("[", "-")
    return Job(name.rstrip("]").lower()[:50].rstrip("-"), tmp_path, database, server.url)


def item(number: int, text: str = "text") -> str:
    return jsons.dumps({"id": f"i{number}", "text": f"{text} {number}"})


# --- failed items


def test_one_failure_too_many_fails_a_short_run(job: Job) -> None:
    lines = [item(number, "POISON" if number == 4 else "text") for number in range(5)]
    job.write(lines, failurePolicy={"toleratedFailureCount": 0})
    ran = job.run(code=1)
    assert (ran["phase"], ran["succeeded"], ran["failed"]) == ("Failed", 4, 1)
    assert "FailurePolicyExceeded: 1 item has failed, 0 are tolerated" in job.do("status")
    assert job.exported() == ["succeeded"] * 4 + ["failed"]
    job.write(lines, failurePolicy={"toleratedFailurePercentage": 20})
    assert job.run(code=3)["phase"] == "Complete"


def test_rows_that_cannot_be_read_count_as_failures(job: Job) -> None:
    lines = [item(0), "no JSON", item(2)]
    policy = {"toleratedFailurePercentage": 33}
    job.write(lines, failurePolicy=policy, source={"onBadRecord": "failItem"})
    ran = job.run(code=1)
    assert (ran["phase"], ran["succeeded"], ran["failed"]) == ("Failed", 2, 1)
    assert job.exported() == ["succeeded", "failed", "succeeded"]


# --- the deadline


def test_a_run_that_takes_too_long_fails_and_keeps_what_it_has(job: Job) -> None:
    job.write([item(number) for number in range(1000)], activeDeadlineSeconds=2)
    ran = job.run("--concurrency", "1", code=1)
    assert ran["phase"] == "Failed"
    assert ran["succeeded"] < 1000
    told = job.do("status")
    assert "DeadlineExceeded: it took longer than activeDeadlineSeconds, 2 s" in told
    assert job.exported() == ["succeeded"] * ran["succeeded"] + ["pending"] * (
        1000 - ran["succeeded"]
    )
    again = job.run("--set", "activeDeadlineSeconds=600", code=0)
    assert again["phase"] == "Complete"
    assert again["skipped"] == ran["succeeded"]


# --- interrupts


@pytest.mark.parametrize("number", INTERRUPTS)
def test_interrupted_while_it_plans(job: Job, server: Provider, number: signal.Signals) -> None:
    job.write([f'{{"id":{one}}}' for one in range(MANY)])
    before = job.database.rows()
    with started("run", job.manifest, *job.place, cwd=job.folder) as run:
        eventually("a run is open", lambda: job.database.rows()["run"] > before["run"])
        run.process.send_signal(number)
        assert run.ends() == 130, run.output
    assert "Traceback" not in run.output
    assert job.database.rows() == before
    assert "no job named" in job.do("status", code=2)
    assert server.requests == 0


@pytest.mark.parametrize("number", INTERRUPTS)
def test_interrupted_while_it_exports(job: Job, server: Provider, number: signal.Signals) -> None:
    job.write([item(one) for one in range(5)])
    job.run(code=0)
    job.output.unlink()
    job.database.execute(f"UPDATE run SET phase = 'Exporting' WHERE job = '{job.name}'")
    job.database.execute("BEGIN; LOCK TABLE result IN ACCESS EXCLUSIVE MODE")  # it has to wait
    try:
        there = set(job.folder.iterdir())
        with started("run", job.manifest, *job.place, cwd=job.folder) as run:
            output = job.folder / "out-0.txt"
            eventually("it writes", lambda: set(job.folder.iterdir()) - there - {output})
            run.process.send_signal(number)
            run.says("the same command writes the results again")
            job.database.execute("ROLLBACK")
            assert run.ends() == 130, run.output
    finally:
        job.database.execute("ROLLBACK")
    assert "Traceback" not in run.output
    assert set(job.folder.iterdir()) == there | {output}
    assert only_object(job.do("status", "--json"))["phase"] == "Exporting"

    assert job.run(code=0)["phase"] == "Complete"
    assert job.exported() == ["succeeded"] * 5
    assert server.requests == 5


# --- edits and the end of a job


def test_a_redrive_after_an_edit_is_refused(job: Job, server: Provider) -> None:
    lines = [item(0), item(1, "POISON")]
    job.write(lines)
    job.run(code=3)
    job.write(lines, prompt="Say: {{ item.id }}")
    refused = penstock("run", job.manifest, "--redrive", *job.place)
    assert refused.exit_code == 2
    assert "spec.processor was edited since; run it without --redrive" in refused.stderr
    assert server.requests == 2
    ran = job.run(code=0)
    assert (ran["succeeded"], ran["skipped"]) == (2, 0)


@pytest.mark.parametrize(("policy", "left"), [("Delete", 0), ("Retain", 3)])
def test_the_deletion_policy(job: Job, policy: str, left: int) -> None:
    job.write([item(one) for one in range(3)], deletionPolicy=policy)
    before = job.database.rows()["result"]
    job.run(code=0)
    assert ("all its results" in job.do("delete", "--yes")) == (left == 0)
    assert job.database.rows()["result"] - before == left
