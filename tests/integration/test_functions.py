"""Python functions in whole runs: every mode, and whatever a function may do to its worker."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.integration.command_support import (
    Home,
    eventually,
    home,
    only_object,
    penstock,
    provider,
    started,
)
from tests.processes import lives

COMPLETE, FAILED, SOME_FAILED, BAD_INPUT, PAUSED, INTERRUPTED = 0, 1, 3, 2, 4, 130
ITEMS = {"file": {"path": "items.jsonl"}, "idField": "n"}
Result = dict[str, Any]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The database of all these jobs."""
    with home(tmp_path_factory.mktemp("functions") / "data") as database:
        yield database


class Job:
    """A job of some items over a function of user_functions.py, in a folder of its own."""

    def __init__(self, folder: Path, database: Home, name: str) -> None:
        self.folder, self.name = folder, name
        self.manifest, self.data = folder / "job.yaml", database.path
        self.place: tuple[str | Path, ...] = ("--data-dir", database.path)

    def write(self, function: str, items: int, **more: Any) -> None:
        """Its module, its data and its manifest; `more` goes to spec, but `python`."""
        module = Path(__file__).with_name("user_functions.py")
        shutil.copy(module, self.folder / "mine.py")
        lines = [json.dumps({"n": number}) + "\n" for number in range(items)]
        (self.folder / "items.jsonl").write_text("".join(lines))
        spec = {
            "source": ITEMS,
            "processor": {"python": {"entrypoint": f"mine:{function}", **more.pop("python", {})}},
            "retry": {"maxAttempts": 2, "requestTimeout": "3s"},
            **more,
        }
        document = {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": self.name},
            "spec": spec,
        }
        self.manifest.write_text(yaml.safe_dump(document))

    def run(self, code: int, *options: str) -> Result:
        """`penstock run --json`; the object it printed."""
        ran = penstock("run", self.manifest, "--json", *options, *self.place)
        assert ran.exit_code == code, ran.output
        return only_object(ran.stdout)

    def rows(self) -> list[Result]:
        """Its results, in input order."""
        out = self.folder / "rows.jsonl"
        told = penstock("results", self.name, "-o", out, *self.place)
        assert told.exit_code == 0, told.output
        return [json.loads(line) for line in out.read_text().splitlines()]

    @property
    def log(self) -> str:
        """What the driver and the workers logged."""
        return (self.data / "logs" / f"{self.name}.log").read_text()


@pytest.fixture
def job(tmp_path: Path, database: Home, request: pytest.FixtureRequest) -> Job:
    """A job named for its test."""
    folder = tmp_path / "job"
    folder.mkdir()
    kept = "".join(one if one.isalnum() else "-" for one in request.node.name.lower())
    return Job(folder, database, kept.strip("-")[-50:].strip("-"))


def processes() -> list[psutil.Process]:
    """The processes that functions run in, of whatever run."""
    return [
        one
        for one in psutil.process_iter(["cmdline"])
        if "penstock.work.functions.child" in (one.info["cmdline"] or ())
    ]


@pytest.mark.parametrize(
    ("function", "mode"),
    [
        ("double", "async"),
        ("double", "thread"),
        ("double", "process"),
        ("double_later", "async"),
        ("double_later", "process"),
    ],
)
def test_a_function_works_unchanged_in_every_mode(job: Job, function: str, mode: str) -> None:
    job.write(function, 300, python={"mode": mode})
    told = job.run(COMPLETE)
    assert (told["succeeded"], told["requests"]) == (300, 300)
    assert [row["output"] for row in job.rows()] == [2 * number for number in range(300)]


def test_kwargs_and_an_initializer_once_in_each_process(job: Job) -> None:
    python = {"mode": "process", "initializer": "mine:load_model"}
    job.write("with_model", 40, python=python)
    job.run(COMPLETE, "--workers", "2")
    rows = job.rows()
    assert {row["loaded"] for row in rows} == {1}
    job.write("scaled", 5, python={"kwargs": {"factor": 7}})
    job.run(COMPLETE)
    assert [row["output"] for row in job.rows()] == [0, 7, 14, 21, 28]


