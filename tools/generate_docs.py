"""Writes what follows from the code: the source map, the command-line reference and the CRD.

`make docs` runs it; tests/unit/test_generated_docs.py fails when a page is out of step.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "worker" / "penstock"
OPERATOR = ROOT / "operator" / "penstock_operator"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
CLI = ROOT / "docs" / "reference" / "cli.md"
CRD = ROOT / "manifests" / "crd.yaml"

# The rooms in the order data flows through them; a test holds this to the folders that exist.
ROOMS = [
    *("spec", "sources", "plan", "store", "work", "rate", "export", "pods"),
    *("local", "cluster", "cli", "simulate", "virtual"),
]

BEGIN = "<!-- source map: written by `make docs` -->"
END = "<!-- end of source map -->"


def opening(module: Path) -> str:
    """The first sentence of a module's docstring, on one line."""
    docstring = ast.get_docstring(ast.parse(module.read_text())) or ""
    paragraph = " ".join(docstring.split("\n\n", 1)[0].split())
    return re.split(r"(?<=\.) (?=[A-Z`])", paragraph, maxsplit=1)[0]


def source_map() -> str:
    """Markdown: the top modules of a package, then a heading a room with one line a module."""
    lines = ["### penstock", ""]
    lines += [_entry(module, PACKAGE) for module in _modules(PACKAGE)]
    for room in ROOMS:
        lines += _room(PACKAGE / room, PACKAGE, room)
    lines += ["", "### penstock_operator", "", opening(OPERATOR / "__init__.py"), ""]
    lines += [_entry(module, OPERATOR) for module in _modules(OPERATOR)]
    for inner in sorted(OPERATOR.glob("*/__init__.py")):
        lines += _room(inner.parent, OPERATOR, f"penstock_operator/{inner.parent.name}")
    return "\n".join(lines)


def _room(folder: Path, package: Path, heading: str) -> list[str]:
    lines = ["", f"### {heading}", "", opening(folder / "__init__.py"), ""]
    modules = sorted(path for path in folder.rglob("*.py") if path != folder / "__init__.py")
    return lines + [_entry(module, package) for module in modules]


def architecture() -> str:
    """docs/architecture.md with the present source map in it."""
    text = ARCHITECTURE.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{ARCHITECTURE} has lost the marks around its source map")
    return f"{before}{BEGIN}\n\n{source_map()}\n\n{END}{after}"


def cli_reference() -> str:
    """docs/reference/cli.md: every command with its arguments and options."""
    import typer.main

    from penstock.cli.app import app

    root: Any = typer.main.get_command(app)
    parts = [
        "# Command line",
        "Written by `make docs` from the commands themselves; `penstock COMMAND --help` says the"
        " same.",
    ]
    context = root.make_context("penstock", [], resilient_parsing=True)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        if not command.hidden:
            parts += _command(f"penstock {name}", command, context)
    return "\n\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    """What each generated page should hold."""
    from penstock_operator.crd.definition import crd_yaml

    return {ARCHITECTURE: architecture(), CLI: cli_reference(), CRD: crd_yaml()}


def _modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")


def _entry(module: Path, package: Path) -> str:
    return f"- `{module.relative_to(package).as_posix()}` – {opening(module)}"


def _command(name: str, command: Any, parent: Any) -> list[str]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    rows, arguments = [], []
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is None:  # hidden
            continue
        names, text = record
        if parameter.param_type_name == "argument":
            names = names.split(" <")[0]
            arguments.append(names)
        rows.append(f"| `{_cell(names)}` | {_cell(text)} |")
    usage = " ".join([name, *arguments, "[OPTIONS]"])
    parts = [f"## {name}", f"```\n{usage}\n```", _help(command)]
    if rows:
        parts.append("\n".join(["| option | does |", "|---|---|", *rows]))
    return parts


def _help(command: Any) -> str:
    """The help as Markdown: examples, which the help may have lost the indent of, as code."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(
        textwrap.indent(textwrap.dedent(paragraph), "    ")
        if all(line.lstrip().startswith("penstock ") for line in paragraph.splitlines())
        else paragraph
        for paragraph in paragraphs
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    """Write the pages."""
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
