"""The operator's Lease: only its holder acts.

kopf's peering pauses operators but holds no lock. This works as leader election does elsewhere: a
Lease counts as abandoned when it has not changed for as long as it promises, by the clock of the
one who watches it. `wanted` is the pure part.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from penstock.cluster.kinds import LEASES, Raw
from penstock_operator.kube import Kube, KubeError

log = logging.getLogger(__name__)

NAME = "penstock-operator"
DURATION = 15.0
"""Seconds after which a Lease that nobody renewed is free."""
DEADLINE = 10.0
"""Seconds after which a holder that could not renew stops acting; before another may begin."""
RENEW = 4.0
"""Seconds between two renewals, or two looks at the one who holds it."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A Lease somebody else holds: the version last seen, and since when it is that one."""

    version: str
    since: float


def wanted(lease: Raw, me: str, watched: Watched | None, now: float) -> bool:
    """Whether to write one's own name into the Lease. now: seconds by a clock that only grows."""
    spec = lease.get("spec") or {}
    holder = spec.get("holderIdentity")
    if not holder or holder == me:
        return True
    same = watched is not None and watched.version == lease["metadata"]["resourceVersion"]
    lasts = float(spec.get("leaseDurationSeconds") or DURATION)
    return same and watched is not None and now - watched.since > lasts


def identity(environ: Mapping[str, str] = os.environ) -> str:
    """Who this process is. A container that starts again in its pod is the same one, since the one
    before it is surely dead."""
    host = socket.gethostname()
    return host if environ.get("KUBERNETES_SERVICE_HOST") else f"{host}_{os.getpid()}"


class Lease:
    """The lock. `held` is set while this process holds it. A renewal is one call: only who finds
    the Lease changed reads it."""

    def __init__(self, kube: Kube, namespace: str, me: str) -> None:
        self._kube, self._namespace, self._me = kube, namespace, me
        self._mine: Raw | None = None
        """As this process last wrote it, until somebody else does."""
        self._watched: Watched | None = None
        self._renewed = float("-inf")
        self.held = asyncio.Event()

    async def keep(self) -> None:
        """Acquire the Lease, and then renew it, for ever."""
        waits = ""
        while True:
            pause = RENEW
            started = time.monotonic()
            # Of a holder, what is left of its time: waiting for an answer it acts on.
            limit = self._renewed + DEADLINE - started if self.held.is_set() else DEADLINE
            try:
                async with asyncio.timeout(limit):
                    holder = await self.attempt()
            except (KubeError, TimeoutError) as error:
                holder = ""
                waits = self._tell(waits, str(error) or "the API server does not answer")
                pause = 1.0
            if holder == self._me:
                self._renewed, waits = started, ""
                if not self.held.is_set():
                    log.info("holds the Lease %s/%s as %s", self._namespace, NAME, self._me)
                    self.held.set()
            elif holder:
                self.held.clear()
                waits = self._tell(waits, f"{holder} is at work")
            elif time.monotonic() - self._renewed >= DEADLINE:
                self.held.clear()
            await asyncio.sleep(pause)

    async def release(self) -> None:
        """Let the next one begin at once."""
        if not self.held.is_set():
            return
        self.held.clear()
        try:
            lease = await self._kube.get(LEASES, self._namespace, NAME)
            if (lease.get("spec") or {}).get("holderIdentity") == self._me:
                lease["spec"]["holderIdentity"] = ""
                await self._kube.replace(LEASES, lease)
        except KubeError as error:
            log.warning("the Lease could not be released: %s", error)

    def _tell(self, told: str, why: str) -> str:
        if why != told:
            log.warning("waiting for the Lease %s/%s: %s", self._namespace, NAME, why)
        return why

    async def attempt(self) -> str:
        """Take or renew the Lease if it is to be had. Returns who holds it; raises KubeError."""
        if self._mine is not None:
            try:
                return await self._write(self._mine)
            except KubeError as error:
                if not error.stale and not error.missing:
                    raise
                self._mine = None
        try:
            lease = await self._kube.get(LEASES, self._namespace, NAME)
        except KubeError as error:
            if not error.missing:
                raise
            self._mine = await self._kube.create(LEASES, self._body())
            return self._me
        now = time.monotonic()
        if wanted(lease, self._me, self._watched, now):
            return await self._write(lease)
        if self._watched is None or self._watched.version != _version(lease):
            self._watched = Watched(_version(lease), now)
        return str(lease["spec"]["holderIdentity"])

    async def _write(self, lease: Raw) -> str:
        spec = self._spec(lease.get("spec") or {})
        self._mine = await self._kube.replace(LEASES, {**lease, "spec": spec})
        return self._me

    def _body(self) -> Raw:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": NAME, "namespace": self._namespace},
            "spec": self._spec({}),
        }

    def _spec(self, before: Raw) -> Raw:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        mine = before.get("holderIdentity") == self._me
        return {
            **before,
            "holderIdentity": self._me,
            "leaseDurationSeconds": int(DURATION),
            "acquireTime": before.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (not mine),
        }


def _version(lease: Raw) -> str:
    return str(lease["metadata"]["resourceVersion"])
