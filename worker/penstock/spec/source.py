"""`spec.source`: where the items come from and how one input row becomes one item."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from penstock.spec.types import Count, Model

Format = Literal["jsonl", "json", "csv", "parquet", "xlsx", "files"]
OnBadRecord = Literal["refuse", "failItem"]

_WILD = re.compile(r"[*?\[]")


def has_wildcard(path: str) -> bool:
    """Whether there is anything in a path, or a key, that stands for more than itself."""
    return _WILD.search(path) is not None


class InlineSource(Model):
    """Items written in the manifest itself."""

    items: list[Any] = Field(description="The items, of any JSON type.")


class ConfigMapSource(Model):
    """Items in a ConfigMap of the job's namespace."""

    name: str = Field(min_length=1, description="On a cluster: name of the ConfigMap.")
    key: str = Field(min_length=1, description="On a cluster: key in it that holds the data.")


class FileSource(Model):
    """Items in one or several files."""

    path: str = Field(
        min_length=1,
        description=(
            "Path of the file, relative to the manifest; on a cluster, on a mounted volume. A "
            "pattern such as `parts/*.jsonl` reads all files it matches, ordered by name; with "
            "`format: files` also a folder, which means all files below it."
        ),
    )


class SecretRef(Model):
    """A Secret of the job's namespace."""

    name: str = Field(min_length=1, description="Name of the Secret.")
    key: str | None = Field(
        default=None, description="Key in it, where a single value is wanted; default: all of it."
    )


class ObjectStoreSource(Model):
    """Items in an object store."""

    url: str = Field(
        min_length=1,
        description=(
            "Address of the objects, for example `s3://bucket/parts/*.parquet`; `gs://…` and "
            "`az://container/…` as well. With `format: files` also a prefix, which means all "
            "objects below it."
        ),
    )
    secret_ref: SecretRef | None = Field(
        default=None,
        description=(
            "Secret with the options of the store, such as AWS_ACCESS_KEY_ID; each key of it is "
            "one. Default: the environment's own."
        ),
    )


class HttpSource(Model):
    """Items that an HTTP server hands out page by page."""

    url: str = Field(min_length=1, description="Address of the first page.")
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="Headers to send with every request, to the server of `url` and no other.",
    )
    items_path: str | None = Field(
        default=None,
        description="JMESPath of the list of items in an answer; default: the answer itself.",
    )
    next_path: str | None = Field(
        default=None,
        description=(
            "JMESPath of the next page's address in an answer, relative to this one's or whole; "
            "nothing there ends the reading. Default: the `Link` header with rel=next."
        ),
    )


class PostgresSource(Model):
    """Items from a query to a PostgreSQL database."""

    query: str = Field(
        min_length=1,
        description="SELECT whose rows are the items; it runs in a read-only transaction.",
    )
    secret_ref: SecretRef | None = Field(
        default=None,
        description=(
            "Secret with the address of the database, postgresql://…, under the key `url` or "
            "another one. On this machine a variable stands for it, for the name `shop` "
            "PENSTOCK_SECRET_SHOP_URL; without secretRef it is PENSTOCK_SOURCE_DATABASE_URL."
        ),
    )


class CsvOptions(Model):
    """How a CSV file is written."""

    delimiter: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="The character between columns; default: found out from the first line.",
    )
    encoding: str = Field(
        default="utf-8", description="Encoding of the text, for example `utf-8` or `cp1252`."
    )


class XlsxOptions(Model):
    """Which part of an Excel file is read."""

    sheet: str | None = Field(default=None, description="Name of the sheet; default: the first.")


def _names(value: Any) -> Any:
    texts = value if isinstance(value, list) else [value]
    if value is None or (texts and all(isinstance(text, str) and text.strip() for text in texts)):
        return value
    raise ValueError("wanted the name of a field, or a list of names")


IdField = Annotated[str | list[str], BeforeValidator(_names)]


class Source(Model):
    """Where the items come from: exactly one of inline, configMap, file, objectStore, http or
    postgres; and how a row of it becomes an item."""

    inline: InlineSource | None = Field(
        default=None, description="Items written in the manifest itself."
    )
    config_map: ConfigMapSource | None = Field(default=None, description="Items in a ConfigMap.")
    file: FileSource | None = Field(default=None, description="Items in one or several files.")
    object_store: ObjectStoreSource | None = Field(
        default=None, description="Items in an object store."
    )
    http: HttpSource | None = Field(
        default=None, description="Items that an HTTP server hands out page by page."
    )
    postgres: PostgresSource | None = Field(
        default=None, description="Items from a query to a PostgreSQL database."
    )

    format: Format | None = Field(
        default=None,
        description=(
            "How the data is written; default: by the suffix of the file. With `files` each "
            "matched file is one item, `{path, size, modified}`; its path is its ID."
        ),
    )
    csv: CsvOptions = Field(default=CsvOptions(), description="How a CSV file is written.")
    xlsx: XlsxOptions = Field(
        default=XlsxOptions(), description="Which part of an Excel file is read."
    )
    id_field: IdField | None = Field(
        default=None,
        description=(
            "The field that identifies an item, or a list of fields of which the first that is "
            "not empty counts; `_position` stands for the place in the input. Default: a hash of "
            "the content. Results are kept, and skipped, by this ID."
        ),
    )
    where: str | None = Field(
        default=None,
        description=(
            "Expression that an item has to meet to be worked on, for example "
            "`item.tag == 'Televisions'`."
        ),
    )
    on_bad_record: OnBadRecord = Field(
        default="refuse",
        description=(
            "What to do with a row that cannot be read: `refuse` the whole input, naming its "
            "line, or `failItem`: it keeps its place and fails with the reason."
        ),
    )
    limit: Count | None = Field(
        default=None,
        description=(
            "Take only so many items from the start of the input, for trying things out. Rows that "
            "`where` drops do not count; items that were done before do."
        ),
    )
