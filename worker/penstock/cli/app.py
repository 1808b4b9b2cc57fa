"""`penstock`: the commands put together, and what becomes of errors that they raise.

Importing this costs little: engine, database and drawing are imported by the command that needs
them, when it needs them.
"""

from __future__ import annotations

import io
import os
import select
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from penstock import __version__
from penstock.cli import change, failures, look, new, run, submit, work
from penstock.cli.help import HelpfulCommand, write_commands, write_parameters, write_text
from penstock.cli.on_cluster import is_plugin


def simulate() -> None:
    """Be a provider that throttles, fails and stalls as told."""


class Commands(TyperGroup):
    """Runs a command and ends with the exit code that its outcome or its error calls for.

    `simulate` is imported when it is asked for: the list of commands needs one line of it.
    """

    _listing = False

    def format_help_text(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """What Penstock is for."""
        write_text(self.help, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The commands, then the few options without one."""
        self._listing = True
        try:
            write_commands(self, ctx, formatter)
        finally:
            self._listing = False
        write_parameters(self, ctx, formatter)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, None if there is none."""
        if cmd_name != "simulate" or self._listing:
            return super().get_command(ctx, cmd_name)
        from penstock.cli.simulate import simulate as command

        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command("simulate", cls=HelpfulCommand)(command)
        return typer.main.get_command(alone)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        failures.about("")
        try:
            return super().invoke(ctx)
        except Exception as error:
            # Typer's own exceptions know how to show themselves and what to end with.
            if isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "format_message"):
                raise
            if isinstance(error, BrokenPipeError) and _reader_gone():
                raise typer.Exit(0) from None
            raise typer.Exit(failures.report(error)) from error
        finally:
            _reader_gone()


def _reader_gone() -> bool:
    """Whether whoever read stdout (`| head`) has left; then nothing more is written there."""
    try:
        sys.stdout.flush()
        # After a write that failed a flush may find nothing left to do, so the pipe is asked too.
        pipe = select.poll()
        pipe.register(sys.stdout, 0)
        gone = any(state & (select.POLLERR | select.POLLHUP) for _, state in pipe.poll(0))
    except BrokenPipeError:
        gone = True
    except (OSError, ValueError):
        return False  # no stdout that could be asked: closed, or captured in memory
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return gone


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"penstock {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="penstock",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def penstock(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which version."),
    ] = False,
) -> None:
    """Run a list of items through an API that pushes back, as fast as it allows and
    no faster.

    Start with a data file, look at the manifest, try three items, run:

        penstock init products.csv -o job.yaml
        penstock run job.yaml --preview 3
        penstock run job.yaml
        penstock results products -o products.xlsx

    The same file on Kubernetes: penstock submit job.yaml. The other commands are about
    a cluster with --cluster, or one of -n, --context and --kubeconfig; as a plugin
    (kubectl penstock status) they always are.

    What is done stays done: the same command goes on after an interruption, and
    later runs only what is new, changed or failed before.

    Exit codes: 0 complete, 3 complete with failed items, 1 failed, 2 bad input
    (nothing started), 4 paused (budget, quota, key), 130 interrupted.
    """


for heading, commands in {
    "Run": (new.init, new.validate, run.run, submit.submit, run.redrive),
    "Look": (look.status, look.watch, look.results),
    "Change": (change.suspend, change.resume, change.delete, change.gc),
    "More": (simulate, work.plan, work.work, work.export, work.rows),
}.items():
    for command in commands:
        app.command(rich_help_panel=heading, cls=HelpfulCommand)(command)


def main() -> None:
    """The entry point. Ends the process."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a character gets it escaped, not a crash in the middle of a run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="kubectl penstock" if is_plugin() else "penstock")
    finally:
        # How it ends is decided. Ctrl-C while the interpreter shuts down would make it another end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
