"""The first items are tried on the processor's templates before anything is called.

A template that names a field which none of them has is a mistake in the manifest, not in the items.
One that only some items fail is left to those items: they end failed with that reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from penstock import jsons
from penstock.errors import InputError
from penstock.sources.items import Item
from penstock.spec.template import TemplateError
from penstock.work.types import Processor, WorkItem

SAMPLE = 100


def probed(items: Iterator[Item], processor: Processor) -> Iterator[Item]:
    """The same items. Raises InputError when the request can be built for none of the first 100."""
    first: TemplateError | None = None
    tried = 0
    hopeful = True
    for item in items:
        if hopeful and item.error is None:
            tried += 1
            try:
                processor.preview(_work_item(item))
                hopeful = False
            except TemplateError as error:
                first = first or error
                if tried == SAMPLE:
                    raise _mistake(first, tried) from error
        yield item
    if hopeful and first is not None:
        raise _mistake(first, tried) from first


def _mistake(error: TemplateError, tried: int) -> InputError:
    return InputError.at("spec.processor", f"{error} (so for each of the first {tried} items)")


def _work_item(item: Item) -> WorkItem:
    return WorkItem(
        position=item.position,
        item_id=item.item_id,
        fingerprint=item.content,
        item=jsons.loads(item.payload),
    )
