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
        description="Path of the file, relative to the manifest; on a cluster, on a volume.",
    )


class ObjectStoreOutput(Model):
    """An object store."""

    url: str = Field(min_length=1, description="Address of the object or prefix to write to.")
    secret_ref: SecretRef | None = Field(
        default=None, description="Secret with the credentials of the store."
    )


class PostgresOutput(Model):
    """A table in a PostgreSQL database."""

    table: str = Field(min_length=1, description="Table to write to.")
    key: str | None = Field(default=None, description="Column that identifies a row.")
    skip_where: str | None = Field(
        default=None, description="Condition on rows of the table whose items are not run."
    )
    secret_ref: SecretRef | None = Field(
        default=None, description="Secret with the address of the database."
    )


class Output(Model):
    """Where results are written: exactly one of file, objectStore or postgres."""

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
        description="Write one file an item: a template of its path, `out/{{ id }}.txt`.",
    )
