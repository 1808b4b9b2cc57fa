"""The samples as they lie there: valid, readable, and the data what the script makes."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from penstock.sources.items import Item, check_source, read_items
from penstock.spec.load import load
from penstock.spec.source import Source

SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"
ITEMS = {
    "document-conversion": 30,
    "document-conversion-hybrid": 30,
    "embeddings-in-process": 100,
    "movie-embeddings": 100,
    "movie-embeddings-openai": 100,
    "product-metafields": 201,
    "product-metafields-batch": 201,
    "supplier-matching": 400,
}


def items_of(path: Path, **options: object) -> list[Item]:
    source = Source.model_validate({"file": {"path": path.name}, **options})
    return list(read_items(source, path.parent))


@pytest.mark.parametrize(("name", "count"), ITEMS.items())
def test_every_item_of_a_sample_has_its_own_id(name: str, count: int) -> None:
    job = load(SAMPLES / f"{name}.yaml")
    assert job.name == name
    check_source(job.spec.source, SAMPLES)
    assert len({item.item_id for item in read_items(job.spec.source, SAMPLES)}) == count


def test_every_manifest_there_is_a_valid_job() -> None:
    found = {path.stem for path in SAMPLES.glob("*.yaml")}
    assert found >= ITEMS.keys()
    for name in found:
        load(SAMPLES / f"{name}.yaml")


def test_products_are_the_same_in_csv_and_excel() -> None:
    ids = {
        suffix: [
            item.item_id for item in items_of(SAMPLES / f"data/products.{suffix}", idField="sku")
        ]
        for suffix in ("csv", "xlsx")
    }
    assert ids["csv"] == ids["xlsx"]
    assert len(ids["csv"]) == 240


def test_supplier_codes_are_text_with_their_zeros() -> None:
    job = load(SAMPLES / "supplier-matching.yaml")
    ids = [item.item_id for item in read_items(job.spec.source, SAMPLES)]
    assert "00123" in ids
    assert "F000008" in ids  # no account: the code
    assert "39" in ids  # neither: the position


def test_the_script_makes_the_data_that_lies_there(tmp_path: Path) -> None:
    runpy.run_path(str(SAMPLES / "data/make.py"))["make"](tmp_path)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["products.csv", "products.xlsx", "suppliers.xlsx"]
    for name in made:
        assert items_of(tmp_path / name) == items_of(SAMPLES / "data" / name)
