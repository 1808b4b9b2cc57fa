# /// script
# dependencies = ["fpdf2>=2.8"]
# ///
"""Makes the documents that document-conversion.yaml converts; the same text at every run.

    .venv/bin/python manifests/samples/data/make_documents.py [FOLDER]

writes documents/ and documents.csv, the list of them (default: beside this script): data sheets of
the parts of a small hydropower plant as PDF and as web pages, some longer than others. One PDF was
cut off while it was copied; the samples show what becomes of such a file. The text is free of any
licence.
"""

from __future__ import annotations

import csv
import html
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from fpdf import FPDF

BROKEN = "settling-basin.pdf"
WRITTEN = datetime(2025, 3, 1, tzinfo=UTC)

PARTS = {
    "intake": "takes water from the river without taking the river's gravel with it",
    "trash rack": "holds back branches, leaves and ice before they reach the machine",
    "settling basin": "slows the water until sand sinks to the floor",
    "headrace canal": "leads the water along the hillside with as little fall as possible",
    "spillway": "lets a flood pass beside the works, not over them",
    "forebay": "keeps a small store of calm water above the pipe",
    "head gate": "closes the way into the pipe, by its own weight when nothing else works",
    "penstock": "carries the water under pressure from the forebay to the turbine",
    "anchor block": "holds the pipe where it bends and the water pushes sideways",
    "expansion joint": "gives the pipe room to grow in the sun and shrink in the night",
    "surge tank": "takes up the blow when the valves below close in a hurry",
    "air valve": "lets air in before a vacuum folds the pipe",
    "drain valve": "empties the pipe so that people can work in it",
    "inlet valve": "shuts the turbine off from the pressure of the pipe",
    "nozzle": "turns pressure into a jet",
    "deflector": "bends the jet away from the wheel within a second",
    "Pelton wheel": "takes the energy out of a fast jet with a few litres of water",
    "Francis runner": "takes the energy out of much water under a middling head",
    "guide vanes": "steer the water onto the runner and measure out how much",
    "draft tube": "slows the water behind the runner and wins back part of its speed",
    "tailrace": "gives the water back to the river",
    "governor": "keeps the speed when the load comes and goes",
    "flywheel": "lends its momentum while the governor is still thinking",
    "generator": "turns rotation into current",
    "exciter": "feeds the field of the generator and holds the voltage",
    "transformer": "lifts the voltage for the journey",
    "switchgear": "connects the plant with the grid and parts them when either is unwell",
    "bearing": "carries the shaft on a film of oil thinner than a hair",
    "fish ladder": "leads fish around the weir in steps they can swim",
    "gauging weir": "tells how much water passes from how high it stands",
}
WORK = (
    "The {part} {purpose}.",
    "Water reaches the {part} at up to {speed} metres a second; below {least} it is left standing.",
    "At full flow the head loss over the {part} stays under {loss} per cent of the gross head.",
    "The {part} was laid out for {flow} litres a second and has taken {more} without harm.",
    "In winter the {part} is kept free by warm air, and when that fails, by people with poles.",
    "Nothing at the {part} needs electricity to come to a safe position.",
    "What the {part} does in a flood was tried on a wooden model, one to ten.",
)
CARE = (
    "Look at the {part} once a week, after every storm, and before the first frost.",
    "Every {months} months the {part} is opened, cleaned and measured for the log.",
    "A layer of paint {paint} micrometres thick lasts about ten years out of the sun.",
    "Bolts of the {part} are tightened crosswise to {torque} newton metres and marked with a line.",
    "Seals are changed in pairs, and the old ones are kept until the new ones have held for a day.",
    "Grease is given until the old grease comes out clean, not until the gun is empty.",
    "Whoever works at the {part} hangs a tag on the head gate; only the same person takes it off.",
)
FAULTS = (
    "A hum that comes and goes with the load means that air gets in above the {part}.",
    "When the {part} shakes at {least} metres a second and not above, a vane is bent.",
    "Rust in lines points to a strap that is too tight, rust in spots to a stone in the water.",
    "If the level falls faster than {loss} centimetres an hour with all gates shut, it leaks.",
    "Warm to the hand is well; too hot to touch for {least} seconds is a reason to stop.",
    "A sudden drop of {loss} per cent in output is a branch far more often than a broken part.",
    "Sand in the {part} tells of a flushing that was forgotten, seldom of a flood.",
)
FIGURES = (
    ("Design flow", "{flow} l/s"),
    ("Greatest flow", "{more} l/s"),
    ("Gross head", "{head} m"),
    ("Greatest pressure", "{pressure} bar"),
    ("Mass", "{mass} kg"),
    ("Steel", "S{steel}"),
    ("Paint", "{paint} micrometres"),
    ("Tightening torque", "{torque} Nm"),
    ("Next inspection in", "{months} months"),
)


