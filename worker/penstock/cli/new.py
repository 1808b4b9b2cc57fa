"""`init` and `validate`: from a data file to a manifest that can be run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.options import Manifest, Set, load_job, wait
from penstock.errors import InputError, Mistake

if TYPE_CHECKING:
    from penstock.sources.items import Item
    from penstock.spec.job import BatchJob
    from penstock.spec.source import Source

ROWS_LOOKED_AT = 100
"""Rows of the data that `init` makes a manifest from."""

MOST_MISTAKES = 10
MOST_READ = 100_000
"""Items that `validate` reads in search of bad records."""


def init(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="A jsonl, json, csv, parquet or xlsx file.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The manifest to write.")
    ] = Path("job.yaml"),
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the manifest if there is one.")
    ] = False,
) -> None:
    """Write a manifest to start from, made from the columns of a data file.

    penstock init products.csv
    penstock init suppliers.xlsx -o suppliers.yaml
    """
    from penstock import jsons
    from penstock.sources.items import read_items
    from penstock.spec.init import manifest_for
    from penstock.spec.source import FileSource, Source

    if output.exists() and not force:
        raise InputError.at(str(output), "exists already; name another with -o, or use --force")
    items = read_items(Source(file=FileSource(path=str(data))), Path())
    rows = [jsons.loads(item.payload) for item in islice(items, ROWS_LOOKED_AT)]
    objects = [row for row in rows if isinstance(row, dict)]
    columns = list(dict.fromkeys(name for row in objects for name in row))
    path = Path(os.path.relpath(data, output.parent))
    text = manifest_for(path, columns, objects[0] if objects else {})
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError.at(str(output), f"cannot be written: {error.strerror}") from None
    typer.echo(f"{output} written. Look it over, then try three items:")
    typer.echo(f"  penstock run {output} --preview 3")


def validate(manifest: Manifest, changes: Set = None) -> None:
    """Find every mistake in a manifest and its data, without starting anything.

    When there is none it says what a run would do. Makes no call, and needs
    neither a key nor a database.

        penstock validate job.yaml
        penstock validate job.yaml --set source.limit=10
    """
    from penstock.export.destination import destination
    from penstock.local.banner import concurrency_phrase, labelled, processor_phrase
    from penstock.local.driver import usual_workers
    from penstock.local.prepare import base
    from penstock.spec.secrets import api_key
    from penstock.work.functions.machine import cores

    job = load_job(manifest, changes)
    directory = base(manifest)
    warning = ""
    try:
        key = api_key(job.spec.processor, os.environ)
    except InputError as error:
        key, warning = None, str(error)
    mistakes: list[Mistake] = []
    items = ""
    try:
        items = wait(_read(job, directory, key))
    except InputError as error:
        mistakes += error.mistakes
    try:
        target = destination(job, directory)
        if target is not None:
            wait(target.check())
    except InputError as error:
        mistakes += [one for one in error.mistakes if one not in mistakes]
    if mistakes:
        raise InputError(mistakes)
    typer.echo(f"{manifest}: OK")
    typer.echo(labelled("source", f"{source_phrase(job.spec.source)}: {items}"))
    typer.echo(labelled("processor", processor_phrase(job.spec.processor)))
    calls = concurrency_phrase(job, usual_workers(job), cores())
    typer.echo(labelled("concurrency", calls))
    typer.echo(labelled("rate limit", limit_phrase(job)))
    typer.echo(labelled("output", output_phrase(job)))
    if warning:
        typer.echo(f"Before it can run: {warning}", err=True)


async def _read(job: BatchJob, directory: Path, key: str | None) -> str:
    """Read the source as plan would, up to MOST_READ items; how many there are, in words."""
    from penstock.export.destination import kept_there, with_planned_paths
    from penstock.local.figures import count
    from penstock.local.figures import items as in_words
    from penstock.plan.probe import probed
    from penstock.sources.drawn import apart
    from penstock.sources.items import check_source, read_items
    from penstock.work.functions.check import check_function
    from penstock.work.processors import build

    await check_function(job, directory)
    source = job.spec.source
    await apart(lambda: check_source(source, directory))
    processor = build(job, api_key=key)

    def counted() -> tuple[int, int, bool, Item | None]:
        number = bad = 0
        good: Item | None = None
        items = with_planned_paths(read_items(source, directory), job, directory)
        read = probed(items, processor)
        for item in _distinct(islice(read, MOST_READ), source.on_bad_record == "failItem"):
            number += 1
            bad += item.error is not None
            good = good or (item if item.error is None else None)
        return number, bad, next(read, None) is not None, good

    try:
        number, bad, more, good = await apart(counted)
    finally:
        await processor.aclose()
    if not number:
        raise InputError.at("spec.source", "no items: the source is empty, or `where` drops all")
    async with kept_there(job) as kept:
        if kept is not None and good is not None:
            await kept([(good.item_id, good.payload)])
    words = f"more than {in_words(number)}, looked no further" if more else in_words(number)
    return f"{words}, {count(bad)} of them cannot be read" if bad else words


def _distinct(items: Iterator[Item], tolerant: bool) -> Iterator[Item]:
    """The same items. Raises InputError at the end when IDs stand for several, unless tolerant."""
    from penstock.plan.planner import duplicate

    seen: dict[str, str] = {}
    mistakes: list[Mistake] = []
    for item in items:
        first = seen.setdefault(item.item_id, item.where)
        if first != item.where and not item.hashed_id and item.error is None:
            mistakes.append(duplicate(item.item_id, first, item.where))
        yield item
    if mistakes and not tolerant:
        raise InputError(mistakes[:MOST_MISTAKES])


def source_phrase(source: Source) -> str:
    """Where the items come from, in a few words."""
    if source.file is not None:
        return source.file.path
    if source.object_store is not None:
        return source.object_store.url
    kinds = ("inline", "config_map", "http", "postgres")
    return next(kind for kind in kinds if getattr(source, kind) is not None).replace("_", " ")


def limit_phrase(job: BatchJob) -> str:
    """What the manifest says of the provider's limits."""
    from penstock.local.figures import count

    limit = job.spec.rate_limit
    stated = [
        f"{count(round(number))} {name} a minute"
        for number, name in (
            (limit.requests_per_minute, "requests"),
            (limit.tokens_per_minute, "tokens"),
        )
        if number
    ]
    return ", ".join(stated) or "not stated: learned as it runs"


def output_phrase(job: BatchJob) -> str:
    """Where results end up."""
    output = job.spec.output
    if output is not None and output.postgres is not None:
        return f"table {output.postgres.table}"
    if output is not None:
        file, store = output.file, output.object_store
        parts = (file.path if file else "", store.url if store else "", output.per_item or "")
        return "/".join(part.rstrip("/") for part in parts if part)
    return f"kept in result set {job.result_set}: penstock results {job.name} -o FILE"
