"""Servers that honour `Idempotency-Key`: the second call with a key gets the first one's answer."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Replays(Generic[T]):
    """The answers given lately, by key; the oldest are forgotten beyond `size`."""

    def __init__(self, size: int = 20_000) -> None:
        self._size = size
        self._answers: OrderedDict[str, asyncio.Future[T | None]] = OrderedDict()

    async def earlier(self, key: str) -> T | None:
        """The answer this key got before, waiting for it while it is in the making.

        None: there is none. The caller has to make it, and to call `keep` in any case.
        """
        while (known := self._answers.get(key)) is not None:
            answer = await asyncio.shield(known)
            if answer is not None:
                return answer
        self._answers[key] = asyncio.get_running_loop().create_future()
        while len(self._answers) > self._size:
            self._forget_oldest()
        return None

    def keep(self, key: str, answer: T | None) -> None:
        """The answer made for a key; None when there was none after all (the next call tries)."""
        made = self._answers.get(key)
        if made is None or made.done():
            return
        if answer is None:
            del self._answers[key]
        made.set_result(answer)

    def _forget_oldest(self) -> None:
        _, oldest = self._answers.popitem(last=False)
        if not oldest.done():
            oldest.set_result(None)
