"""`spec.output`: where results are written. Without it they stay in the result set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penstock.spec.source import SecretRef
from penstock.spec.types import Model

OutputFormat = Literal["jsonl", "csv", "xlsx", "parquet"]


class FileOutput(Model):
    """A file."""

    path: str = Field(
        min_length=1,
        description=(
            "Path of the file, relative to the manifest; on a cluster, on a volume. With `perItem` "
            "the folder of the files."
        ),
    )


class ObjectStoreOutput(Model):
    """An object store."""

    url: str = Field(
        min_length=1,
        description=(
            "Address of the object to write, `s3://bucket/results.parquet`; with `perItem` the "
            "prefix of the objects, `s3://bucket/results/`."
        ),
    )
    secret_ref: SecretRef | None = Field(
        default=None,
        description=(
            "Secret with the options of the store, such as AWS_ACCESS_KEY_ID; each key of it is "
            "one. Default: the environment's own."
        ),
    )


class PostgresOutput(Model):
    """A table in a PostgreSQL database."""

    table: str = Field(
        min_length=1, description='Table to write to, as in SQL: `movies`, `shop."Movies"`.'
    )
    key: str | None = Field(
        default=None,
        description=(
            "Column that identifies a row, with a unique index on it. It is filled from the item's "
            "field of that name, else from the item ID. Default: the primary key."
        ),
    )
    skip_where: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Condition on rows of the table, such as `embedding IS NOT NULL`: items whose row "
            "meets it are skipped, and the row is left alone. Not with `existing: force`."
        ),
    )
    secret_ref: SecretRef | None = Field(
        default=None,
        description=(
            "Secret with the address of the database, postgresql://…, under the key `url` or "
            "another one. On this machine a variable stands for it, for the name `shop` "
            "PENSTOCK_SECRET_SHOP_URL; without secretRef it is PENSTOCK_OUTPUT_DATABASE_URL."
        ),
    )


class Output(Model):
    """Where results are written: exactly one of file, objectStore or postgres, or perItem."""

    file: FileOutput | None = Field(default=None, description="Write a file.")
    object_store: ObjectStoreOutput | None = Field(
        default=None, description="Write to an object store."
    )
    postgres: PostgresOutput | None = Field(default=None, description="Write to a table.")
    format: OutputFormat | None = Field(
        default=None, description="How the results are written; default: by the file's suffix."
    )
    per_item: str | None = Field(
        default=None,
        description=(
            "Write one file an item instead, for each that has a result: a template of its path "
            "such as `out/{{ id }}.txt`, with `id`, `item`, `position` and `output`. Below "
            "`file.path`, the prefix `objectStore.url`, or the manifest's folder. A text is "
            "written as it is, anything else as JSON."
        ),
    )
