"""`--preview N`: the first items tried for real, one call each, nothing stored."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from itertools import islice
from pathlib import Path

from penstock import jsons
from penstock.local.options import Options, PreviewRow
from penstock.local.prepare import base, effective
from penstock.rate.bounds import Bounds
from penstock.rate.member import Member
from penstock.sources.drawn import apart
from penstock.sources.items import Item, check_source, read_items
from penstock.spec.job import BatchJob, Price
from penstock.spec.secrets import api_key
from penstock.spec.template import TemplateError
from penstock.work.functions.check import check_function
from penstock.work.gate import Gate
from penstock.work.processors import build
from penstock.work.types import Output, Processor, WorkItem


async def preview(
    job: BatchJob, manifest: Path | None, options: Options, count: int
) -> list[PreviewRow]:
    """Make one call for each of the first `count` items. Raises InputError."""
    job = effective(job, options)
    directory = base(manifest)
    source = job.spec.source
    await apart(lambda: check_source(source, directory))
    processor = build(job, api_key=api_key(job.spec.processor, os.environ))
    await check_function(job, directory)
    try:
        items = await apart(lambda: list(islice(read_items(source, directory), count)))
        with _in_folder(directory) if job.spec.processor.python is not None else nullcontext():
            await processor.start(_open_gate(), lambda *_: None)
            return [await _try(processor, item, job.spec.price) for item in items]
    finally:
        await processor.aclose()


@contextmanager
def _in_folder(directory: Path) -> Iterator[None]:
    """Where functions find their modules and files; what they print, here or in processes, does not
    get into what the command says."""
    sys.stdout.flush()
    before, out = Path.cwd(), os.dup(1)
    os.chdir(directory)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(out, 1)
        os.close(out)
        os.chdir(before)


def _open_gate() -> Gate:
    """One call at a time, and nobody to share with."""
    member = Member(Bounds(1, 1), "preview")
    gate = Gate(member, time.monotonic, lambda: None)
    member.apply(time.monotonic(), None)
    return gate


async def _try(processor: Processor, item: Item, price: Price | None) -> PreviewRow:
    if item.error is not None:
        return PreviewRow(item.item_id, {}, None, item.error, 0.0, 0, 0, None)
    work = WorkItem(item.position, item.item_id, item.content, jsons.loads(item.payload))
    try:
        request = processor.preview(work)
    except TemplateError as error:
        return PreviewRow(item.item_id, {}, None, str(error), 0.0, 0, 0, None)
    started = time.monotonic()
    result = await processor.call([work])
    seconds = time.monotonic() - started
    end = result.results[0]
    answer = end.value if isinstance(end, Output) else None
    why = None if isinstance(end, Output) else end.told
    usage = result.usage
    cost = None if price is None else price.of(usage.prompt_tokens, usage.completion_tokens)
    return PreviewRow(
        item.item_id,
        request,
        answer,
        why,
        seconds,
        usage.prompt_tokens,
        usage.completion_tokens,
        cost,
    )
