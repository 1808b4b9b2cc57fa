"""`suspend`, `resume`, `delete` and `gc`: changing what the database holds of a job."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from penstock.cli import on_cluster
from penstock.cli.on_cluster import Context, Kubeconfig, Namespace, OnCluster, cluster_access
from penstock.cli.options import Database, DataDir, Name, Yes, can_ask, job_name, wait, where


def suspend(
    name: Name,
    database: Database = None,
    data_dir: DataDir = None,
    cluster: OnCluster = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Stop a running job in good order; what was done is kept.

    penstock suspend products
    penstock resume products
    """
    access = cluster_access(cluster, namespace, context, kubeconfig, database, data_dir)
    if access is not None:
        on_cluster.suspend(name, access)
        return
    from penstock.local import commands

    name = job_name(name)
    wait(commands.suspend(name, where(database, data_dir)))
    typer.echo(f"{name} is suspended. To go on: penstock resume {name}")


def resume(
    name: Name,
    database: Database = None,
    data_dir: DataDir = None,
    cluster: OnCluster = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let a suspended job go on: the next run of its manifest does. On a cluster it
    goes on at once, also when it was paused.

    penstock resume products
    penstock resume products --cluster
    """
    access = cluster_access(cluster, namespace, context, kubeconfig, database, data_dir)
    if access is not None:
        on_cluster.resume(name, access)
        return
    from penstock.local import commands

    name = job_name(name)
    wait(commands.resume(name, where(database, data_dir)))
    typer.echo(f"{name} may go on. Run it again: penstock run JOB.yaml, with its manifest")


def delete(
    name: Name,
    results: Annotated[
        bool, typer.Option("--results", help="Its results as well, for good.")
    ] = False,
    yes: Yes = False,
    database: Database = None,
    data_dir: DataDir = None,
    cluster: OnCluster = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Delete a job and its runs. Its results stay, unless --results is given or its
    manifest says deletionPolicy: Delete.

    penstock delete products
    penstock delete products --results --yes
    """
    access = cluster_access(cluster, namespace, context, kubeconfig, database, data_dir)
    if access is not None:
        on_cluster.delete(name, access, results=results, confirm=partial(_confirm, yes=yes))
        return
    from penstock.local import commands

    name, options = job_name(name), where(database, data_dir)
    results = results or wait(commands.deletes_results(name, options))
    what = f"{name}, its runs and all its results" if results else f"{name} and its runs"
    _confirm(what, yes=yes)
    wait(commands.delete(name, options, results=results))
    typer.echo(f"Deleted {what}.")


def _confirm(what: str, *, yes: bool) -> None:
    """Come back when that may be deleted; end the command when not."""
    from penstock.errors import InputError

    if not yes:
        if not can_ask():
            raise InputError.at("--yes", f"needed to delete {what} when nobody can be asked")
        if not typer.confirm(f"Delete {what}?"):
            typer.echo("Nothing was deleted.")
            raise typer.Exit(1)


def gc(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Such as 12h, 7d or 30d.")
    ] = "7d",
    database: Database = None,
    data_dir: DataDir = None,
) -> None:
    """Remove finished runs that newer ones replaced. Results stay.

    penstock gc --older-than 30d
    """
    from penstock.errors import InputError
    from penstock.local.figures import count, items
    from penstock.spec.types import parse_duration

    try:
        age = parse_duration(older_than)
    except ValueError as error:
        raise InputError.at("--older-than", str(error)) from None
    from penstock.local import commands

    report = wait(commands.gc(where(database, data_dir), older_than=age))
    typer.echo(
        f"Removed {count(report.runs)} run{'' if report.runs == 1 else 's'} "
        f"with {items(report.items)}."
    )
