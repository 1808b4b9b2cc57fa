"""Which items share a call. Pure; called by the backlog for fresh items, and to split a call."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from penstock.spec.job import BatchJobSpec
from penstock.work.types import Processor, WorkItem

OPENAI_EMBEDDING_INPUTS = 2048
OPENAI_EMBEDDING_TOKENS = 300_000
"""What OpenAI takes in one embeddings request; asking for more in a manifest is no help."""
LISTED_ITEMS = 500
"""Items in one chat request, whose answer lists them: a schema may hold 1,000 enum values."""


def item_limit(spec: BatchJobSpec) -> int:
    """The most items one call may carry: as the manifest says, within what the server takes."""
    wanted = spec.batching.max_items_per_request
    openai, ollama = spec.processor.openai, spec.processor.ollama
    if openai is not None:
        listed = openai.operation != "embeddings"
        return min(wanted, LISTED_ITEMS if listed else OPENAI_EMBEDDING_INPUTS)
    if ollama is not None and (ollama.operation == "chat" or ollama.messages):
        return min(wanted, LISTED_ITEMS)
    return wanted


def token_limit(spec: BatchJobSpec) -> int | None:
    """The most estimated tokens in one call of several items; None: no limit."""
    stated = spec.batching.max_tokens_per_request
    openai = spec.processor.openai
    if openai is not None and openai.operation == "embeddings":
        return min(stated or OPENAI_EMBEDDING_TOKENS, OPENAI_EMBEDDING_TOKENS)
    return stated


class Former:
    """Forms calls from items that wait, in their order.

    max_items: asked for each call. max_tokens: for all items of a call together, by `tokens`; an
    item that alone has more goes alone. `tokens` is not asked where there is no limit.
    """

    def __init__(
        self,
        max_items: Callable[[], int] = lambda: 1,
        max_tokens: int | None = None,
        tokens: Callable[[WorkItem], int] | None = None,
    ) -> None:
        if max_tokens is not None and tokens is None:
            raise ValueError("a limit of tokens needs a way to count them")
        self._max_items = max_items
        self._max_tokens = max_tokens
        self._tokens = tokens

    @classmethod
    def for_job(cls, spec: BatchJobSpec, processor: Processor) -> Former:
        """As the manifest and the limits of the server have it."""
        return cls(
            lambda: processor.max_items,
            token_limit(spec),
            lambda item: processor.cost([item]).tokens,
        )

    def take(self, ready: deque[WorkItem]) -> list[WorkItem]:
        """Remove the items of the next call from the left; empty only when nothing is ready."""
        if not ready:
            return []
        most = self._max_items()
        group = [ready.popleft()]
        tokens = self._count(group[0], most)
        while (
            ready
            and len(group) < most
            and not (group[0].alone or ready[0].alone)
            and self._fits(tokens := tokens + self._count(ready[0], most))
        ):
            group.append(ready.popleft())
        return group

    def _count(self, item: WorkItem, most: int) -> int:
        if self._max_tokens is None or most == 1 or self._tokens is None:
            return 0
        return self._tokens(item)

    def _fits(self, tokens: int) -> bool:
        return self._max_tokens is None or tokens <= self._max_tokens


def halves(group: Sequence[WorkItem]) -> tuple[list[WorkItem], list[WorkItem]]:
    """Both halves of a call of at least two items, the larger one first."""
    middle = (len(group) + 1) // 2
    return list(group[:middle]), list(group[middle:])
