"""The files around the code: pins, generated pages, what the wheel holds."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from tools import check_requirements, generate_docs

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "worker" / "penstock"
OPERATOR = ROOT / "operator" / "penstock_operator"


def test_pins_are_in_step_with_pyproject() -> None:
    assert check_requirements.main() == 0


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("rich==15.0.0 \\\n    --hash=sha256:ab\n", None),
        ("", "rich has no pin"),
        ("rich==14.0.0 \\\n    --hash=sha256:ab\n", "rich is pinned to 14.0.0, not >=15"),
        ("rich==15.0.0\n", "rich has no hash"),
        (
            "--index-url https://example.org/simple\nrich==15.0.0 \\\n    --hash=sha256:ab\n",
            "it holds the address of a package index",
        ),
    ],
)
def test_pins_that_fell_behind_are_named(text: str, mistake: str | None) -> None:
    assert check_requirements.mistakes(["rich>=15"], text) == ([mistake] if mistake else [])


def test_what_the_images_leave_out_is_in_none_of_their_files() -> None:
    text = "rich==15.0.0 \\\n    --hash=sha256:ab\n"
    found = check_requirements.mistakes(["rich>=15", "click>=8"], text, {"rich", "click"})
    assert found == ["rich has a pin and is to be left out"]


def test_generated_pages_are_in_step() -> None:
    behind = [path.name for path, text in generate_docs.pages().items() if path.read_text() != text]
    assert not behind, "run `make docs`"


def test_source_map_knows_every_room() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(generate_docs.ROOMS)


def test_every_module_says_why_it_exists() -> None:
    silent = [
        str(path)
        for package in (PACKAGE, OPERATOR)
        for path in package.rglob("*.py")
        if not generate_docs.opening(path)
    ]
    assert not silent


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken


def test_wheel_holds_what_runs_and_nothing_else(tmp_path: Path) -> None:
    wheel = next(
        iter(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))
    )
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        entry_points = next(n for n in archive.namelist() if n.endswith("entry_points.txt"))
        assert "penstock = penstock.cli.app:main" in archive.read(entry_points).decode()
    wanted = {
        path.relative_to(package.parent).as_posix()
        for package in (PACKAGE, OPERATOR)
        for suffix in ("*.py", "*.sql", "py.typed")
        for path in package.rglob(suffix)
    }
    assert any(name.endswith(".sql") for name in wanted)
    assert {"penstock/py.typed", "penstock_operator/py.typed"} <= wanted
    assert names == wanted
