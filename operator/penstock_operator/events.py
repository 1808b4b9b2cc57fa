"""Events about BatchJobs, as `kubectl describe` shows them.

An Event's name follows from what it says, so the same notice is one Event that counts, whoever
posts it again; and within a few minutes it is not even posted again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from penstock.secrets import mask
from penstock.spec.job import API_VERSION, KIND
from penstock_operator.actions import Notice
from penstock_operator.kube import EVENTS, Kube, KubeError, Raw
from penstock_operator.names import Owner, fitting

log = logging.getLogger(__name__)

COMPONENT = "penstock-operator"
QUIET = 300.0
"""Seconds in which the same notice about the same BatchJob is not posted again."""
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
    """Posts notices as Events."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._posted: dict[str, dict[Notice, float]] = {}

    def forget(self, uid: str) -> None:
        """The BatchJob is gone."""
        self._posted.pop(uid, None)

    async def post(self, owner: Owner, notices: Iterable[Notice], now: float) -> None:
        """Post those that were not posted just now. An Event that cannot be written is logged: what
        it says stands in the status too."""
        posted = self._posted.setdefault(owner.uid, {})
        for notice in notices:
            if now - posted.get(notice, float("-inf")) < QUIET:
                continue
            posted[notice] = now
            log.info("%s/%s: %s: %s", owner.namespace, owner.name, notice.reason, notice.message)
            try:
                await self._write(event(owner, notice, now))
            except KubeError as error:
                log.warning("%s", error)
        self._posted[owner.uid] = {one: at for one, at in posted.items() if now - at < QUIET}

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
