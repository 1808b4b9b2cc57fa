"""Penstock's own rate control in virtual time: members and a leader, without the database."""

from __future__ import annotations

from typing import Any

from penstock.rate.bounds import Bounds
from penstock.rate.leader import DEAD, Leader
from penstock.rate.member import Member
from penstock.virtual.fleet import Client, Setting


class Pooled:
    """The pool: what its row in PostgreSQL holds, in memory. The first member that lives leads."""

    def __init__(self, setting: Setting) -> None:
        self._jobs = setting.job_of_pod
        self._bounds = Bounds(
            setting.min_concurrency,
            setting.max_concurrency,
            setting.requests_per_second,
            setting.tokens_per_second,
        )
        self._reports: dict[str, tuple[dict[str, Any], float]] = {}
        self._orders: dict[str, dict[str, Any]] = {}
        self._state: dict[str, Any] = {}
        self._leader: tuple[str, float, Leader] | None = None

    def join(self, pod: int, now: float) -> Client:  # noqa: ARG002
        return Member(self._bounds, str(self._jobs[pod]))

    def sync(self, pod: int, client: Client, now: float) -> float:
        assert isinstance(client, Member)
        me = f"{pod:04}"
        self._reports[me] = (client.report(now), now)
        if self._leads(me, now):
            assert self._leader is not None
            reports = {name: (report, now - at) for name, (report, at) in self._reports.items()}
            told = self._leader[2].tick(now, reports)
            self._state, self._orders = told.state, told.orders
        client.apply(now, self._orders.get(me))
        return client.next_sync(now)

    def urgent(self, client: Client) -> bool:
        assert isinstance(client, Member)
        return client.urgent

    def leave(self, pod: int, now: float) -> None:  # noqa: ARG002
        self._reports.pop(f"{pod:04}", None)
        if self._leader is not None and self._leader[0] == f"{pod:04}":
            self._leader = None

    def learned(self) -> float | None:
        rate = self._leader and self._leader[2].limits.rate
        return 60 * rate if rate else None

    def _leads(self, me: str, now: float) -> bool:
        if self._leader is None or now - self._leader[1] > DEAD:
            self._leader = (me, now, Leader(self._bounds, me, self._state))
        elif self._leader[0] == me:
            self._leader = (me, now, self._leader[2])
        return self._leader[0] == me
