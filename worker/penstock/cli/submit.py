"""`penstock submit`: the manifest of a local run handed to a cluster, and watched from here."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from penstock.cli import on_cluster
from penstock.cli.on_cluster import Context, Kubeconfig, Namespace
from penstock.cli.options import (
    PANEL_OUTPUT,
    Json,
    Manifest,
    Quiet,
    Set,
    Yes,
    can_ask,
    exit_code,
    load_written,
    print_json,
    same_command,
    wait,
)
from penstock.errors import ClusterError, PenstockError

if TYPE_CHECKING:
    from penstock.cluster.commands import Target
    from penstock.cluster.here import Here
    from penstock.cluster.kubeconfig import Access
    from penstock.cluster.watching import Since
    from penstock.local.options import View
    from penstock.store.progress import Progress

WITH_RESULTS = ("FailurePolicyExceeded", "DeadlineExceeded")
"""Reasons for which a run ends early and has results all the same."""


def submit(
    manifest: Manifest,
    changes: Set = None,
    mounted: Annotated[
        bool,
        typer.Option(
            "--mounted",
            help="spec.source.file.path is one in the pods: on a volume of spec.template.",
        ),
    ] = False,
    yes: Yes = False,
    no_watch: Annotated[
        bool, typer.Option("--no-watch", help="Come back as soon as it is handed over.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Write the results there, on this machine: .jsonl, .csv, .xlsx or .parquet.",
            rich_help_panel=PANEL_OUTPUT,
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run a job on a cluster: the same file as for `run`.

    Small local data goes along in a ConfigMap, the key in OPENAI_API_KEY becomes a
    Secret after asking, and the results are written here at the end. Ctrl-C stops
    watching, not the job.

    A job that has ended before starts a new run over what is not skipped; one that is
    under way is edited.

        penstock submit job.yaml
        penstock submit job.yaml --namespace team --yes
        penstock submit job.yaml --set scaling.maxParallelism=20 --no-watch

    Exit codes: 0 complete, 3 complete with failed items, 1 failed, 2 bad input,
    4 paused or suspended, 130 no longer watched.
    """
    from penstock.cluster import commands
    from penstock.cluster.commands import Target
    from penstock.cluster.here import check, put_here
    from penstock.cluster.kubeconfig import Access
    from penstock.cluster.submit import Person
    from penstock.local.summary import answer
    from penstock.local.view import view_for

    job, written = load_written(manifest, changes)
    access = on_cluster.within(Access(kubeconfig, context, namespace), job.metadata.namespace)
    meant = Target(access, job.name)
    here = put_here(job, manifest.parent, output)
    if here is not None:
        wait(check(here, job, manifest.parent, mounted=mounted))
    where = on_cluster.options_of(access)
    resume = f"penstock resume {job.name}{where}"
    stream = sys.stderr if json else sys.stdout
    with view_for(stream, quiet=quiet, command=resume, where=where) as view:
        ask = _allowed if yes else _ask if can_ask() else None
        since = wait(
            commands.submit(
                job, written, manifest.parent, access,
                mounted=mounted, person=Person(view.notice, ask),
            )
        )  # fmt: skip
        if no_watch:
            view.notice(on_cluster.detached(meant))
            if here is not None:
                view.notice(f"  results:     {fetching(here, meant)}")
            if json:
                print_json(answer(wait(commands.status(meant))))
            return
        to_the_end(meant, since, view, here, json=json)


def fetching(here: Here, meant: Target) -> str:
    """What writes the results of a job that has ended."""
    from penstock.export.to_file import ToFile

    if isinstance(here, ToFile):
        return f"penstock results {meant.name}{on_cluster.options_of(meant.access)} -o {here.path}"
    # What is done is skipped, and the files are written.
    return same_command([word for word in sys.argv[1:] if word != "--no-watch"])


def redrive_there(
    name: str, access: Access, output: Path | None, *, json: bool, quiet: bool
) -> NoReturn:
    """`penstock redrive` on a cluster: what failed runs again, and is watched."""
    from penstock.cluster import commands
    from penstock.export.to_file import ToFile
    from penstock.local.view import view_for

    meant = on_cluster.target(name, access)
    here = None
    if output is not None:
        here = ToFile(output, None, "--output", is_input=lambda _: False)
        wait(here.check())
    where = on_cluster.options_of(meant.access)
    resume = f"penstock resume {meant.name}{where}"
    stream = sys.stderr if json else sys.stdout
    with view_for(stream, quiet=quiet, command=resume, where=where) as view:
        since = wait(commands.redrive(meant))
        to_the_end(meant, since, view, here, json=json)


def to_the_end(
    meant: Target, since: Since, view: View, here: Here | None, *, json: bool
) -> NoReturn:
    """Watch a job, write its results, and end the command as `run` would. Raises InputError when
    the cluster found the manifest or its data wrong."""
    from penstock.local.summary import answer

    ended = wait(on_cluster.interruptible(_followed(meant, since, view, here), view, meant))
    if ended is None:
        raise typer.Exit(130)
    progress, problem = ended
    view.finished(progress)
    if json:
        print_json(answer(progress))
    if problem is not None and here is not None:
        again = fetching(here, meant)
        raise ClusterError(f"{problem}\nThe results are kept. To fetch them: {again}")
    raise typer.Exit(exit_code(progress))


async def _followed(
    meant: Target, since: Since, view: View, here: Here | None
) -> tuple[Progress, PenstockError | None]:
    """How the job ended, and why its results could not be written where they could not."""
    from penstock.cluster import commands
    from penstock.cluster.watching import INVALID, mistakes

    last = await on_cluster.follow(commands.watch(meant, since), view, strict=True)
    progress = last.progress
    if progress.phase == "Failed" and progress.reason in INVALID:
        raise mistakes(progress.message)
    if here is None or not _has_results(progress):
        return progress, None
    view.progress(replace(progress, phase="Exporting"))
    try:
        await commands.results(meant, write=lambda rows: here.write_rows(rows, view.notice))
    except PenstockError as error:
        return progress, error
    return replace(progress, output=here.name), None


def _has_results(progress: Progress) -> bool:
    early = progress.phase == "Failed" and progress.reason in WITH_RESULTS
    return progress.phase == "Complete" or early


def _allowed(question: str) -> None:
    """--yes was given."""


def _ask(question: str) -> None:
    """Come back after a yes; end the command after a no."""
    if not typer.confirm(question):
        typer.echo("Nothing was submitted.")
        raise typer.Exit(1)