@dataclass(frozen=True)
class Sheet:
    """One document. sections: a heading and its paragraphs; figures: name and value."""

    title: str
    sections: Sequence[tuple[str, Sequence[str]]]
    figures: Sequence[tuple[str, str]]


def sheets() -> dict[str, Sheet]:
    """All documents by file name; every third is a web page."""
    draws = Random(31)
    found = {}
    for number, (part, purpose) in enumerate(PARTS.items()):
        name = part.lower().replace(" ", "-") + (".html" if number % 3 == 0 else ".pdf")
        found[name] = _sheet(draws, part, purpose)
    return found


def make(folder: Path) -> None:
    """Write all of them and the list."""
    (folder / "documents").mkdir(exist_ok=True)
    found = sheets()
    for name, sheet in found.items():
        content = web_page(sheet) if name.endswith(".html") else pdf(sheet)
        if name == BROKEN:
            content = content[: len(content) // 2]
        (folder / "documents" / name).write_bytes(content)
    with (folder / "documents.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("name", "title"))
        rows.writerows((name, sheet.title) for name, sheet in found.items())


def pdf(sheet: Sheet) -> bytes:
    """A4, with compressed streams, a table and as many pages as it takes."""
    page = FPDF()
    page.set_creation_date(WRITTEN)
    page.set_title(sheet.title)
    page.add_page()
    page.set_font("Helvetica", "B", 18)
    page.multi_cell(0, 10, sheet.title, new_x="LMARGIN", new_y="NEXT")
    for heading, paragraphs in sheet.sections:
        page.set_font("Helvetica", "B", 13)
        page.multi_cell(0, 10, heading, new_x="LMARGIN", new_y="NEXT")
        page.set_font("Times", "", 11)
        for paragraph in paragraphs:
            page.multi_cell(0, 6, paragraph, new_x="LMARGIN", new_y="NEXT")
            page.ln(2)
    page.set_font("Helvetica", "", 10)
    with page.table(first_row_as_headings=False) as table:
        for row in sheet.figures:
            table.row(row)
    return bytes(page.output())


def web_page(sheet: Sheet) -> bytes:
    """A page with what surrounds the text on a site and does not belong to it."""
    title = html.escape(sheet.title)
    body = "\n".join(
        f"<h2>{html.escape(heading)}</h2>\n"
        + "\n".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs)
        for heading, paragraphs in sheet.sections
    )
    rows = "\n".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in sheet.figures)
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>body {{ max-width: 40em; margin: auto }}</style>
<script>document.documentElement.dataset.opened = new Date().toISOString()</script>
</head>
<body>
<nav><a href="/">All sheets</a> <a href="/search">Search</a></nav>
<main>
<h1>{title}</h1>
{body}
<table>
{rows}
</table>
</main>
<footer>Printed copies are not kept up to date.</footer>
</body>
</html>
"""
    return text.encode()


def _sheet(draws: Random, part: str, purpose: str) -> Sheet:
    values = {
        "part": part,
        "purpose": purpose,
        "speed": f"{draws.uniform(2, 6):.1f}",
        "least": f"{draws.uniform(0.3, 1.5):.1f}",
        "loss": str(draws.randint(2, 9)),
        "flow": str(draws.randrange(120, 900, 20)),
        "more": str(draws.randrange(900, 1400, 20)),
        "head": str(draws.randint(18, 240)),
        "pressure": f"{draws.uniform(2, 28):.1f}",
        "mass": str(draws.randrange(80, 6_000, 10)),
        "steel": str(draws.choice((235, 275, 355))),
        "paint": str(draws.randrange(160, 400, 20)),
        "torque": str(draws.randrange(40, 400, 10)),
        "months": str(draws.choice((3, 6, 12, 24))),
    }
    length = draws.choice((2, 2, 3, 4, 6, 12))  # a few are much longer than the others
    sections = []
    for heading, sentences in (("What it does", WORK), ("Care", CARE), ("Faults", FAULTS)):
        paragraphs = [
            " ".join(sentence.format(**values) for sentence in draws.sample(sentences[1:], 4))
            for _ in range(length)
        ]
        sections.append((heading, [sentences[0].format(**values), *paragraphs]))
    figures = [(name, value.format(**values)) for name, value in FIGURES]
    return Sheet(f"Data sheet: {part}", sections, figures)


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
