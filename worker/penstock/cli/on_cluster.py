"""The same commands about a job on a cluster: which cluster is meant, and what is shown of it.

Any of the four options says that a command is about a cluster; `kubectl penstock` says it without.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from penstock.cli.options import (
    exit_code,
    load_job,
    print_json,
    print_lines,
    wait,
    width,
)
from penstock.errors import InputError

if TYPE_CHECKING:
    from penstock.cluster.commands import Target
    from penstock.cluster.kubeconfig import Access
    from penstock.cluster.watching import Look
    from penstock.local.options import View

T = TypeVar("T")

PANEL = "On a cluster"
PLUGIN = "kubectl-penstock"
"""The name under which kubectl finds this program: `kubectl penstock`."""

OnCluster = Annotated[
    bool,
    typer.Option(
        "--cluster",
        help="On the cluster that kubectl would talk to; implied by the options below.",
        rich_help_panel=PANEL,
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NAME",
        help="Namespace of the job. Default: the context's.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        metavar="NAME",
        help="Context of the kubeconfig. Default: the current one.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        help="Default: those that KUBECONFIG lists, else ~/.kube/config.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]


def is_plugin() -> bool:
    """Whether kubectl started this, so that every command is about a cluster."""
    return Path(sys.argv[0]).name == PLUGIN


def cluster_access(
    cluster: bool,
    namespace: str | None,
    context: str | None,
    kubeconfig: Path | None,
    database: str | None,
    data_dir: Path | None,
) -> Access | None:
    """Which cluster a command is about; None for this machine. Raises InputError when it names
    both."""
    here = database is not None or data_dir is not None
    named = cluster or any(one is not None for one in (namespace, context, kubeconfig))
    if here and named:
        option = "--database" if database is not None else "--data-dir"
        raise InputError.at(option, "is about this machine, not about a cluster")
    if here or not (named or is_plugin()):
        return None
    from penstock.cluster.kubeconfig import Access

    return Access(kubeconfig, context, namespace)


def target(text: str, access: Access) -> Target:
    """The job that is meant; of a manifest's path, the one of its name and namespace."""
    from penstock.cluster.commands import Target

    if not (text.endswith((".yaml", ".yml")) and Path(text).is_file()):
        return Target(access, text)
    metadata = load_job(Path(text)).metadata
    return Target(within(access, metadata.namespace), metadata.name)


def within(access: Access, namespace: str | None) -> Access:
    """The access with the namespace of a manifest. Raises InputError when the two differ."""
    if namespace is not None and access.namespace not in (None, namespace):
        raise InputError.at(
            "--namespace", f"is {access.namespace}, but metadata.namespace is {namespace}"
        )
    return replace(access, namespace=access.namespace or namespace)


def options_of(access: Access) -> str:
    """What a command needs to be about that cluster, as it is typed."""
    given = {
        "--kubeconfig": access.kubeconfig,
        "--context": access.context,
        "--namespace": access.namespace,
    }
    words = [word for option, value in given.items() if value for word in (option, str(value))]
    return f" {shlex.join(words or ['--cluster'])}"


def status(name: str | None, access: Access, *, json: bool) -> None:
    """See `penstock status`."""
    from penstock.cluster import commands
    from penstock.local.figures import glyphs_for
    from penstock.local.summary import answer, summary_lines
    from penstock.local.table import table_lines

    if name is None:
        jobs = wait(commands.list_jobs(access))
        if json:
            print_json({"jobs": [answer(job) for job in jobs]})
        else:
            print_lines(table_lines(jobs) if jobs else ["No jobs in this namespace."])
        return
    meant = target(name, access)
    progress = wait(commands.status(meant))
    if json:
        print_json(answer(progress))
        return
    where, glyphs = options_of(meant.access), glyphs_for(sys.stdout.encoding)
    going_on = f"penstock resume {meant.name}{where}" if progress.phase == "Paused" else None
    print_lines(summary_lines(progress, glyphs, width(), going_on, where))


def watch(name: str, access: Access) -> int:
    """See `penstock watch`; returns the exit code."""
    from penstock.cluster import commands
    from penstock.cluster.watching import Since
    from penstock.local.view import view_for

    meant = target(name, access)
    where = options_of(meant.access)
    resume = f"penstock resume {meant.name}{where}"
    with view_for(sys.stdout, quiet=False, command=resume, where=where) as view:
        last = wait(interruptible(follow(commands.watch(meant, Since()), view), view, meant))
        if last is None:
            return 130
        view.finished(last.progress)
    return exit_code(last.progress)


async def interruptible(work: Coroutine[Any, Any, T], view: View, meant: Target) -> T | None:
    """What comes of the work; None when Ctrl-C ended it before. The job does not notice."""
    import asyncio

    from penstock.local.interrupts import interrupts

    with interrupts() as taken:
        try:
            return await work
        except asyncio.CancelledError:
            if not taken.happened:
                raise
    view.notice(detached(meant))
    return None


async def follow(looks: AsyncIterator[Look], view: View, *, strict: bool = False) -> Look:
    """Show look after look until the job has ended, and return the last. strict: raise InputError
    when the manifest as it stands is not what the job does."""
    from penstock.cluster.watching import mistakes

    said, latest = "", None
    async for latest in looks:
        if latest.refused and strict:
            raise mistakes(latest.refused)
        notice = latest.notice or latest.refused
        if notice and notice != said:
            view.notice(notice)
        said = notice
        if not latest.over:
            view.progress(latest.progress)
    assert latest is not None
    return latest


def detached(meant: Target) -> str:
    """What becomes of a job that nobody watches any more."""
    where = options_of(meant.access)
    return (
        f"{meant.name} goes on in the cluster.\n"
        f"  to watch it: penstock watch {meant.name}{where}\n"
        f"  to stop it:  penstock suspend {meant.name}{where}"
    )


def results(
    name: str, access: Access, *, output: Path | None, failed: bool, image: str | None
) -> int:
    """See `penstock results`; returns the number of rows."""
    from penstock.cluster import commands
    from penstock.export.write import stream_jsonl, write_rows

    if output is None:
        write = partial(stream_jsonl, stream=sys.stdout.buffer)
    else:
        warn = partial(typer.echo, err=True)
        write = partial(write_rows, path=output, format=None, warn=warn)
    return wait(commands.results(target(name, access), write=write, failed=failed, image=image))


def suspend(name: str, access: Access) -> None:
    """See `penstock suspend`."""
    from penstock.cluster import commands

    meant = target(name, access)
    wait(commands.suspend(meant))
    going_on = f"penstock resume {meant.name}{options_of(meant.access)}"
    typer.echo(f"{meant.name} is suspended. To go on: {going_on}")


def resume(name: str, access: Access) -> None:
    """See `penstock resume`."""
    from penstock.cluster import commands

    meant = target(name, access)
    wait(commands.resume(meant))
    watching = f"penstock watch {meant.name}{options_of(meant.access)}"
    typer.echo(f"{meant.name} goes on. To watch it: {watching}")


def delete(name: str, access: Access, *, results: bool, confirm: Callable[[str], object]) -> None:
    """See `penstock delete`. confirm: comes back when that may be deleted."""
    from penstock.cluster import commands

    meant = target(name, access)
    results = results or wait(commands.deletes_results(meant))
    gone = "its runs and the results that no other job shares"
    what = f"{meant.name}, {gone}" if results else f"{meant.name} and its runs"
    confirm(what)
    wait(commands.delete(meant, results=results))
    typer.echo(f"Deleted {what}.")
