"""Events about BatchJobs, as `kubectl describe` shows them.

An Event's name follows from what it says, so the same notice is one Event that counts, whoever
posts it again; and within a few minutes it is not even posted again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

from penstock.cluster.kinds import EVENTS, Raw
from penstock.secrets import mask
from penstock.spec.job import API_VERSION, KIND
from penstock_operator.actions import Notice
from penstock_operator.kube import Kube, KubeError
from penstock_operator.names import Owner, fitting

log = logging.getLogger(__name__)

COMPONENT = "penstock-operator"
QUIET = 300.0
"""Seconds in which the same notice about the same BatchJob is not posted again."""
MOST = 1000
"""Events that may wait to be posted."""
FAREWELL = 1.0
"""Seconds for those that are left at the end."""
_LONGEST = 1024


def event(owner: Owner, notice: Notice, now: float) -> Raw:
    """The Event for a notice. now: seconds since the epoch. Pure."""
    message = mask(notice.message)
    message = message if len(message) <= _LONGEST else f"{message[: _LONGEST - 1]}…"
    text = "\0".join((owner.uid, notice.type, notice.reason, message))
    code = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{fitting(owner.name, 200)}.{code}", "namespace": owner.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": owner.name,
            "namespace": owner.namespace,
            "uid": owner.uid,
        },
        "type": notice.type,
        "reason": notice.reason,
        "message": message,
        "count": 1,
        "firstTimestamp": _time(now),
        "lastTimestamp": _time(now),
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
    }


class Announcer:
    """Posts notices as Events, one after the other and beside the looks, which wait for none."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._posted: dict[str, dict[Notice, float]] = {}
        self._waiting: deque[Raw] = deque()
        self._news = asyncio.Event()

    def forget(self, uid: str) -> None:
        """The BatchJob is gone."""
        self._posted.pop(uid, None)

    def announce(self, owner: Owner, notices: Iterable[Notice], now: float) -> None:
        """Have those posted that were not posted just now."""
        posted = self._posted.setdefault(owner.uid, {})
        for notice in notices:
            if now - posted.get(notice, float("-inf")) < QUIET:
                continue
            posted[notice] = now
            log.info("%s/%s: %s: %s", owner.namespace, owner.name, notice.reason, notice.message)
            if len(self._waiting) == MOST:
                lost = self._waiting.popleft()
                log.warning("too many Events are waiting: %s is not posted", lost["reason"])
            self._waiting.append(event(owner, notice, now))
        self._posted[owner.uid] = {one: at for one, at in posted.items() if now - at < QUIET}
        self._news.set()

    async def keep(self) -> None:
        """Post what is announced, for ever; when cancelled, what is left, as far as that is quick:
        nobody would say it again."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                await self.post()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self.post()

    async def post(self) -> None:
        """Post all that waits. An Event that cannot be written is logged: what it says stands in
        the status too."""
        while self._waiting:
            body = self._waiting[0]  # it stays there for whoever goes on when this is cut off
            try:
                await self._write(body)
            except KubeError as error:
                log.warning("%s", error)
            if self._waiting and self._waiting[0] is body:
                self._waiting.popleft()

    async def _write(self, body: Raw) -> None:
        try:
            await self._kube.create(EVENTS, body)
        except KubeError as error:
            if not error.exists:
                raise
            namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
            known = await self._kube.get(EVENTS, namespace, name)
            again = {"count": known.get("count", 1) + 1, "lastTimestamp": body["lastTimestamp"]}
            change = [{"op": "add", "path": f"/{key}", "value": again[key]} for key in again]
            await self._kube.patch(EVENTS, namespace, name, change)


def _time(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
