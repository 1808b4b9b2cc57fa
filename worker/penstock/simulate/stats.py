"""What the provider saw, for `GET /stats`: the view from outside, to hold a client's counts to."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import Any

from penstock.simulate.faults import Fault


def work_identity(key: str | None, path: str, body: bytes) -> int:
    """What makes two calls the same work: the Idempotency-Key, else path and body. 64 bits."""
    digest = blake2b(digest_size=8)
    if key is not None:
        digest.update(b"key\0" + key.encode("utf-8", "surrogateescape"))
    else:
        digest.update(path.encode("utf-8", "surrogateescape") + b"\0")
        digest.update(body)
    return int.from_bytes(digest.digest(), "big")


class Stats:
    """Counters, and an 8-byte hash of each piece of work that was served."""

    def __init__(self) -> None:
        self.requests = 0
        self.accepted = 0
        self._by_model: Counter[str] = Counter()
        self.refused = 0
        self.replayed = 0
        self.connections_opened = 0
        self.in_flight = 0
        self.in_flight_peak = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.faults: Counter[Fault] = Counter()
        self._served = 0
        self._seen: set[int] = set()
        self._twice: set[int] = set()
        self._first: float | None = None
        self._last = 0.0

    def arrived(self) -> None:
        """A call came in; `left` follows in any case."""
        self.requests += 1
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)

    def left(self) -> None:
        """A call is over, whatever came of it."""
        self.in_flight -= 1

    def admitted(self, now: float, model: str | None) -> None:
        """The limits let a call through. model: the one it is for, where it is for one."""
        self.accepted += 1
        if model is not None:
            self._by_model[model] += 1
        if self._first is None:
            self._first = now
        self._last = now

    def served(self, identity: int) -> None:
        """A call was answered with 200 and what it asked for."""
        self._served += 1
        if identity in self._seen:
            self._twice.add(identity)
        else:
            self._seen.add(identity)

    def report(self) -> dict[str, Any]:
        """Everything counted so far. `per_second` is accepted calls between the first and last."""
        seconds = 0.0 if self._first is None else self._last - self._first
        return {
            "requests": self.requests,
            "accepted": self.accepted,
            "accepted_by_model": dict(self._by_model),
            "refused": self.refused,
            "faults": {fault.value: self.faults[fault] for fault in Fault},
            "served": self._served,
            "distinct": len(self._seen),
            "served_twice": len(self._twice),
            "duplicates": self._served - len(self._seen),
            "replayed": self.replayed,
            "connections_opened": self.connections_opened,
            "in_flight_peak": self.in_flight_peak,
            "tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "seconds": round(seconds, 3),
            "per_second": round((self.accepted - 1) / seconds, 3) if seconds > 0 else 0.0,
        }
