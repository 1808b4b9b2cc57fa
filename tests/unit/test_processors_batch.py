"""Which items share a call."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.spec.job import BatchJobSpec
from penstock.work.batch import Former, halves, item_limit, token_limit
from penstock.work.processors.one_call import OneCall
from penstock.work.types import CallResult, Cost, WorkItem


def item(number: int, *, alone: bool = False) -> WorkItem:
    return WorkItem(number, f"i{number}", b"", {"tokens": number}, alone=alone)


def spec(processor: dict[str, Any], **batching: Any) -> BatchJobSpec:
    return BatchJobSpec.model_validate(
        {"source": {"inline": {"items": [1]}}, "processor": processor, "batching": batching}
    )


def positions(groups: list[list[WorkItem]]) -> list[list[int]]:
    return [[one.position for one in group] for group in groups]


def all_groups(former: Former, items: list[WorkItem]) -> list[list[int]]:
    ready, groups = deque(items), []
    while group := former.take(ready):
        groups.append(group)
    return positions(groups)


def test_by_number_of_items() -> None:
    items = [item(n) for n in range(7)]
    assert all_groups(Former(), items) == [[0], [1], [2], [3], [4], [5], [6]]
    assert all_groups(Former(lambda: 3), items) == [[0, 1, 2], [3, 4, 5], [6]]


def test_by_tokens() -> None:
    former = Former(lambda: 10, 10, lambda one: one.item["tokens"])
    items = [item(n) for n in (4, 6, 1, 50, 3, 3, 5)]
    assert all_groups(former, items) == [[4, 6], [1], [50], [3, 3], [5]]


def test_tokens_are_not_counted_without_need() -> None:
    def fails(_: WorkItem) -> int:
        raise AssertionError

    assert all_groups(Former(lambda: 2, None, fails), [item(1), item(2)]) == [[1, 2]]
    assert all_groups(Former(lambda: 1, 5, fails), [item(1), item(2)]) == [[1], [2]]


def test_a_token_limit_needs_a_count() -> None:
    with pytest.raises(ValueError, match="count"):
        Former(lambda: 2, 100)


def test_who_must_go_alone_goes_alone() -> None:
    items = [item(0), item(1, alone=True), item(2, alone=True), item(3), item(4)]
    assert all_groups(Former(lambda: 10), items) == [[0], [1], [2], [3, 4]]


@given(
    sizes=st.lists(st.integers(0, 30)),
    most=st.integers(1, 8),
    tokens=st.none() | st.integers(1, 50),
)
def test_nothing_is_lost_and_limits_hold(sizes: list[int], most: int, tokens: int | None) -> None:
    former = Former(lambda: most, tokens, lambda one: one.item["tokens"])
    groups = all_groups(former, [item(size) for size in sizes])
    assert [size for group in groups for size in group] == sizes
    for group in groups:
        assert 1 <= len(group) <= most
        assert tokens is None or len(group) == 1 or sum(group) <= tokens


@given(st.integers(2, 600))
def test_halves_are_smaller_and_complete(size: int) -> None:
    group = [item(n) for n in range(size)]
    left, right = halves(group)
    assert left + right == group
    assert 0 <= len(left) - len(right) <= 1


def test_limits_of_the_server_win() -> None:
    embed = {"openai": {"operation": "embeddings", "model": "m", "input": "x"}}
    chat = {"openai": {"model": "m", "messages": [{"role": "user", "content": "x"}]}}
    talk = {"ollama": {"model": "m", "messages": [{"role": "user", "content": "x"}]}}
    local = {"ollama": {"model": "m", "input": "x"}}
    http = {"http": {"url": "http://h"}}
    many = {"maxItemsPerRequest": 10_000}
    assert [item_limit(spec(one, **many)) for one in (embed, chat, talk, local, http)] == [
        2048,
        500,
        500,
        10_000,
        10_000,
    ]
    assert [item_limit(spec(one)) for one in (embed, chat, talk, local, http)] == [1] * 5
    assert token_limit(spec(embed)) == 300_000
    assert token_limit(spec(embed, maxTokensPerRequest=1_000_000)) == 300_000
    assert token_limit(spec(embed, maxTokensPerRequest=1000)) == 1000
    assert token_limit(spec(chat)) is None
    assert token_limit(spec(chat, maxTokensPerRequest=1000)) == 1000


class Counting(OneCall):
    """As much of a processor as forming calls asks for: an item costs its own tokens."""

    max_items = 5

    def cost(self, items: Sequence[WorkItem]) -> Cost:
        return Cost(tokens=sum(one.item["tokens"] for one in items))

    def preview(self, item: WorkItem) -> dict[str, Any]:
        return {"item": item.item}

    async def call(self, items: Sequence[WorkItem]) -> CallResult:
        return CallResult([], sent=bool(items))

    async def aclose(self) -> None:
        return None


def test_for_a_job() -> None:
    job = spec({"http": {"url": "http://h"}}, maxItemsPerRequest=5, maxTokensPerRequest=10)
    former = Former.for_job(job, Counting())
    assert all_groups(former, [item(n) for n in (5, 5, 1, 2, 3)]) == [[5, 5], [1, 2, 3]]
