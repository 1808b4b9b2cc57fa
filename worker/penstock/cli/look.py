"""`status`, `watch` and `results`: looking at jobs without changing anything."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import on_cluster
from penstock.cli.on_cluster import Context, Kubeconfig, Namespace, OnCluster, cluster_access
from penstock.cli.options import (
    Database,
    DataDir,
    Json,
    Name,
    exit_code,
    job_name,
    print_json,
    print_lines,
    wait,
    where,
    width,
)
from penstock.errors import NotFound

if TYPE_CHECKING:
    from penstock.local.options import View
    from penstock.store.progress import Progress

PAUSE = 0.5
"""Seconds between two looks of `watch`."""


def status(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="A job's name, or its manifest. Default: all jobs, one a line."
        ),
    ] = None,
    json: Json = False,
    database: Database = None,
    data_dir: DataDir = None,
    cluster: OnCluster = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show how a job stands, or list all jobs.

    penstock status
    penstock status products
    penstock status products --json
    penstock status --namespace team
    """
    access = cluster_access(cluster, namespace, context, kubeconfig, database, data_dir)
    if access is not None:
        on_cluster.status(name, access, json=json)
        return
    from penstock.local import commands
    from penstock.local.figures import glyphs_for
    from penstock.local.summary import answer, summary_lines
    from penstock.local.table import table_lines

    options = where(database, data_dir)
    if name is None:
        jobs = wait(commands.list_jobs(options))
        if json:
            print_json({"jobs": [answer(job) for job in jobs]})
        else:
            print_lines(
                table_lines(jobs) if jobs else ["No jobs yet. penstock run JOB.yaml makes one."]
            )
        return
    progress = wait(commands.status(job_name(name), options))
    if json:
        print_json(answer(progress))
        return
    print_lines(summary_lines(progress, glyphs_for(sys.stdout.encoding), width()))
    if progress.phase == "Running" and not progress.workers:
        print_lines(["No worker is at it at present. If none starts, penstock run makes it go on."])


def watch(
    name: Name,
    database: Database = None,
    data_dir: DataDir = None,
    cluster: OnCluster = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Follow a job until it ends. Ctrl-C stops watching, not the job.

    Ends like `run` would: 0 complete, 3 with failed items, 1 failed, 4 paused or
    suspended, 130 when nobody works on it any more.

        penstock watch products
        penstock watch products --cluster
    """
    access = cluster_access(cluster, namespace, context, kubeconfig, database, data_dir)
    if access is not None:
        raise typer.Exit(on_cluster.watch(name, access))
    from penstock.local import commands
    from penstock.local.view import view_for

    name, options = job_name(name), where(database, data_dir)
    with view_for(sys.stdout, quiet=False, command="penstock run JOB.yaml") as view:
        progress = wait(follow(commands.watch(name, options), view, PAUSE))
    raise typer.Exit(exit_code(progress))


async def follow(looks: AsyncGenerator[Progress, None], view: View, pause: float) -> Progress:
    """Show one look at a job after the other, `pause` seconds apart; the last tells how it ended.

    Raises NotFound when there was nothing to look at.
    """
    import asyncio
    from contextlib import aclosing

    latest: Progress | None = None
    async with aclosing(looks):  # at Ctrl-C, too: what is looked with is closed in order
        async for latest in looks:
            if exit_code(latest) == 130:
                view.progress(latest)
                await asyncio.sleep(pause)
    if latest is None:
        raise NotFound("nothing to watch")
    view.finished(latest)
    return latest


def results(
    name: Name,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .jsonl, .csv, .xlsx or .parquet file. Default: JSON lines on stdout.",
            show_default=False,
        ),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only the failed items.")] = False,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="The worker image to read them with, when the job's pods are long gone.",
            rich_help_panel=on_cluster.PANEL,
            show_default=False,
        ),
    ] = None,
    database: Database = None,
    data_dir: DataDir = None,
    cluster: OnCluster = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Write a job's results, one row an input item, in input order.

    Also in the middle of a run: items without a result yet are `pending`.

        penstock results products -o products.xlsx
        penstock results products | jq .output
        penstock results products --failed
        penstock results products --cluster -o products.xlsx
    """
    from penstock.local.figures import count

    access = cluster_access(cluster, namespace, context, kubeconfig, database, data_dir)
    if access is not None:
        rows = on_cluster.results(name, access, output=output, failed=failed, image=image)
    else:
        from penstock.local import commands

        rows = wait(
            commands.results(
                job_name(name),
                where(database, data_dir),
                output=output,
                failed=failed,
                stdout=sys.stdout.buffer,
                warn=partial(typer.echo, err=True),
            )
        )
    if output is not None:
        print_lines([f"{count(rows)} row{'' if rows == 1 else 's'} written to {output}"])
