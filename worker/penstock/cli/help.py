"""`--help` as plain text: descriptions and examples as they were written, options in groups.

Typer's own pages drawn with rich take longer to import than everything else together; these come
at once, and read the same in a pipe.
"""

from __future__ import annotations

import inspect
from typing import Any

from typer.core import TyperCommand

OTHERS = "Options"
"""Where options stand that name no group."""


class HelpfulCommand(TyperCommand):
    """A command with such a page. (What typer hands over has no public types, hence Any.)"""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """What it does, with examples."""
        write_text(self.help, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments and options."""
        write_parameters(self, ctx, formatter)


def write_text(text: str | None, formatter: Any) -> None:
    """A docstring, line by line as it stands."""
    formatter.write("\n")
    for line in inspect.cleandoc(text or "").splitlines():
        formatter.write(f"  {line}".rstrip() + "\n")


def write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    """Arguments first, then the options, each under the heading of its `rich_help_panel`."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            if parameter.param_type_name == "argument":
                heading = "Arguments"
                record = (parameter.metavar or record[0], parameter.help or "")
            else:
                heading = parameter.rich_help_panel or OTHERS
            groups.setdefault(heading, []).append(record)
    last = groups.pop(OTHERS, [])
    for heading, records in (*groups.items(), (OTHERS, last)):
        if records:
            with formatter.section(heading):
                formatter.write_dl(records)


def write_commands(group: Any, ctx: Any, formatter: Any) -> None:
    """The commands with the first sentence of each, under the headings of their panels."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if not command.hidden:
            first = inspect.cleandoc(command.help or "").split("\n\n")[0].replace("\n", " ")
            groups.setdefault(command.rich_help_panel or "Commands", []).append((name, first))
    for heading, records in groups.items():
        with formatter.section(heading):
            formatter.write_dl(records)
