"""`penstock plan`, `work`, `export`, `rows`: what runs in pods, and local workers too."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from penstock import signals
from penstock.cli.options import wait

EXIT_CRASHED, EXIT_STOPPED = 70, 130
NEEDED = ("PENSTOCK_DATABASE_URL", "PENSTOCK_RUN")


def work() -> None:
    """Work on a run until it is finished: what worker pods are started with.

    The environment tells it everything: PENSTOCK_DATABASE_URL, PENSTOCK_RUN,
    PENSTOCK_SLOT (default: JOB_COMPLETION_INDEX), PENSTOCK_WORKERS (default 1)
    and PENSTOCK_LOG (a file; default: stderr). With PENSTOCK_PARENT set, the same
    is read as one line of JSON from standard input, whose end ends the worker.

    Exit codes: 0 the run has no unfinished item, 1 error, 2 bad input,
    130 stopped with work left.
    """
    if os.environ.get("PENSTOCK_PARENT"):
        _leave_to_the_driver()
    # Nothing here uses the first two: loaded now, while a local driver still plans, they do not
    # hold up the first calls.
    import aiohttp  # noqa: F401

    import penstock.work.processors.http  # noqa: F401
    from penstock.local import logfile
    from penstock.pods.code import unpack_code
    from penstock.work.main import work_main

    unpack_code(os.environ)
    environ = {**os.environ, **_told()}
    _need(environ, *NEEDED)
    slot = environ.get("PENSTOCK_SLOT") or environ.get("JOB_COMPLETION_INDEX") or "0"
    log = environ.get("PENSTOCK_LOG")
    logfile.configure(Path(log) if log else None, f"worker {slot}")
    try:
        code = wait(work_main(environ))
    except (SystemExit, KeyboardInterrupt) as error:
        # Only code of others asks for that here. It must not look as if all were done, or drained.
        logging.getLogger(__name__).exception("ended from inside: %r", error)
        code = EXIT_CRASHED
    raise typer.Exit(code)


def plan() -> None:
    """Read the items of a run into the database: what the plan pod is started with.

    The environment tells it everything: PENSTOCK_DATABASE_URL, PENSTOCK_RUN,
    PENSTOCK_WORKERS (worker slots, default 1) and, for a ConfigMap, PENSTOCK_SOURCE
    (the file it is mounted as). Paths are relative to the working directory.

    Exit codes: 0 planned, 1 error, 2 bad input, 130 stopped.
    """
    from penstock.errors import AlreadyRunning, ServerAway
    from penstock.pods.code import unpack_code
    from penstock.pods.plan import plan_main

    unpack_code(os.environ)
    try:
        wait(plan_main(_pod("plan")))
    except (AlreadyRunning, ServerAway) as error:
        # Shut out by the pod in its place, or nothing is wrong that the next pod could not find
        # right. It must not end like bad input, which ends the Job.
        logging.getLogger(__name__).warning("%s", error)
        raise typer.Exit(1) from error


def export() -> None:
    """Write the results of a run: what the export pod is started with.

    The environment tells it everything: PENSTOCK_DATABASE_URL and PENSTOCK_RUN.
    Paths are relative to the working directory.

    Exit codes: 0 written, 1 error, 2 bad input, 130 stopped.
    """
    from penstock.pods.export import export_main

    wait(export_main(_pod("export")))


def rows(
    name: Annotated[
        str,
        typer.Argument(metavar="NAMESPACE/NAME", help="The job.", show_default=False),
    ],
    failed: Annotated[bool, typer.Option("--failed", help="Only the failed items.")] = False,
) -> None:
    """Write the rows of a job as JSON: what `results` of a cluster reads in a pod.

    The environment tells where they are: PENSTOCK_DATABASE_URL.
    """
    from penstock.pods.rows import rows_main

    environ = _pod("rows", "PENSTOCK_DATABASE_URL")
    wait(rows_main(environ, name, sys.stdout.buffer, failed=failed))


def _pod(role: str, *needed: str) -> dict[str, str]:
    """The environment of a pod, with what it needs in it and its log on stderr."""
    from penstock.local import logfile

    environ = dict(os.environ)
    _need(environ, *(needed or NEEDED))
    # The first process of a container dies of no signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_STOPPED))
    logfile.configure(None, role)
    return environ


def _need(environ: Mapping[str, str], *names: str) -> None:
    from penstock.errors import InputError, Mistake

    missing = [
        Mistake(name, "this environment variable is not set")
        for name in names
        if not environ.get(name)
    ]
    if missing:
        raise InputError(missing)


def _leave_to_the_driver() -> None:
    """What the terminal sends to the driver as well, which decides. It held these signals back
    while this process started; ignored, they do not stay so for what this process may start."""
    for number in signals.FROM_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    signals.let_through()


def _told() -> dict[str, str]:
    """What a local driver says; empty for a pod. Ends the process when the driver is gone."""
    if not os.environ.get("PENSTOCK_PARENT"):
        return {}
    from penstock import jsons

    line = sys.stdin.buffer.readline()
    if not line:
        raise typer.Exit(130)
    return dict(jsons.loads(line))
