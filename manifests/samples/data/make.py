"""Makes the products and suppliers that the samples work on; the same files at every run.

    .venv/bin/python manifests/samples/data/make.py [FOLDER]

writes products.csv, products.xlsx and suppliers.xlsx (default: beside this script). Brands,
companies and people are made up. movies.jsonl is not made here: it was written by hand.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from random import Random

import xlsxwriter

TELEVISIONS = 201
OTHERS = 39
SUPPLIERS = 400

BRANDS = (
    "Aurelio",
    "Brightmoor",
    "Cassowary",
    "Halvard",
    "Kitewell",
    "Lumora",
    "Northlake",
    "Sonda",
)
PANELS = {
    "OLED": "Every pixel makes its own light, so black is black even in a dark room",
    "QLED": "A layer of quantum dots keeps colours full at high brightness",
    "Mini-LED": "Thousands of tiny lamps in {zones} zones brighten and dim on their own",
    "LED": "Even edge lighting keeps the picture clear and the cabinet slim",
}
RESOLUTIONS = {
    "HD": "1,366 x 768",
    "Full HD": "1,920 x 1,080",
    "4K": "3,840 x 2,160",
    "8K": "7,680 x 4,320",
}
SYSTEMS = ("Android TV", "Google TV", "webOS", "Tizen", "Roku TV", "Fire TV")
SIZES = (24, 32, 40, 43, 50, 55, 65, 75, 85)
COLOURS = ("black", "silver", "white", "graphite")
HDR = ("HDR10", "HDR10+", "Dolby Vision", "HLG")
REFRESH = (50, 60, 100, 120, 144)
EXTRAS = (
    "A voice remote is in the box.",
    "The stand turns 20 degrees to each side.",
    "Two people can listen over Bluetooth at the same time.",
    "Game mode cuts the delay between button and picture to under 10 ms.",
    "The back is finished like the front, so it may stand free in the room.",
    "A light sensor follows the room through the day.",
    "Wall mounts of the usual hole pattern fit; the screws are included.",
    "Recording to a USB disk works for free-to-air channels.",
)
OTHER_PRODUCTS = {
    "Soundbars": "A slim bar with {n} speakers that goes below the screen and fills the room.",
    "Headphones": "Closed headphones that last {n} hours on a charge.",
    "Projectors": "A short-throw projector for pictures of up to {n} inches.",
    "Accessories": "A braided HDMI cable of {n} metres.",
}
PRODUCT_COLUMNS = ("sku", "title", "vendor", "tag", "price", "description", "variants")

FIRST = (
    "Ateliers",
    "Boulangerie",
    "Cartonnages",
    "Distribution",
    "Entrepôts",
    "Fonderie",
    "Garage",
    "Imprimerie",
    "Laiterie",
    "Menuiserie",
    "Optique",
    "Pépinières",
    "Transports",
    "Verrerie",
)
SECOND = (
    "Aubrac",
    "Belcourt",
    "Chanteclair",
    "Delvaux",
    "Estienne",
    "Fleurigny",
    "Grandval",
    "Hautecombe",
    "Islemont",
    "Jolivert",
    "Kermadec",
    "Lassagne",
    "Montrésor",
    "Noirpré",
)
FORMS = ("SARL", "SAS", "SA", "EURL", "& Fils")
STREETS = (
    "rue des Tanneurs",
    "avenue du Viaduc",
    "place de l'Église",
    "chemin des Vignes",
    "quai du Moulin",
    "impasse du Four",
    "boulevard de la Gare",
)
TOWNS = {
    "01000": "Bourg-en-Bresse",
    "06300": "Nice",
    "13002": "Marseille",
    "29200": "Brest",
    "31000": "Toulouse",
    "44000": "Nantes",
    "59800": "Lille",
    "67000": "Strasbourg",
    "69003": "Lyon",
}
SUPPLIER_COLUMNS = (
    "Auxiliaire",
    "Code tiers",
    "Raison sociale",
    "Adresse",
    "Code postal",
    "Ville",
    "SIRET",
    "Encours",
)

Row = tuple[str | int | float | None, ...]


def products(rng: Random) -> list[Row]:
    """Televisions and, spread between them, other things a shop sells."""
    kinds = ["Televisions"] * TELEVISIONS + [
        list(OTHER_PRODUCTS)[number % len(OTHER_PRODUCTS)] for number in range(OTHERS)
    ]
    rng.shuffle(kinds)
    return [
        _television(number, rng) if kind == "Televisions" else _other(number, kind, rng)
        for number, kind in enumerate(kinds, 1)
    ]


def suppliers(rng: Random) -> list[Row]:
    """Supplier accounts as an accounting program exports them: text codes, some missing."""
    rows: list[Row] = []
    for number in range(1, SUPPLIERS + 1):
        # Most have an account, some only a code, and a few neither; zeros in front matter.
        account = f"{number * 3:05}" if number % 8 else None
        code = f"F{number:06}" if number % 40 else None
        postcode = rng.choice(list(TOWNS))
        name = f"{rng.choice(FIRST)} {rng.choice(SECOND)} {rng.choice(FORMS)}"
        if rng.random() < 0.15:
            name = name.upper()
        rows.append(
            (
                account,
                code,
                name,
                f"{rng.randint(1, 180)} {rng.choice(STREETS)}",
                postcode,
                TOWNS[postcode],
                f"{rng.randrange(10**13, 10**14)}",
                round(rng.uniform(0, 90_000), 2),
            )
        )
    return rows


def _television(number: int, rng: Random) -> Row:
    brand, panel = rng.choice(BRANDS), rng.choice(list(PANELS))
    sizes = sorted(rng.sample(SIZES, rng.randint(1, 4)))
    resolution = "HD" if sizes[-1] <= 32 else rng.choice(["Full HD", "4K", "4K", "4K", "8K"])
    model = f"{rng.choice('ACEGQSUX')}{rng.randint(1, 9)}{rng.randint(10, 99)}"
    price = 90 + sizes[0] * rng.randint(5, 22)
    variants: list[dict[str, str | int | float]] = [
        {
            "sku": f"TV-{number:04}-{size}",
            "size_inches": size,
            "colour": rng.choice(COLOURS),
            "price": float(f"{price * (size / sizes[0]) ** 1.6:.0f}") - 0.01,
            "stock": rng.randint(0, 80),
        }
        for size in sizes
    ]
    hdr = rng.sample(HDR, rng.randint(0, 3))
    pixels = f"{resolution} with {RESOLUTIONS[resolution]} pixels"
    sentences = [
        f"The {brand} {model} is a television for those who look at the film, not at the set.",
        PANELS[panel].format(zones=rng.randint(3, 20) * 96) + f" ({panel}).",
        f"The resolution is {pixels}, at {rng.choice(REFRESH)} Hz.",
        f"It understands {' and '.join(hdr)}."
        if hdr
        else "It shows films in standard dynamic range.",
        f"Apps run on {rng.choice(SYSTEMS)}, which gets updates for {rng.randint(3, 7)} years.",
        f"On the back are {rng.randint(2, 4)} HDMI and {rng.randint(1, 3)} USB sockets, "
        f"an aerial socket and a network port.",
        f"The speakers give {rng.randint(1, 6) * 10} watts.",
        *rng.sample(EXTRAS, rng.randint(2, 5)),
        f"It comes in {len(sizes)} size{'s' if len(sizes) > 1 else ''}, "
        f'from {sizes[0]}" up: see the variants.',
    ]
    title = f"{brand} {model} {panel} TV"
    description = " ".join(sentences)
    return (
        f"TV-{number:04}",
        title,
        brand,
        "Televisions",
        float(variants[0]["price"]),
        description,
        json.dumps(variants),
    )


def _other(number: int, tag: str, rng: Random) -> Row:
    brand, size = rng.choice(BRANDS), rng.randint(2, 90)
    sku, price = f"{tag[:2].upper()}-{number:04}", rng.randint(9, 900) - 0.01
    variants = [{"sku": f"{sku}-1", "colour": rng.choice(COLOURS), "price": price}]
    title = f"{brand} {tag.removesuffix('s')} {size}"
    text = OTHER_PRODUCTS[tag].format(n=size)
    return (sku, title, brand, tag, price, text, json.dumps(variants))


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """A header row and the rows; RFC 4180 with plain line ends."""
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def write_xlsx(path: Path, sheet: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """One sheet; text is written as text, whatever it looks like."""
    with xlsxwriter.Workbook(path) as book:
        book.set_properties({"created": datetime(2024, 1, 1)})  # else no two runs are the same
        page = book.add_worksheet(sheet)
        page.freeze_panes(1, 0)
        for line, row in enumerate([columns, *rows]):
            for place, value in enumerate(row):
                if isinstance(value, str):
                    page.write_string(line, place, value)
                elif value is not None:
                    page.write_number(line, place, value)


def make(folder: Path) -> None:
    """Write all files into a folder."""
    rows = products(Random(201))
    write_csv(folder / "products.csv", PRODUCT_COLUMNS, rows)
    write_xlsx(folder / "products.xlsx", "Products", PRODUCT_COLUMNS, rows)
    write_xlsx(folder / "suppliers.xlsx", "Fournisseurs", SUPPLIER_COLUMNS, suppliers(Random(400)))


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
