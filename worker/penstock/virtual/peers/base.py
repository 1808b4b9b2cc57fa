"""What the peers have in common: a limit of calls in flight and a pause after a 429."""

from __future__ import annotations

from collections.abc import Callable

from penstock.rate.bounds import CallReport, Outcome
from penstock.virtual.fleet import Client, Setting

LONGEST_PAUSE = 30.0


class Peer:
    """A client; its subclasses say what an answer and a refusal do to `_limit`."""

    pause = 1.0
    """Seconds after a 429 that says nothing."""
    backoff = 2.0
    """So many times as long after one whose calls were refused again, up to `LONGEST_PAUSE`."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._blocked_until = 0.0
        self._next_pause = self.pause

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return int(self._limit)

    def wait(self, now: float, in_flight: int) -> float | None:
        """Seconds until the next call may go; None when one has to end first."""
        if in_flight >= self.limit:
            return None
        return max(0.0, self._blocked_until - now)

    def sent(self, now: float, tokens: int, jitter: float) -> None:
        """A call goes out."""

    def ended(self, now: float, report: CallReport, in_flight: int) -> None:
        """A call ended: pause after a 429, and learn."""
        if report.outcome is Outcome.THROTTLED:
            self._block(now, report)
            self.refused(now, report)
        else:
            self._next_pause = self.pause
            self.passed(now, now - report.sent_at, in_flight)

    def _block(self, now: float, report: CallReport) -> None:
        pause = report.retry_after
        if pause is None:
            pause = self._next_pause
            if report.sent_at >= self._blocked_until:  # not one of the burst that was refused
                self._next_pause = min(LONGEST_PAUSE, pause * self.backoff)
        self._blocked_until = max(self._blocked_until, now + pause)

    def refused(self, now: float, report: CallReport) -> None:
        """A 429 came."""

    def passed(self, now: float, latency: float, in_flight: int) -> None:
        """An answer came, after so many seconds. in_flight: with this one."""


class Fixed(Peer):
    """Always so many calls in flight in each pod."""


class Uncoordinated:
    """A fleet of clients that do not know of each other."""

    def __init__(self, make: Callable[[Setting], Client], setting: Setting) -> None:
        self._make = make
        self._setting = setting

    def join(self, pod: int, now: float) -> Client:  # noqa: ARG002
        """A pod starts, knowing nothing."""
        return self._make(self._setting)

    def sync(self, pod: int, client: Client, now: float) -> float:  # noqa: ARG002
        """Nothing to tell, nobody to hear from."""
        return 3600.0

    def urgent(self, client: Client) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def leave(self, pod: int, now: float) -> None:
        """A pod ends."""

    def learned(self) -> float | None:
        """They learn concurrencies, not limits."""
        return None
