"""`penstock run --preview N`: a few items tried out, and what the whole job would come to."""

from __future__ import annotations

import json as pretty
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.local.options import Options, PreviewRow
    from penstock.spec.job import BatchJob

MOST_COUNTED = 1_000_000
"""Items are counted up to here; an estimate for more says `at least`."""

SHOWN_CHARACTERS = 2_000
"""Of a request or an answer on the screen; `--json` gives all of it."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a whole job would take, from the average of the items tried; one item a call.

    items: up to MOST_COUNTED, then counted_all is False. seconds: with all calls in flight that the
    manifest allows and within its rate limit, so the least that can be expected. cost: None without
    `spec.price`.
    """

    items: int
    counted_all: bool
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    seconds: float


def show_preview(
    job: BatchJob, manifest: Path, options: Options, number: int, *, json: bool
) -> int:
    """Try items and print what came of it; returns the exit code: 3 when one of them failed."""
    from penstock.cli.options import print_json, wait
    from penstock.local.figures import glyphs_for
    from penstock.local.prepare import effective
    from penstock.local.preview import preview
    from penstock.sources.drawn import apart
    from penstock.sources.items import read_items

    rows = wait(preview(job, manifest, options, number))
    job = effective(job, options)
    counted = islice(read_items(job.spec.source, manifest.parent), MOST_COUNTED + 1)
    items = wait(apart(lambda: sum(1 for _ in counted)))
    estimate = estimated(rows, items, job)
    if json:
        print_json(
            {"name": job.name, "preview": list(map(_row, rows)), "estimate": _camel(estimate)}
        )
    else:
        dot = glyphs_for(sys.stdout.encoding).dot
        lines = [
            *(line for row in rows for line in _row_lines(row, dot)),
            *_estimate_lines(estimate),
        ]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 3 if any(row.error is not None for row in rows) else 0


def estimated(rows: Sequence[PreviewRow], items: int, job: BatchJob) -> Estimate:
    """The whole job from these rows; items: how many it has, above MOST_COUNTED for `more`."""
    counted, known = min(items, MOST_COUNTED), items <= MOST_COUNTED
    tried = max(1, len(rows))
    prompt = round(sum(row.prompt_tokens for row in rows) / tried * counted)
    completion = round(sum(row.completion_tokens for row in rows) / tried * counted)
    costs = [row.cost for row in rows if row.cost is not None]
    limit, calls = job.spec.rate_limit, job.spec.scaling.concurrency.max
    seconds = [sum(row.seconds for row in rows) / tried * counted / min(calls, max(1, counted))]
    if limit.requests_per_minute:
        seconds.append(counted / limit.requests_per_minute * 60)
    if limit.tokens_per_minute:
        seconds.append((prompt + completion) / limit.tokens_per_minute * 60)
    return Estimate(
        items=counted,
        counted_all=known,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost=sum(costs) / len(costs) * counted if costs else None,
        seconds=max(seconds),
    )


def _row_lines(row: PreviewRow, dot: str) -> Iterable[str]:
    from penstock.local.figures import count, duration

    yield f"{row.item_id} {dot} {duration(row.seconds)}" + (
        f" {dot} {count(row.prompt_tokens)} tokens in, {count(row.completion_tokens)} out"
        if row.prompt_tokens or row.completion_tokens
        else ""
    )
    yield from _indented("request", _text(row.request))
    if row.error is not None:
        yield from _indented("error", row.error)
    else:
        yield from _indented("answer", _text(row.answer))
    yield ""


def _estimate_lines(estimate: Estimate) -> Iterable[str]:
    from penstock.local.banner import labelled
    from penstock.local.figures import cost, count, duration, items

    more = "" if estimate.counted_all else "at least "
    yield f"The whole job, going by these: {more}{items(estimate.items)}"
    if estimate.prompt_tokens or estimate.completion_tokens:
        tokens = f"{count(estimate.prompt_tokens)} in, {count(estimate.completion_tokens)} out"
        yield labelled("tokens", more + tokens)
    if estimate.cost is not None:
        yield labelled("cost", more + cost(estimate.cost))
    yield labelled("time", f"{duration(estimate.seconds)} or more, if nothing is throttled")
    yield "Nothing was stored."


def _indented(label: str, text: str) -> Iterable[str]:
    yield f"  {label}"
    for line in text.splitlines() or [""]:
        yield f"    {line}"


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else pretty.dumps(value, indent=2, ensure_ascii=False)
    if len(text) <= SHOWN_CHARACTERS:
        return text
    return f"{text[:SHOWN_CHARACTERS]}\n[{len(text) - SHOWN_CHARACTERS:,} more characters]"


def _row(row: PreviewRow) -> dict[str, Any]:
    return {
        "id": row.item_id,
        "request": row.request,
        "answer": row.answer,
        "error": row.error,
        "seconds": round(row.seconds, 3),
        "promptTokens": row.prompt_tokens,
        "completionTokens": row.completion_tokens,
        "cost": row.cost,
    }


def _camel(estimate: Estimate) -> dict[str, Any]:
    from pydantic.alias_generators import to_camel

    return {to_camel(name): value for name, value in asdict(estimate).items()}
