"""Every manifest, and every piece of one, in the pages for users is valid as it stands."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.spec.job import BatchJobSpec
from penstock.spec.load import parse
from penstock.spec.processor import OpenAIProcessor, Processor
from penstock.spec.source import Source
from penstock.spec.validate import SOURCES
from penstock.virtual import draw

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "quickstart.md"]
PAGES += sorted((ROOT / "docs" / "how-to").glob("*.md"))

VALUES = "# values.yaml\n"
"""The first line of an example that is for Helm; those of the chart are tried in tests/e2e."""

SOURCE: dict[str, Any] = {"inline": {"items": ["a"]}}
OPENAI: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "{{ item }}"}]}


def examples() -> Iterator[Any]:
    for page in PAGES:
        for match in re.finditer(
            r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE
        ):
            if match[1].startswith(VALUES):
                continue
            line = page.read_text().count("\n", 0, match.start()) + 2
            yield pytest.param(match[1], id=f"{page.name}:{line}")


def whole(piece: str) -> str:
    """The piece as a manifest, put where its fields belong."""
    fields = yaml.safe_load(piece)
    if "kind" in fields:
        return piece
    spec: dict[str, Any] = {"source": SOURCE, "processor": {"openai": OPENAI}}
    if "content" in fields:
        spec["processor"] = {"openai": OPENAI | {"messages": [{"role": "user"} | fields]}}
    elif fields.keys() <= _fields(BatchJobSpec):
        source = SOURCE | fields.get("source", {})
        if fields.get("source", {}).keys() & set(SOURCES):
            source = fields["source"]
        spec |= fields | {"source": source}
    elif fields.keys() <= _fields(Processor):
        spec["processor"] = fields
    elif fields.keys() <= _fields(Source):
        spec["source"] = SOURCE | fields
    elif fields.keys() <= _fields(OpenAIProcessor):
        spec["processor"] = {"openai": OPENAI | fields}
    else:
        pytest.fail(f"no place in a manifest has all of {sorted(fields)}")
    head = "apiVersion: penstock.dev/v1alpha1\nkind: BatchJob\nmetadata: {name: example}\nspec:\n"
    return head + textwrap.indent(yaml.safe_dump(spec), "  ")


@pytest.mark.parametrize("piece", list(examples()))
def test_example_is_valid(piece: str) -> None:
    if "provider" in yaml.safe_load(piece):  # a scenario for virtual time
        draw.parse(piece, "example.yaml")
    else:
        parse(whole(piece), "example.yaml")


def test_pages_have_examples() -> None:
    assert len(list(examples())) >= 20


def _fields(model: Any) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}