@pytest.mark.slow
def test_of_a_thousand_items_five_ruin_their_process_and_fail_alone(job: Job) -> None:
    before = {one.pid for one in processes()}
    python = {"mode": "process", "memoryLimit": "300Mi"}
    job.write("deadly", 1000, python=python, retry={"maxAttempts": 2, "requestTimeout": "10s"})
    told = job.run(SOME_FAILED)
    assert (told["succeeded"], told["failed"]) == (995, 5)
    failed = {row["n"]: row["_error"] for row in job.rows() if row["_status"] == "failed"}
    assert failed.keys() == {100, 300, 500, 700, 900}
    assert "SIGSEGV" in failed[100]
    assert "exit code 3" in failed[300]
    assert "300 MiB" in failed[500]
    assert failed[700] == "timeout after 10 s"
    assert "sys.exit(5)" in failed[900]
    assert {one.pid for one in processes()} <= before


def test_a_process_that_leaks_gives_way_before_it_costs_an_item(job: Job) -> None:
    job.write("leaks", 60, python={"mode": "process", "memoryLimit": "120Mi"})
    assert job.run(COMPLETE, "--workers", "1")["retries"] == 0


def test_how_a_coroutine_may_end(job: Job) -> None:
    job.write("moody", 12)
    told = job.run(SOME_FAILED)
    rows = {row["n"]: row for row in job.rows()}
    errors = {number: row["_error"] for number, row in rows.items() if row["_error"]}
    assert errors.keys() == {1, 2, 3, 4, 5, 6, 8}
    assert (rows[0]["_attempts"], rows[0]["output"]) == (1, 0)  # who is throttled loses no attempt
    assert rows[1]["_attempts"] == 1
    assert errors[1].startswith("no such customer\nmine.py:")
    assert errors[2] == "timeout after 3 s"
    assert errors[3].startswith("it called sys.exit(4)\nmine.py:")
    frames = errors[4].splitlines()
    assert frames[0] == "ValueError: could not convert string to float: 'x17'"
    assert "in moody: return parse" in frames[1]
    assert "in parse: return float(text)" in frames[2]
    assert len(frames) == 3  # theirs, and no other
    assert "base64" in errors[5]
    assert "cancelled" in errors[6]
    assert rows[7]["output"] == [0.0, 1.0, 2.0]
    assert errors[8].startswith("KeyboardInterrupt")
    assert told["throttled"] == 1
    assert "what functions print goes to the log" in job.log


def test_a_thread_that_overstays_costs_its_item(job: Job) -> None:
    job.write("slow_thread", 40, python={"mode": "thread"})
    told = job.run(SOME_FAILED)
    assert (told["succeeded"], told["failed"]) == (39, 1)


def test_who_blocks_the_event_loop_is_named(job: Job) -> None:
    job.write("blocks", 20, retry={"requestTimeout": "30s"})
    job.run(COMPLETE)
    assert "compute (mine.py:" in job.log
    assert "blocks the event loop" in job.log


@pytest.mark.slow
def test_a_coroutine_that_never_comes_back_is_found_out(job: Job) -> None:
    """Nothing can end it but the end of its worker: as with any item that kills its worker."""
    job.write("never_comes_back", 8, scaling={"concurrency": {"max": 2}})
    told = job.run(SOME_FAILED)
    assert (told["succeeded"], told["failed"]) == (7, 1)
    assert "never_comes_back (mine.py:" in job.log


