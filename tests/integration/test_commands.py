"""The commands on the real engine and a real server: what a person does with a job, in order."""

from __future__ import annotations

import csv
import io
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet
import pytest
from typer.testing import Result

from penstock import jsons
from tests.integration.command_support import (
    Home,
    Provider,
    Started,
    eventually,
    home,
    only_object,
    penstock,
    provider,
    started,
)

KEYS = [
    *("name", "phase", "total", "succeeded", "skipped", "failed", "seconds", "itemsPerSecond"),
    *("requests", "throttled", "retries", "promptTokens", "completionTokens", "cost", "output"),
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The database of all these jobs; each has a name of its own."""
    with home(tmp_path_factory.mktemp("commands") / "data") as database:
        yield database


@pytest.fixture
def server() -> Iterator[Provider]:
    """A provider that takes everything but poison."""
    with provider() as server:
        yield server


@dataclass
class Job:
    """A job in a folder of its own, and the commands on it."""

    name: str
    folder: Path
    database: Home

    @property
    def manifest(self) -> Path:
        """Its manifest."""
        return self.folder / "job.yaml"

    def write(self, url: str, prompt: str = "{{ item.text }}", more: str = "") -> None:
        """The manifest. more: lines of the spec."""
        self.manifest.write_text(
            "apiVersion: penstock.dev/v1alpha1\n"
            "kind: BatchJob\n"
            f"metadata: {{name: {self.name}}}\n"
            "spec:\n"
            "  source: {file: {path: items.jsonl}, idField: id}\n"
            "  processor:\n"
            f'    http: {{url: "{url}/items", body: {{text: "{prompt}"}}}}\n{more}'
        )

    def items(self, count: int, edited: Sequence[int] = (), poisoned: Sequence[int] = ()) -> None:
        """The data. The provider refuses what is poisoned."""
        with (self.folder / "items.jsonl").open("w") as file:
            for number in range(count):
                text = f"new {number}" if number in edited else f"text {number}"
                text += " POISON" if number in poisoned else ""
                file.write(jsons.dumps({"id": f"i{number}", "text": text}) + "\n")

    def do(self, command: str, *options: str | Path, code: int = 0) -> Result:
        """A command on the job, by its name; it has to end with this code."""
        answer = penstock(command, self.name, *options, *self.place)
        assert answer.exit_code == code, answer.output
        return answer

    def run(self, *options: str | Path, code: int = 0) -> dict[str, Any]:
        """`penstock run --json`; the object it printed."""
        answer = penstock("run", self.manifest, "--json", *options, *self.place)
        assert answer.exit_code == code, answer.output
        return only_object(answer.stdout)

    def status(self) -> dict[str, Any]:
        """`penstock status --json`; the object it printed."""
        return only_object(self.do("status", "--json").stdout)

    def rows(self, *options: str) -> list[dict[str, Any]]:
        """The results."""
        return [jsons.loads(line) for line in self.do("results", *options).stdout.splitlines()]

    @property
    def place(self) -> tuple[str | Path, ...]:
        """Where the database is."""
        return ("--data-dir", self.database.path)


@pytest.fixture
def job(tmp_path: Path, database: Home, request: pytest.FixtureRequest) -> Job:
    """A job that is named after the test."""
    name = request.node.name.removeprefix("test_").replace("_", "-").replace("[", "-")
    return Job(name.rstrip("]")[:50].rstrip("-"), tmp_path, database)


def counts(answer: dict[str, Any]) -> tuple[int, int, int]:
    """Succeeded, skipped, failed."""
    return answer["succeeded"], answer["skipped"], answer["failed"]


def timeless(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without what the clock has a part in."""
    return {key: answer[key] for key in answer if key not in ("seconds", "itemsPerSecond")}


# --- run and look


def test_run_then_status_then_results(job: Job, server: Provider) -> None:
    job.items(7, poisoned=[2])
    job.write(server.url)

    ran = job.run("--output", job.folder / "out.csv", code=3)

    assert list(ran) == KEYS
    assert (ran["name"], ran["phase"], ran["total"]) == (job.name, "Complete", 7)
    assert counts(ran) == (6, 0, 1)
    assert ran["requests"] == server.requests == 7
    assert ran["output"] == str(job.folder / "out.csv")
    asked = job.status()
    assert timeless(asked) == timeless(ran)
    assert asked["seconds"] == pytest.approx(ran["seconds"], abs=1)
    told = job.do("status").stdout
    assert f"{job.name} · complete, 1 item failed" in told
    assert "1  HTTP 400 invalid_value" in told
    every = only_object(penstock("status", "--json", *job.place).stdout)
    assert asked in every["jobs"]
    listed = penstock("status", *job.place).stdout.splitlines()
    assert [line.split()[:3] for line in listed if line.startswith(f"{job.name} ")] == [
        [job.name, "Complete", "7/7"]
    ]

    rows = job.rows()
    assert [row["_position"] for row in rows] == list(range(7))
    assert [row["_status"] for row in rows] == [
        "failed" if number == 2 else "succeeded" for number in range(7)
    ]
    assert rows[3]["echo"] == {"text": "text 3"}
    assert rows[2]["_error"].startswith("HTTP 400 invalid_value: ")
    assert job.rows("--failed") == [rows[2]]


READERS: dict[str, Callable[[Path], list[list[Any]]]] = {
    "jsonl": lambda path: [
        [row["_position"], row["_status"], row["text"]]
        for row in map(jsons.loads, path.read_text().splitlines())
    ],
    "csv": lambda path: [
        [int(row["_position"]), row["_status"], row["text"]]
        for row in csv.DictReader(io.StringIO(path.read_text()))
    ],
    "xlsx": lambda path: [
        [row[0], row[2], row[6]]
        for row in list(openpyxl.load_workbook(path).worksheets[0].values)[1:]
    ],
    "parquet": lambda path: [
        [row["_position"], row["_status"], row["text"]]
        for row in pyarrow.parquet.read_table(path).to_pylist()
    ],
}


def test_results_in_every_format(job: Job, server: Provider) -> None:
    job.items(5, poisoned=[1])
    job.write(server.url)
    job.run(code=3)
    for suffix, read in READERS.items():
        path = job.folder / f"all.{suffix}"
        assert job.do("results", "-o", path).stdout == f"5 rows written to {path}\n"
        rows = read(path)
        assert [row[0] for row in rows] == [0, 1, 2, 3, 4]
        assert [row[1] for row in rows] == ["succeeded", "failed", *["succeeded"] * 3]
        assert [row[2] for row in rows][:2] == ["text 0", "text 1 POISON"]
        failed = job.folder / f"failed.{suffix}"
        assert job.do("results", "--failed", "-o", failed).stdout.startswith("1 row written")
        assert read(failed) == [[1, "failed", "text 1 POISON"]]
    job.do("results", "-o", job.folder / "all.doc", code=2)


def test_what_runs_again(job: Job, server: Provider) -> None:
    job.items(6)
    job.write(server.url)
    assert counts(job.run()) == (6, 0, 0)
    again = job.run()
    assert (counts(again), again["requests"]) == ((0, 6, 0), 0)
    assert {row["_status"] for row in job.rows()} == {"skipped"}
    assert job.rows()[4]["echo"] == {"text": "text 4"}

    job.items(6, edited=[4])
    assert counts(job.run()) == (1, 5, 0)
    assert [row["echo"]["text"] for row in job.rows()][3:5] == ["text 3", "new 4"]

    job.write(server.url, prompt="Say: {{ item.text }}")
    assert counts(job.run("--limit", "4")) == (4, 0, 0)
    assert counts(job.run()) == (2, 4, 0)
    assert job.rows()[5]["echo"] == {"text": "Say: text 5"}

    assert counts(job.run("--force")) == (6, 0, 0)
    assert counts(job.run("--set", "existing=force", "--set", "source.limit=2")) == (2, 0, 0)
    assert server.requests == 6 + 0 + 1 + 4 + 2 + 6 + 2


def test_redrive(job: Job, server: Provider) -> None:
    job.items(6, poisoned=[1, 4])
    with (job.folder / "items.jsonl").open("a") as file:
        file.write('{"id": "bare"}\n')  # the template cannot be filled in
    job.write(server.url)
    job.run(code=3)
    (job.folder / "items.jsonl").unlink()  # a redrive does not read the source again
    before = server.requests

    ran = only_object(job.do("redrive", "--json", code=3).stdout)
    assert (counts(ran), server.requests - before) == ((0, 4, 3), 2)
    ran = only_object(job.do("redrive", "--reason", "HTTP 400", "--json", code=3).stdout)
    assert (counts(ran), server.requests - before) == ((0, 4, 3), 4)
    ran = only_object(job.do("redrive", "--reason", "no field 'text'", "--json", code=3).stdout)
    assert (counts(ran), server.requests - before) == ((0, 4, 3), 4)
    told = job.do("redrive", "--reason", "HTTP 500").stdout
    assert f"nothing failed with the reason 'HTTP 500' in {job.name}: nothing to redrive" in told
    assert server.requests - before == 4

    server.forgive()
    assert counts(job.run("--redrive", code=3)) == (2, 4, 1)
    assert server.requests - before == 6
    assert [row["_position"] for row in job.rows()] == list(range(7))
    assert [row["_id"] for row in job.rows("--failed")] == ["bare"]


def test_redrive_when_nothing_failed(job: Job, server: Provider) -> None:
    job.items(3)
    job.write(server.url)
    job.run()
    for command in (("redrive", job.name), ("run", job.manifest, "--redrive")):
        answer = penstock(*command, *job.place)
        assert answer.exit_code == 0
        assert f"nothing failed in {job.name}: nothing to redrive" in answer.stdout
    assert server.requests == 3


# --- change


def test_suspend_from_outside_then_resume(job: Job, server: Provider) -> None:
    job.items(200)
    job.write(server.url)
    server.allow(20)
    with started("run", job.manifest, "--concurrency", "2", *job.place, cwd=job.folder) as run:
        server.holds(2)
        refused = penstock("run", job.manifest, *job.place)
        assert refused.exit_code == 2
        assert f"{job.name} is running already (process {run.process.pid} on " in refused.stderr
        assert "stop it first (`penstock suspend" in job.do("delete", "--yes", code=2).stderr
        assert f"To go on: penstock resume {job.name}" in job.do("suspend").stdout
        eventually("suspended", lambda: job.status()["phase"] == "Suspended")
        server.allow()
        assert run.ends() == 4
    assert f"penstock resume {job.name}" in run.output
    stopped = job.status()
    assert stopped["phase"] == "Suspended"
    assert 20 <= stopped["succeeded"] < 200
    assert {row["_status"] for row in job.rows()} == {"succeeded", "pending"}

    job.do("resume")
    ran = job.run()
    assert (ran["phase"], ran["succeeded"]) == ("Complete", 200)
    assert server.served == 200  # nothing was done twice
    assert "has no unfinished run to suspend" in job.do("suspend", code=2).stderr
    assert "has no unfinished run to resume" in job.do("resume", code=2).stderr


@contextmanager
def watched(job: Job, server: Provider) -> Iterator[tuple[Started, Started]]:
    """A run that the server holds up after a third of its items, and a watch that has seen it."""
    job.items(30)
    job.write(server.url)
    server.allow(10)
    with started("run", job.manifest, "--concurrency", "1", *job.place, cwd=job.folder) as run:
        server.holds(1)
        with started("watch", job.name, *job.place, cwd=job.folder) as watch:
            watch.says(f"[{job.name}] ")
            yield run, watch


def test_watch_a_running_job(job: Job, server: Provider) -> None:
    with watched(job, server) as (run, watch):
        server.allow()
        assert watch.ends() == 0
        assert run.ends() == 0
    assert f"{job.name} · complete" in watch.output
    assert watch.output.count(" · complete") == 1
    over = job.do("watch").stdout
    assert "succeeded    ✓ 30" in over


def test_ctrl_c_stops_watching_and_not_the_job(job: Job, server: Provider) -> None:
    with watched(job, server) as (run, watch):
        watch.process.send_signal(signal.SIGINT)
        assert watch.ends() == 130
        assert "Traceback" not in watch.output
        server.allow()
        assert run.ends() == 0


def test_delete_keeps_the_results_or_not(job: Job, server: Provider) -> None:
    job.items(4)
    job.write(server.url)
    job.run()
    assert "Deleted" in job.do("delete", "--yes").stdout
    for command in ("status", "results", "delete"):
        options = ("--yes",) if command == "delete" else ()
        assert f"no job named {job.name}" in job.do(command, *options, code=2).stderr
    assert counts(job.run()) == (0, 4, 0)

    before = job.database.rows()["result"]
    job.do("delete", "--yes", "--results")
    assert before - job.database.rows()["result"] == 4
    assert counts(job.run()) == (4, 0, 0)

    job.do("delete", "--yes")
    job.do("delete", "--yes", "--results")  # what the deleted job left
    assert before - job.database.rows()["result"] == 4


def test_gc_removes_the_runs_that_newer_ones_replaced(job: Job, server: Provider) -> None:
    job.items(3)
    job.write(server.url)
    for _ in range(3):
        job.run()
    before = job.database.rows()
    assert penstock("gc", *job.place).stdout == "Removed 0 runs with 0 items.\n"
    assert job.database.rows() == before
    assert penstock("gc", "--older-than", "0s", *job.place).exit_code == 0
    after = job.database.rows()
    assert before["run"] - after["run"] >= 2
    assert before["item"] - after["item"] >= 6
    assert before["result"] == after["result"]
    assert [row["_status"] for row in job.rows()] == ["skipped"] * 3


# --- preview, quiet, init


def test_preview_stores_nothing(job: Job, server: Provider) -> None:
    job.items(9, poisoned=[1])
    job.write(server.url)
    before = job.database.rows()
    told = penstock("run", job.manifest, "--preview", "2", *job.place)
    assert told.exit_code == 3, told.output
    assert '"text": "text 0"' in told.stdout
    assert "HTTP 400 invalid_value" in told.stdout
    assert "The whole job, going by these: 9 items" in told.stdout
    assert told.stdout.endswith("Nothing was stored.\n")
    asked = penstock("run", job.manifest, "--preview", "1", "--json", *job.place)
    assert asked.exit_code == 0
    value = only_object(asked.stdout)
    assert [row["id"] for row in value["preview"]] == ["i0"]
    assert value["estimate"]["items"] == 9
    assert server.requests == 3
    assert job.database.rows() == before
    job.do("status", code=2)


def test_quiet_says_one_line(job: Job, server: Provider) -> None:
    job.items(3, poisoned=[0])
    job.write(server.url)
    ran = penstock("run", job.manifest, "--quiet", *job.place)
    assert (ran.exit_code, ran.stderr) == (3, "")
    [line] = ran.stdout.splitlines()
    assert line.startswith(f"{job.name} · complete, 1 item failed: 2 succeeded, 0 skipped, 1 fail")


def test_init_then_validate_then_run(
    job: Job, server: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(job.folder)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-this-test")
    (job.folder / "movies.csv").write_text("id,title\n1,Alien\n2,Brazil\n3,Cube\n")
    made = penstock("init", "movies.csv", "-o", "made.yaml")
    assert made.exit_code == 0, made.output
    assert "penstock run made.yaml --preview 3" in made.stdout
    assert penstock("init", "movies.csv", "-o", "made.yaml").exit_code == 2
    validated = penstock("validate", "made.yaml")
    assert validated.exit_code == 0, validated.output
    assert "movies.csv: 3 items" in validated.stdout

    here = f"processor.openai.baseURL={server.url}/v1"
    ran = penstock("run", "made.yaml", "--set", here, "--json", *job.place)
    assert ran.exit_code == 0, ran.output
    answer = only_object(ran.stdout)
    assert answer["name"] == "movies"
    assert answer["promptTokens"] > 0
    assert answer["output"].endswith(".csv")
    rows = list(csv.DictReader(io.StringIO(Path(answer["output"]).read_text())))
    assert [row["title"] for row in rows] == ["Alien", "Brazil", "Cube"]
    assert all(row["description"] and row["category"] for row in rows)


def test_simulate_says_where_it_is(job: Job) -> None:
    with started("simulate", "--port", "0", "--poison", "BAD", cwd=job.folder) as simulator:
        simulator.says("Ctrl-C ends it")
        address = simulator.output.split()[3]
        job.items(2)
        job.write(address)
        assert counts(job.run()) == (2, 0, 0)


# --- how a run ends


def test_too_many_failures_fail_the_job_and_stop_it(job: Job, server: Provider) -> None:
    job.items(300, poisoned=range(300))
    job.write(server.url, more="  failurePolicy: {toleratedFailureCount: 3}\n")
    server.allow(20)
    options = ("--concurrency", "4", *job.place)
    with started("run", job.manifest, *options, cwd=job.folder) as run:
        server.holds(4)
        eventually("failed", lambda: job.status()["phase"] == "Failed")
        server.allow()
        assert run.ends() == 1
    told = r"Failed: FailurePolicyExceeded: \d+ items have failed, 3 are tolerated"
    assert re.search(told, run.output)
    assert 4 <= job.status()["failed"] < 300
    job.do("watch", code=1)
    job.items(300)
    assert counts(job.run()) == (300, 0, 0)


def test_failures_in_the_last_moment_count_as_well(job: Job, server: Provider) -> None:
    job.items(10, poisoned=[7, 8, 9])
    job.write(server.url, more="  failurePolicy: {toleratedFailurePercentage: 20}\n")
    ran = job.run(code=1)
    assert (ran["phase"], counts(ran)) == ("Failed", (7, 0, 3))
    assert "Failed: FailurePolicyExceeded: 3 items" in job.do("status").stdout
    assert job.run("--set", "failurePolicy.toleratedFailurePercentage=30", code=3)["failed"] == 3


def test_records_that_cannot_be_read_count_as_well(job: Job, server: Provider) -> None:
    job.items(2)
    with (job.folder / "items.jsonl").open("a") as file:
        file.write("oops\n")
    job.write(server.url, more="  failurePolicy: {toleratedFailureCount: 0}\n")
    ran = job.run("--set", "source.onBadRecord=failItem", code=1)
    assert ran["phase"] == "Failed"


def test_a_wrong_key_pauses_and_the_right_one_goes_on(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.items(30)
    with provider(key="right-key") as server:
        job.write(server.url)
        text = job.manifest.read_text()
        asks = '/items", apiKey: {secretKeyRef: {name: shop, key: token}}'
        job.manifest.write_text(text.replace('/items"', asks))
        monkeypatch.setenv("PENSTOCK_SECRET_SHOP_TOKEN", "wrong-key-1")
        ran = job.run(code=4)
        assert (ran["phase"], counts(ran)) == ("Paused", (0, 0, 0))
        told = job.do("status").stdout
        assert "Paused: " in told
        assert "wrong-key-1" not in told
        assert server.requests <= 10
        job.do("watch", code=4)

        monkeypatch.setenv("PENSTOCK_SECRET_SHOP_TOKEN", "right-key")
        assert counts(job.run()) == (30, 0, 0)
    assert {row["_attempts"] for row in job.rows()} == {1}


def test_a_spent_quota_pauses_and_a_new_one_goes_on(job: Job) -> None:
    job.items(30)
    with provider(quota=12) as server:
        job.write(server.url)
        ran = job.run("--concurrency", "2", code=4)
        assert (ran["phase"], ran["succeeded"]) == ("Paused", 12)
        assert "quota" in job.do("status").stdout
        server.reset()
        job.run("--concurrency", "2", code=4)
        server.reset()
        assert job.run()["succeeded"] == 30
    assert [row["_position"] for row in job.rows()] == list(range(30))


@pytest.mark.slow
def test_a_spent_quota_stops_five_workers_with_few_calls(job: Job) -> None:
    job.items(400)
    with provider(quota=100, latency=0.1) as server:
        job.write(server.url)
        assert job.run("--workers", "5", code=4)["succeeded"] == 100
        assert server.requests <= 100 + 40
        object.__setattr__(server.config, "quota", None)
        assert job.run("--workers", "5")["succeeded"] == 400
    assert {row["_attempts"] for row in job.rows()} == {1}


def test_nobody_listens(job: Job, server: Provider) -> None:
    job.items(3)
    job.write(server.url, more="  retry: {maxAttempts: 1}\n")
    text = job.manifest.read_text()
    job.manifest.write_text(text.replace(server.url, "http://127.0.0.1:9"))
    ran = job.run(code=4)
    assert (ran["phase"], ran["failed"]) == ("Paused", 0)


def test_an_edit_in_the_middle_is_refused(job: Job, server: Provider) -> None:
    job.items(50)
    job.write(server.url)
    server.allow(5)
    with started("run", job.manifest, "--concurrency", "1", *job.place, cwd=job.folder) as run:
        server.holds(1)
        run.process.kill()
        run.ends()
    server.allow()
    job.write(server.url, prompt="Say: {{ item.text }}")
    refused = penstock("run", job.manifest, *job.place)
    assert refused.exit_code == 2
    assert "spec.processor was edited while a run of" in refused.stderr
    assert "--set rerun=1" in refused.stderr
    assert counts(job.run("--set", "rerun=1")) == (50, 0, 0)
    assert {row["echo"]["text"][:5] for row in job.rows()} == {"Say: "}


def test_results_in_the_middle_of_a_run(job: Job, server: Provider) -> None:
    job.items(10)
    job.write(server.url)
    server.allow(4)
    with started("run", job.manifest, "--concurrency", "1", *job.place, cwd=job.folder) as run:
        server.holds(1)
        eventually("4 done", lambda: job.status()["succeeded"] == 4)
        assert [row["_status"] for row in job.rows()] == ["succeeded"] * 4 + ["pending"] * 6
        server.allow()
        assert run.ends() == 0
