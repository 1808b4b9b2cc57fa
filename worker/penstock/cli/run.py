"""`penstock run` and `penstock redrive`: a job worked through on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from penstock.cli import failures
from penstock.cli.on_cluster import Context, Kubeconfig, Namespace, OnCluster, cluster_access
from penstock.cli.options import (
    PANEL_OUTPUT,
    Database,
    DataDir,
    Json,
    Manifest,
    Name,
    Quiet,
    Set,
    job_name,
    load_job,
    print_json,
    same_command,
    wait,
    where,
)
from penstock.cli.submit import redrive_there

if TYPE_CHECKING:
    from penstock.local.options import Options
    from penstock.spec.job import BatchJob

_WHICH = "Which items"
_SPEED = "How fast"

Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        min=1,
        metavar="N",
        help="Exactly N calls in flight. Default: what the manifest says, found out as it runs.",
        rich_help_panel=_SPEED,
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        max=256,
        metavar="N",
        help="Worker processes. Default: 1, for Python in process mode the number of cores.",
        rich_help_panel=_SPEED,
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="Write the results there: .jsonl, .csv, .xlsx or .parquet.",
        rich_help_panel=PANEL_OUTPUT,
        show_default=False,
    ),
]


def run(
    manifest: Manifest,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Only the first N items: rows that `where` lets through, done before or not.",
            rich_help_panel=_WHICH,
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Every item, whatever was done.", rich_help_panel=_WHICH),
    ] = False,
    redrive: Annotated[
        bool,
        typer.Option("--redrive", help="Only what failed last time.", rich_help_panel=_WHICH),
    ] = False,
    preview: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Try N items: request, answer, estimate of tokens, cost and time. Stores nothing.",
            rich_help_panel=_WHICH,
            show_default=False,
        ),
    ] = None,
    concurrency: Concurrency = None,
    workers: Workers = None,
    changes: Set = None,
    output: Output = None,
    json: Json = False,
    quiet: Quiet = False,
    database: Database = None,
    data_dir: DataDir = None,
) -> None:
    """Run a job on this machine: plan, work, export.

    Skips what was done before and is unchanged. The same command goes on after an
    interruption: Ctrl-C ends a run in good order, and kill -9 loses nothing that
    was checkpointed.

        penstock run job.yaml
        penstock run job.yaml --preview 3
        penstock run job.yaml --limit 100 --concurrency 10 -o first.xlsx
        penstock run job.yaml --set processor.openai.model=gpt-5-mini --force
        penstock run job.yaml --json | jq .itemsPerSecond

    Exit codes: 0 complete, 3 complete with failed items, 1 failed, 2 bad input
    (nothing started), 4 paused (budget, quota, key), 130 interrupted.
    """
    from penstock.local.options import Options

    if force and redrive:
        raise typer.BadParameter("--force and --redrive exclude each other: all, or what failed")
    job = load_job(manifest, changes)
    options = Options(
        limit=limit,
        force=force,
        concurrency=concurrency,
        workers=workers,
        redrive=redrive,
        output=output,
        database=database,
        data_dir=data_dir,
    )
    if preview is not None:
        from penstock.cli.preview import show_preview

        raise typer.Exit(show_preview(job, manifest, options, preview, json=json))
    drive(job, manifest, options, json=json, quiet=quiet)


def redrive(
    name: Name,
    reason: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Only items with this text in the reason or the message of their failure.",
            show_default=False,
        ),
    ] = None,
    concurrency: Concurrency = None,
    workers: Workers = None,
    output: Output = None,
    json: Json = False,
    quiet: Quiet = False,
    database: Database = None,
    data_dir: DataDir = None,
    cluster: OnCluster = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run again what failed in a job's last run, with the manifest it had.

    What succeeded stays as it is; the source is not read again.

        penstock redrive products
        penstock redrive products --reason "HTTP 500"
        penstock redrive products --cluster
    """
    access = cluster_access(cluster, namespace, context, kubeconfig, database, data_dir)
    if access is not None:
        only_here = {"--reason": reason, "--concurrency": concurrency, "--workers": workers}
        for option, value in only_here.items():
            if value is not None:
                raise typer.BadParameter(f"{option} is for runs on this machine")
        redrive_there(name, access, output, json=json, quiet=quiet)
    from penstock.local import commands
    from penstock.local.options import Options

    name = job_name(name)
    job, manifest = wait(commands.stored_job(name, where(database, data_dir)))
    failures.about(name)
    options = Options(
        redrive=True,
        reason=reason,
        concurrency=concurrency,
        workers=workers,
        output=output,
        database=database,
        data_dir=data_dir,
    )
    drive(job, manifest, options, json=json, quiet=quiet)


def drive(
    job: BatchJob, manifest: Path | None, options: Options, *, json: bool, quiet: bool
) -> NoReturn:
    """Run a job in front of a person, or of a program that wants JSON, and end the command."""
    from penstock.local import driver
    from penstock.local.summary import answer
    from penstock.local.view import view_for

    stream = sys.stderr if json else sys.stdout
    with view_for(stream, quiet=quiet, command=same_command()) as view:
        outcome = wait(driver.run(job, manifest, options, view))
    if json and outcome.progress is not None:
        print_json(answer(outcome.progress))
    raise typer.Exit(outcome.exit_code)