def test_calls_of_the_context_are_counted_gated_and_told_apart(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider(rpm=1200, window=1.0) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        job.write("asks", 40, python={"kwargs": {"url": server.url}}, retry={"maxAttempts": 3})
        told = job.run(COMPLETE)
        report = server.report()
    assert report["accepted"] == 80
    assert told["requests"] == report["requests"]
    assert told["throttled"] == report["requests"] - report["accepted"]
    assert told["completionTokens"] > 0
    rows = job.rows()
    assert [row["double"] for row in rows] == [2 * number for number in range(40)]
    assert all(row["said"] and row["id"] == str(row["n"]) for row in rows)


def test_what_happens_in_a_process_of_the_context_comes_back(job: Job) -> None:
    job.write("crashes_elsewhere", 20)
    assert job.run(SOME_FAILED)["failed"] == 1
    assert "exit code 3" in job.rows()[3]["_error"]
    job.write("too_much_elsewhere", 5, python={"memoryLimit": "300Mi"})
    assert job.run(SOME_FAILED)["failed"] == 1
    assert "300 MiB" in job.rows()[3]["_error"]
    job.write("fails_elsewhere", 2)
    job.run(SOME_FAILED)
    lines = job.rows()[1]["_error"].splitlines()
    assert lines[0] == "ValueError: could not convert string to float: 'x1'"
    assert any("in parse: return float(text)" in line for line in lines)


def test_processes_end_with_a_worker_that_is_killed(job: Job) -> None:
    job.write("spins", 4, python={"mode": "process"}, retry={"requestTimeout": "10m"})
    spinning = job.folder / "spinning"
    with started("run", job.manifest, *job.place, cwd=job.folder) as command:
        eventually("both spin", lambda: spinning.exists() and len(_pids(spinning)) == 2)
        pids = _pids(spinning)
        for worker in (psutil.Process(pid).parent() for pid in pids):
            assert worker is not None
            worker.kill()
        eventually("they are gone", lambda: not any(map(lives, pids)))
        command.process.kill()
    pids = _pids(spinning)
    eventually("these as well", lambda: not any(map(lives, pids)))


def _pids(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()]


@pytest.mark.parametrize(
    ("python", "says"),
    [
        ({"entrypoint": "mime:double"}, "no module mime in .*did you mean 'mine'"),
        ({"entrypoint": "mine:doubble"}, "no doubble in mine; did you mean 'double'"),
        ({"entrypoint": "mine:model"}, "no function, it is of type list"),
        ({"entrypoint": "broken:f"}, r"(?s)SyntaxError.*broken.py:2"),
        ({"entrypoint": "needs:f"}, "needs the module nowhere_to_be_found"),
        ({"entrypoint": "exits:f"}, "ended the process .exit code 7"),
        ({"entrypoint": "mine:scaled"}, "missing a required argument: 'factor'"),
        ({"entrypoint": "mine:double", "kwargs": {"x": 1}}, "kwargs: .*unexpected keyword"),
        ({"entrypoint": "mine:reads", "mode": "process"}, "takes ctx"),
        ({"entrypoint": "mine:double_later", "mode": "thread"}, "mode: is thread"),
        ({"entrypoint": "mine:double", "initializer": "mine:nix"}, "initializer: there is no nix"),
        (
            {"entrypoint": "mine:double", "initializer": "mine:needs_arguments"},
            "initializer: .*called without arguments",
        ),
        ({"entrypoint": "mine:double", "memoryLimit": "10"}, "memoryLimit: .*from 1Mi"),
        ({"entrypoint": "mine.double"}, "entrypoint"),
    ],
)
def test_what_cannot_be_called_is_told_before_anything_starts(
    job: Job, database: Home, python: dict[str, Any], says: str
) -> None:
    job.write("double", 3, python=python)
    (job.folder / "broken.py").write_text("\ndef f(:\n")
    (job.folder / "needs.py").write_text("import nowhere_to_be_found\n")
    (job.folder / "exits.py").write_text("import os\nos._exit(7)\n")
    before = database.rows()
    for command in ("run", "validate"):
        place = job.place if command == "run" else ()
        ran = penstock(command, job.manifest, *place)
        assert ran.exit_code == BAD_INPUT, ran.output
        told = " ".join(ran.output.split())
        assert re.search(says, told), told
    assert database.rows() == before


def test_an_initializer_that_fails_ends_the_job_with_its_words(job: Job) -> None:
    python = {"mode": "process", "initializer": "mine:no_model"}
    job.write("double", 3, python=python)
    ran = penstock("run", job.manifest, *job.place)
    assert ran.exit_code == FAILED
    assert "RuntimeError: no graphics card here" in ran.output
    assert "in no_model" in ran.output


def test_a_preview_calls_the_function(job: Job) -> None:
    job.write("scaled", 3, python={"kwargs": {"factor": 7}})
    ran = penstock("run", job.manifest, "--preview", "2")
    assert ran.exit_code == COMPLETE, ran.output
    assert "mine:scaled" in ran.output


def test_a_context_reads_the_files_that_are_items(job: Job) -> None:
    job.write("reads", 1, source={"file": {"path": "papers/*.txt"}, "format": "files"})
    (job.folder / "papers").mkdir()
    for size in (1, 20, 300):
        (job.folder / "papers" / f"{size:03}.txt").write_text("x" * size)
    job.run(COMPLETE)
    assert [row["output"] for row in job.rows()] == [1, 20, 300]


def test_an_item_that_fails_while_its_calls_wait_keeps_no_permit(job: Job) -> None:
    with provider(latency=0.01) as server:
        python = {"kwargs": {"url": server.url}}
        job.write("many_at_once", 8, python=python, scaling={"concurrency": {"min": 2, "max": 2}})
        told = job.run(SOME_FAILED)
    assert (told["succeeded"], told["failed"]) == (7, 1)


def test_functions_that_all_hang_elsewhere_end_with_their_time(job: Job) -> None:
    job.write("all_hang", 4)
    told = job.run(SOME_FAILED)
    assert (told["succeeded"], told["failed"]) == (3, 1)
    assert job.rows()[1]["_error"] == "timeout after 3 s"


def test_what_a_dead_process_leaves_behind_holds_nothing_up_and_ends(job: Job) -> None:
    job.write("leaves_something", 6, python={"mode": "process"})
    assert job.run(SOME_FAILED)["failed"] == 1
    assert "SIGKILL" in job.rows()[3]["_error"]
    left = _pids(job.folder / "left")
    assert len(left) == 2  # attempts
    eventually("what was left behind is gone", lambda: not any(map(lives, left)))


def test_an_exit_in_a_task_is_an_error_of_its_item(job: Job) -> None:
    job.write("exits_in_a_task", 6)
    assert job.run(SOME_FAILED)["failed"] == 1
    assert job.rows()[3]["_error"].startswith("RuntimeError: SystemExit in a task")


@pytest.mark.slow
def test_who_keeps_the_lock_of_python_is_found_out_too(job: Job) -> None:
    job.write("holds_the_lock", 6, retry={"requestTimeout": "500ms"})
    told = job.run(SOME_FAILED)
    assert (told["succeeded"], told["failed"]) == (5, 1)
    assert "holds_the_lock" in job.log


def test_a_coroutine_that_will_not_be_cancelled_does_not_keep_its_worker(job: Job) -> None:
    job.write("will_not_be_cancelled", 4, retry={"requestTimeout": "500ms"})
    with started("run", job.manifest, *job.place, cwd=job.folder) as command:
        eventually("it waits", (job.folder / "waiting").exists)
        command.says("3/4")
        for _ in range(2):
            command.process.send_signal(signal.SIGINT)
        assert command.ends() == INTERRUPTED
    assert "do not end though they were cancelled" in job.log


def test_another_attempt_gets_the_item_as_it_was(job: Job) -> None:
    job.write("changes_its_item", 5)
    assert job.run(COMPLETE)["retries"] == 5
    assert [row["output"] for row in job.rows()] == list(range(5))


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_an_exception_that_cannot_be_told_fails_its_item_alone(job: Job, mode: str) -> None:
    job.write("says_nothing", 5, python={"mode": mode}, source={"limit": 2, **ITEMS})
    told = job.run(SOME_FAILED)
    assert (told["succeeded"], told["failed"]) == (1, 1)
    assert job.rows()[1]["_error"] == "Unsayable"


def test_an_item_that_goes_to_another_folder_takes_no_other_along(job: Job) -> None:
    job.write("goes_elsewhere", 40, python={"mode": "process"})
    assert job.run(SOME_FAILED, "--workers", "1")["failed"] == 1


def test_a_module_that_hides_one_of_python_is_told(job: Job) -> None:
    job.write("double", 3)
    (job.folder / "json.py").write_text("")
    ran = penstock("run", job.manifest, *job.place)
    assert ran.exit_code == BAD_INPUT
    assert "json.py beside the manifest hides Python's own module" in ran.output


def test_a_server_that_was_never_there_pauses_the_job(job: Job) -> None:
    scaling = {"concurrency": {"max": 16}}
    job.write("asks", 30, python={"kwargs": {"url": "http://127.0.0.1:9"}}, scaling=scaling)
    ran = penstock("run", job.manifest, *job.place)
    assert ran.exit_code == PAUSED
    assert "ConnectError" in ran.output
    assert "503" not in ran.output


def test_what_functions_print_is_no_part_of_an_answer(job: Job) -> None:
    job.write("moody", 12, source={"where": "item.n == 9", **ITEMS})
    assert only_object(penstock("run", job.manifest, "--preview", "1", "--json").stdout)
