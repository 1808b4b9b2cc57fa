"""What processors have in common whose every call is one request to a far side."""

from __future__ import annotations

from collections.abc import Callable

from penstock.rate.bounds import Outcome
from penstock.work.gate import Admission, Gate


class OneCall:
    """A call is a request: it passes the gate itself, and there is nothing to get ready."""

    at_once: int | None = None

    async def start(self, gate: Gate, on_call: Callable[[Outcome, float], None]) -> Admission:  # noqa: ARG002
        """See `Processor`."""
        return gate

    def blocked(self) -> tuple[str, float] | None:
        """See `Processor`."""
        return None
