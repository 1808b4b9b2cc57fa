"""The commands: what they hand to the engine, what they print, what they end with.

The engine is a small fake here, since parsing, streams and exit codes are what is tested; the
integration tests run the commands on the real one.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import pytest
import typer.main
from typer.testing import CliRunner

from penstock import __version__
from penstock.cli import look, preview
from penstock.cli.app import app
from penstock.errors import NotFound
from penstock.local.commands import GcReport
from penstock.local.options import Options, Outcome, PreviewRow, View
from penstock.local.summary import answer
from penstock.spec.job import BatchJob
from penstock.spec.load import load
from penstock.store.progress import Progress
from tests.unit.test_view_blocks import DONE, JOB, PLAN, RUNNING

MANIFEST = """\
apiVersion: penstock.dev/v1alpha1
kind: BatchJob
metadata: {name: products}
spec:
  source: {file: {path: products.csv}, idField: sku}
  processor:
    openai:
      baseURL: http://127.0.0.1:9/v1
      model: gpt-5-nano
      messages: [{role: user, content: "Describe {{ item.title }}"}]
"""
ROOT = typer.main.get_command(app)
COMMANDS = [
    *("init", "validate", "run", "redrive"),
    *("status", "watch", "results"),
    *("suspend", "resume", "delete", "gc"),
    *("simulate", "work"),
]


QUESTIONS = [
    *("status", "list_jobs", "watch", "results", "stored_job"),
    *("suspend", "resume", "delete", "gc"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a manifest and its data in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-123456")
    (tmp_path / "job.yaml").write_text(MANIFEST)
    (tmp_path / "products.csv").write_text("sku,title\n1,One\n2,Two\n")
    return tmp_path


def penstock(*arguments: str, **more: Any) -> Any:
    return CliRunner().invoke(app, list(arguments), **more)


@dataclass
class Engine:
    """Stands in for driver and commands; keeps what it was asked."""

    outcome: Outcome = field(default_factory=lambda: Outcome(0, DONE))
    told: list[Any] = field(default_factory=list)
    looks: list[Progress] = field(default_factory=list)

    @property
    def progress(self) -> Progress:
        """That of the outcome."""
        assert self.outcome.progress is not None
        return self.outcome.progress

    async def run(
        self, job: BatchJob, manifest: Path | None, options: Options, view: View
    ) -> Outcome:
        self.told.append((job, manifest, options))
        view.banner(JOB, PLAN, "1-64 calls in flight", Path("x.log"))
        view.progress(RUNNING)
        if self.outcome.progress is not None:
            view.finished(self.outcome.progress)
        return self.outcome

    async def status(self, name: str, options: Options) -> Progress:
        self.told.append((name, options))
        return self.progress

    async def list_jobs(self, options: Options) -> list[Progress]:
        self.told.append(options)
        return self.looks

    async def watch(self, name: str, options: Options) -> AsyncIterator[Progress]:
        self.told.append((name, options))
        for one in self.looks:
            yield one

    async def results(
        self,
        name: str,
        options: Options,
        *,
        output: Path | None,
        failed: bool,
        stdout: IO[bytes],
        warn: Callable[[str], None],
    ) -> int:
        self.told.append((name, options, output, failed))
        if output is None:
            stdout.write('{"title":"Größe"}\n'.encode())
            warn("one cell was too long")
        return 1

    async def stored_job(self, name: str, options: Options) -> tuple[BatchJob, Path | None]:
        self.told.append((name, options))
        return JOB, Path("/data/job.yaml")

    async def suspend(self, name: str, options: Options) -> None:
        self.told.append(("suspend", name, options))

    async def resume(self, name: str, options: Options) -> None:
        self.told.append(("resume", name, options))

    async def delete(self, name: str, options: Options, *, results: bool) -> None:
        self.told.append(("delete", name, options, results))

    async def gc(self, options: Options, *, older_than: float) -> GcReport:
        self.told.append(("gc", options, older_than))
        return GcReport(2, 26_562)


@pytest.fixture
def engine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    assert folder.is_dir()
    engine = Engine()
    monkeypatch.setattr("penstock.local.driver.run", engine.run)
    for name in QUESTIONS:
        monkeypatch.setattr(f"penstock.local.commands.{name}", getattr(engine, name))
    monkeypatch.setattr(look, "PAUSE", 0)
    return engine


# --- run


def test_every_option_of_run_reaches_the_engine(engine: Engine) -> None:
    result = penstock(
        *("run", "job.yaml", "--limit", "5", "--concurrency", "8", "--workers", "2", "--force"),
        *("--output", "out.xlsx", "--database", "postgresql://h/db", "--data-dir", "state"),
        *("--set", "processor.openai.model=gpt-5", "--set", "retry.maxAttempts=2"),
    )
    assert result.exit_code == 0, result.output
    [(job, manifest, options)] = engine.told
    assert manifest == Path("job.yaml")
    assert options == Options(
        limit=5,
        force=True,
        concurrency=8,
        workers=2,
        output=Path("out.xlsx"),
        database="postgresql://h/db",
        data_dir=Path("state"),
    )
    assert job.spec.processor.openai.model == "gpt-5"
    assert job.spec.retry.max_attempts == 2


def test_run_with_redrive(engine: Engine) -> None:
    assert penstock("run", "job.yaml", "--redrive").exit_code == 0
    assert engine.told[0][2] == Options(redrive=True)


@pytest.mark.parametrize("code", [0, 1, 3, 4, 130])
def test_run_ends_with_the_outcomes_code(engine: Engine, code: int) -> None:
    engine.outcome = Outcome(code, DONE)
    assert penstock("run", "job.yaml").exit_code == code


def test_json_is_one_object_on_stdout_and_nothing_else(engine: Engine) -> None:
    result = penstock("run", "job.yaml", "--json")
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout) == answer(engine.progress)
    assert "complete, 3 items failed" in result.stderr


def test_a_run_interrupted_before_there_is_anything_to_tell(engine: Engine) -> None:
    engine.outcome = Outcome(130, None)
    result = penstock("run", "job.yaml", "--json")
    assert (result.exit_code, result.stdout) == (130, "")


def test_json_and_quiet_leave_one_line_on_stderr(engine: Engine) -> None:
    result = penstock("run", "job.yaml", "--json", "--quiet")
    assert json.loads(result.stdout) == answer(engine.progress)
    assert result.stderr.count("\n") == 1


def test_quiet_says_one_line(engine: Engine) -> None:
    result = penstock("run", "job.yaml", "-q")
    assert result.stdout.startswith(f"{engine.progress.name} · complete")
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


def test_an_interrupted_run_names_the_command_without_its_password(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = ["run", "job.yaml", "--database", "postgresql://bob:s3cret@db/x"]
    monkeypatch.setattr(sys, "argv", ["penstock", *typed])
    engine.outcome = Outcome(130, RUNNING)
    result = penstock(*typed)
    assert result.stdout.endswith("penstock run job.yaml --database postgresql://bob:***@db/x\n")


def test_every_mistake_of_a_manifest_is_told_and_nothing_runs(engine: Engine, folder: Path) -> None:
    (folder / "job.yaml").write_text(MANIFEST.replace("model:", "modell:") + "  limt: 3\n")
    result = penstock("run", "job.yaml")
    assert result.exit_code == 2
    assert result.stdout == ""
    first, *mistakes = result.stderr.splitlines()
    assert first == "job.yaml: 3 mistakes"
    assert all(line.startswith("  job.yaml:") for line in mistakes)
    assert engine.told == []


# --- redrive, status, watch, results


def test_redrive_runs_the_stored_job_again(engine: Engine) -> None:
    assert penstock("redrive", "products", "--reason", "HTTP 500", "--workers", "2").exit_code == 0
    job, manifest, options = engine.told[1]
    assert job is JOB
    assert manifest == Path("/data/job.yaml")
    assert options == Options(redrive=True, reason="HTTP 500", workers=2)


def test_status_of_a_job_and_of_its_manifest(engine: Engine) -> None:
    for name in ("products", "job.yaml"):
        result = penstock("status", name, "--data-dir", "state")
        assert result.exit_code == 0
        assert "complete, 3 items failed" in result.stdout
    assert engine.told == [("products", Options(data_dir=Path("state")))] * 2


def test_status_says_when_nobody_works_on_it(engine: Engine) -> None:
    engine.outcome = Outcome(0, replace(RUNNING, workers=0))
    assert "No worker is at it" in penstock("status", "products").stdout
    engine.outcome = Outcome(0, RUNNING)
    assert "No worker is at it" not in penstock("status", "products").stdout


def test_status_as_json(engine: Engine) -> None:
    assert json.loads(penstock("status", "products", "--json").stdout) == answer(DONE)
    engine.looks = [RUNNING, DONE]
    assert json.loads(penstock("status", "--json").stdout) == {
        "jobs": [answer(RUNNING), answer(DONE)]
    }


def test_status_without_a_name_lists_all_jobs(engine: Engine) -> None:
    assert penstock("status").stdout.startswith("No jobs yet")
    engine.looks = [RUNNING, DONE]
    assert [line.split()[1] for line in penstock("status").stdout.splitlines()] == [
        "PHASE",
        "Running",
        "Complete",
    ]


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (replace(DONE, failed=0), 0),
        (DONE, 3),
        (replace(DONE, phase="Failed"), 1),
        (replace(RUNNING, phase="Paused"), 4),
        (replace(RUNNING, phase="Suspended"), 4),
        (RUNNING, 130),
    ],
)
def test_watch_follows_to_the_end(engine: Engine, last: Progress, code: int) -> None:
    engine.looks = [RUNNING, RUNNING, last]
    result = penstock("watch", "products")
    assert result.exit_code == code
    assert "  total          201" in result.stdout


def test_watch_without_anything_to_see(engine: Engine) -> None:
    assert penstock("watch", "products").exit_code == NotFound.exit_code
    assert engine.told[0][0] == "products"


def test_results_on_stdout_are_utf8_whatever_the_terminal_speaks(engine: Engine) -> None:
    result = CliRunner(charset="latin-1").invoke(app, ["results", "products"])
    assert result.stderr == "one cell was too long\n"
    assert result.stdout_bytes == '{"title":"Größe"}\n'.encode()
    assert engine.told == [("products", Options(), None, False)]


def test_results_into_a_file(engine: Engine) -> None:
    result = penstock("results", "products", "-o", "f.xlsx", "--failed")
    assert result.stdout == "1 row written to f.xlsx\n"
    assert engine.told == [("products", Options(), Path("f.xlsx"), True)]


# --- suspend, resume, delete, gc


def test_suspend_and_resume(engine: Engine) -> None:
    assert "penstock resume products" in penstock("suspend", "products").stdout
    assert "penstock run JOB.yaml" in penstock("resume", "products").stdout
    assert [told[0] for told in engine.told] == ["suspend", "resume"]


def test_delete_asks_first(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.cli.change.can_ask", lambda: True)
    refused = penstock("delete", "products", input="n\n")
    assert refused.exit_code == 1
    assert refused.stdout.endswith("Nothing was deleted.\n")
    assert engine.told == []
    assert penstock("delete", "products", "--results", input="y\n").exit_code == 0
    assert engine.told == [("delete", "products", Options(), True)]


def test_delete_does_not_ask_when_told(engine: Engine) -> None:
    result = penstock("delete", "products", "--yes")
    assert result.stdout == "Deleted products and its runs.\n"
    assert engine.told == [("delete", "products", Options(), False)]


def test_gc_takes_a_duration(engine: Engine) -> None:
    result = penstock("gc", "--older-than", "12h")
    assert result.stdout == "Removed 2 runs with 26,562 items.\n"
    assert engine.told == [("gc", Options(), 43_200.0)]


# --- preview


def row(number: int, **more: Any) -> PreviewRow:
    values: dict[str, Any] = {
        "request": {"body": "x" * 3_000},
        "answer": {"ok": number},
        "error": None,
        "seconds": 2.0,
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "cost": 0.001,
    }
    return PreviewRow(item_id=f"s{number}", **{**values, **more})


@pytest.fixture
def tried(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[PreviewRow]:
    assert folder.is_dir()
    rows = [row(1), row(2)]

    async def fake(job: BatchJob, _: Path, options: Options, count: int) -> list[PreviewRow]:
        assert (job.name, options.limit, count) == ("products", None, 2)
        return rows

    monkeypatch.setattr("penstock.local.preview.preview", fake)
    return rows


def test_preview_shows_requests_answers_and_an_estimate(tried: list[PreviewRow]) -> None:
    assert len(tried) == 2
    result = penstock("run", "job.yaml", "--preview", "2")
    assert result.exit_code == 0
    assert "s1 · 2.0s · 100 tokens in, 10 out" in result.stdout
    assert "more characters]" in result.stdout
    assert result.stdout.endswith(
        "The whole job, going by these: 2 items\n"
        "  tokens       200 in, 20 out\n"
        "  cost         0.0020\n"
        "  time         2.0s or more, if nothing is throttled\n"
        "Nothing was stored.\n"
    )


def test_preview_as_json(tried: list[PreviewRow]) -> None:
    tried[1] = row(2, answer=None, error="HTTP 400")
    result = penstock("run", "job.yaml", "--preview", "2", "--json")
    assert result.exit_code == 3
    told = json.loads(result.stdout)
    assert told["name"] == "products"
    assert [one["error"] for one in told["preview"]] == [None, "HTTP 400"]
    assert told["estimate"]["promptTokens"] == 200


def test_an_estimate_keeps_to_the_rate_limit() -> None:
    limited = JOB.spec.rate_limit.model_copy(update={"requests_per_minute": 60.0})
    job = JOB.model_copy(update={"spec": JOB.spec.model_copy(update={"rate_limit": limited})})
    assert preview.estimated([row(1)], 6_400, JOB).seconds == pytest.approx(200)
    assert preview.estimated([row(1)], 6_400, job).seconds == pytest.approx(6_400)
    tokens = limited.model_copy(update={"tokens_per_minute": 11.0})
    job = JOB.model_copy(update={"spec": JOB.spec.model_copy(update={"rate_limit": tokens})})
    assert preview.estimated([row(1)], 6_400, job).seconds == pytest.approx(6_400 * 600)


def test_an_estimate_of_very_many_items_says_at_least() -> None:
    estimate = preview.estimated([row(1, cost=None)], preview.MOST_COUNTED + 1, JOB)
    assert (estimate.items, estimate.counted_all, estimate.cost) == (1_000_000, False, None)


# --- init and validate, on the real thing


def test_init_writes_a_manifest_that_is_valid(folder: Path) -> None:
    (folder / "jobs").mkdir()
    result = penstock("init", "products.csv", "-o", "jobs/new.yaml")
    assert result.exit_code == 0, result.output
    assert "penstock run jobs/new.yaml --preview 3" in result.stdout
    job = load(folder / "jobs" / "new.yaml")
    assert job.spec.source.file is not None
    assert job.spec.source.file.path == "../products.csv"
    assert penstock("validate", "jobs/new.yaml").exit_code == 0


def test_init_overwrites_only_when_told(folder: Path) -> None:
    result = penstock("init", "products.csv")
    assert result.exit_code == 2
    assert "exists already" in result.stderr
    assert (folder / "job.yaml").read_text() == MANIFEST
    assert penstock("init", "products.csv", "--force").exit_code == 0
    assert (folder / "job.yaml").read_text() != MANIFEST


@pytest.mark.parametrize(
    ("data", "output"), [("nope.csv", "new.yaml"), ("products.csv", "nowhere/new.yaml")]
)
@pytest.mark.usefixtures("folder")
def test_init_says_what_it_cannot_read_or_write(data: str, output: str) -> None:
    result = penstock("init", data, "-o", output)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")


@pytest.mark.usefixtures("folder")
def test_validate_says_what_would_be_done() -> None:
    result = penstock("validate", "job.yaml", "--set", "rateLimit.requestsPerMinute=500")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "job.yaml: OK",
        "  source       products.csv: 2 items",
        "  processor    openai chat gpt-5-nano at http://127.0.0.1:9/v1",
        "  concurrency  1-64 calls in flight",
        "  rate limit   500 requests a minute",
        "  output       kept in result set products: penstock results products -o FILE",
    ]


def test_validate_of_inline_items_that_go_to_a_file(folder: Path) -> None:
    source = "source: {inline: {items: [{sku: 1, title: One}]}}"
    text = MANIFEST.replace("source: {file: {path: products.csv}, idField: sku}", source)
    (folder / "job.yaml").write_text(text + "  output: {file: {path: out.xlsx}}\n")
    lines = penstock("validate", "job.yaml").stdout.splitlines()
    assert lines[1] == "  source       inline: 1 item"
    assert lines[5] == "  output       out.xlsx"


@pytest.mark.usefixtures("folder")
def test_validate_needs_no_key_but_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    result = penstock("validate", "job.yaml", "--set", "processor.openai.baseURL=null")
    assert result.exit_code == 0, result.output
    assert "OPENAI_API_KEY" in result.stderr


@pytest.mark.parametrize(
    ("data", "changes", "told"),
    [
        ("sku,title\n1,One\n1,Two\n", [], "has the ID '1', as has products.csv:2"),
        ("sku,titel\n1,One\n", [], "title"),
        ("sku,title\n,One\n", [], "products.csv:2"),
        ("sku,title\n1,One\n", ["--set", "source.where=item.sku == '2'"], "no items"),
    ],
)
def test_validate_reads_the_data(folder: Path, data: str, changes: list[str], told: str) -> None:
    (folder / "products.csv").write_text(data)
    result = penstock("validate", "job.yaml", *changes)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""


def test_validate_counts_what_cannot_be_read_where_that_is_tolerated(folder: Path) -> None:
    (folder / "products.csv").write_text("sku,title\n1,One\n,Two\n")
    result = penstock("validate", "job.yaml", "--set", "source.onBadRecord=failItem")
    assert "2 items, 1 of them cannot be read" in result.stdout


# --- work, help, version


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)


@pytest.mark.usefixtures("_logging_restored")
def test_work_is_told_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work_main(environ: dict[str, str]) -> int:
        logging.getLogger("penstock").info("run %s", environ["PENSTOCK_RUN"])
        return 130

    monkeypatch.setattr("penstock.work.main.work_main", work_main)
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", "postgresql://h/db")
    monkeypatch.setenv("PENSTOCK_RUN", "7")
    monkeypatch.setenv("PENSTOCK_SLOT", "2")
    monkeypatch.setenv("PENSTOCK_LOG", str(tmp_path / "x.log"))
    assert penstock("work").exit_code == 130
    assert "worker 2" in (tmp_path / "x.log").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_example(command: str) -> None:
    text = penstock(command, "--help").stdout
    assert f" {command} [OPTIONS]" in text.split("\n", 1)[0]
    assert f"penstock {command}" in text.split("\n", 1)[1] or command == "work"
    assert max(map(len, text.splitlines())) <= 80


def test_help_lists_every_command_in_its_group() -> None:
    text = penstock("--help").stdout
    names = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
    assert [name for name in names if name in COMMANDS] == COMMANDS
    assert "\nRun:\n" in text


def test_the_options_of_run_stand_in_groups() -> None:
    text = penstock("run", "--help").stdout
    for heading in ("Which items:", "How fast:", "What is shown:", "Where it is kept:"):
        assert f"\n{heading}\n" in text


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from penstock.cli.app import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('pydantic', 'rich', 'asyncpg', 'aiohttp', 'asyncio')"
        " if m in sys.modules], file=sys.stderr)\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_version() -> None:
    assert penstock("--version").stdout == f"penstock {__version__}\n"
