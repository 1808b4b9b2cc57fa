"""Putting a `CallResult` together, in the ways that all processors need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.work.types import CallResult, Failure, FailureKind, Output, Usage

NO_USAGE = Usage()
MAX_TOKENS = 10**9
"""More than any call can have. What claims of any size add up to has to fit the database's bigint,
and what is added up there is summed over up to billions of calls."""


def unsent(left_out: Sequence[Failure | None]) -> CallResult:
    """Nothing went out: the request could be built for none of the items."""
    return CallResult([failure for failure in left_out if failure is not None], sent=False)


def failed(
    count: int, failure: Failure, headers: Mapping[str, str], usage: Usage = NO_USAGE
) -> CallResult:
    """The call as a whole failed, for each of its `count` items."""
    sent = failure.kind is not FailureKind.TEMPLATE
    return CallResult([failure] * count, usage, headers, failure, sent)


def with_left_out(left_out: Sequence[Failure | None], result: CallResult) -> CallResult:
    """The result for all items of a call, given the one for those that took part in it.

    left_out: for every item why it took no part, or None. A failure of the call as a whole is
    every item's: those left out meet their own when the call is made again.
    """
    if result.failure is not None:
        entries: list[Output | Failure] = [result.failure] * len(left_out)
    else:
        answers = iter(result.results)
        entries = [next(answers) if failure is None else failure for failure in left_out]
    return CallResult(entries, result.usage, result.headers, result.failure, result.sent)


def token_count(value: Any) -> int:
    """A number of tokens as a server reports it, at most MAX_TOKENS; 0 for anything else."""
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return min(max(value, 0), MAX_TOKENS)
