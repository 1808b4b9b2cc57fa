"""Whether the results of a job can have a place in a table at all, asked before they are paid for.

Only what is certain is refused: what items hold is told by the first of them, what answers hold by
the schema that they are asked to keep to. Pure.
"""

from __future__ import annotations

from typing import Any

from penstock.errors import InputError
from penstock.export.cells import FIXED
from penstock.export.table import FIELD, Table
from penstock.spec.json_schema import schema_of
from penstock.spec.processor import OllamaProcessor, OpenAIProcessor, Processor


def check_place(processor: Processor, table: Table) -> None:
    """Refuse a table that has no column for anything of an answer. Raises InputError."""
    named = _outputs(processor)
    if named is None or "output" in table.columns or named & table.columns.keys():
        return
    if named == {"embedding"}:
        told = "add a column embedding, a vector of pgvector or real[]: ALTER TABLE"
        told = f"{told} {table.name} ADD COLUMN embedding real[]"
    else:
        listed = ", ".join(sorted(named - {"output"})) or "output"
        told = f"name one like a key of the answer ({listed}), or ALTER TABLE {table.name}"
        told = f"{told} ADD COLUMN output jsonb"
    message = f"{table.name} has no column that results could go to: {told}"
    raise InputError.at(f"{FIELD}.table", message)


def check_musts(processor: Processor, table: Table, first: Any) -> None:
    """Refuse an empty table with a column that every row must have and nothing fills. first: an
    item. Raises InputError."""
    named = _outputs(processor)
    if named is None:
        return
    filled = {table.key.name, *FIXED, "item", *named, *(first if isinstance(first, dict) else ())}
    missing = [column.name for column in table.columns.values() if column.must]
    missing = [name for name in missing if name not in filled]
    if missing:
        raise InputError.at(
            f"{FIELD}.table",
            f"every row of {table.name} must have a value in {', '.join(missing)}, and neither the"
            " items nor the answers do: give the column a default, or let it be NULL",
        )


def no_key(table: Table, item_id: str, text: str | None) -> InputError:
    """That no row can have this text as its key. item_id: the item whose it is."""
    name, kind = table.key.name, table.key.cast
    return InputError.at(
        f"{FIELD}.key",
        f"the column {name} of {table.name} is {kind}, which {text!r} of the item {item_id!r} is"
        f" not: give every item a field {name}, or name such a field as spec.source.idField",
    )


def _outputs(processor: Processor) -> set[str] | None:
    """The names that results go by; None when only the answers tell."""
    called: OpenAIProcessor | OllamaProcessor | None = processor.openai or processor.ollama
    if called is None:
        return None
    embeds = isinstance(called, OllamaProcessor) and called.operation is None and called.input
    if called.operation == "embeddings" or embeds:
        return {"embedding"}
    if called.response_format is None:
        return {"output"}
    schema = schema_of(called.response_format)
    properties = schema.get("properties") if schema is not None else None
    return set(properties) | {"output"} if isinstance(properties, dict) else None
