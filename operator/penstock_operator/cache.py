"""What was last seen of BatchJobs, their Jobs and pods: raw objects in memory, found by UID.

Three sources fill it, in any order: watches (handlers.py), full listings (resync.py) and the
answers to the operator's own writes. The newest resourceVersion wins, and what was once removed
never comes back, as a UID is never used again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from penstock.cluster.kinds import BATCH_JOBS, Kind, Raw
from penstock_operator import names

Key = tuple[str, str]
"""Namespace and name of a BatchJob."""

_REMEMBERED = 10_000


class Cache:
    """Objects by kind and UID."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[str, Raw]] = {}
        self._owned: dict[Kind, dict[str, set[str]]] = {}
        self._named: dict[Key, set[str]] = {}
        self._gone: dict[str, None] = {}

    def put(self, kind: Kind, raw: Raw) -> bool:
        """An object was seen; whether that was news."""
        metadata = raw["metadata"]
        uid = metadata["uid"]
        known = self._objects.setdefault(kind, {}).get(uid)
        if uid in self._gone or (known is not None and _version(known) >= _version(raw)):
            return False
        self._objects[kind][uid] = _trimmed(raw)
        if kind is BATCH_JOBS:
            self._named.setdefault(_key(raw), set()).add(uid)
        elif (owner := names.batchjob_uid_of(metadata)) is not None:
            self._owned.setdefault(kind, {}).setdefault(owner, set()).add(uid)
        return True

    def remove(self, kind: Kind, uid: str) -> None:
        """An object is gone for good."""
        self._gone[uid] = None
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]
        raw = self._objects.get(kind, {}).pop(uid, None)
        if raw is None:
            return
        if kind is BATCH_JOBS:
            _discard(self._named, _key(raw), uid)
        elif (owner := names.batchjob_uid_of(raw["metadata"])) is not None:
            _discard(self._owned[kind], owner, uid)

    def replace(self, kind: Kind, namespace: str | None, raws: Iterable[Raw], version: str) -> None:
        """A full listing as of that resourceVersion: what is older and not in it is gone."""
        listed = set()
        for raw in raws:
            listed.add(raw["metadata"]["uid"])
            self.put(kind, raw)
        for uid, raw in list(self._objects.get(kind, {}).items()):
            here = namespace is None or raw["metadata"].get("namespace") == namespace
            if here and uid not in listed and _version(raw) <= _number(version):
                self.remove(kind, uid)

    def batchjobs(self) -> list[Key]:
        """Every BatchJob there is."""
        return list(self._named)

    def phases(self) -> Counter[str]:
        """How many BatchJobs there are in each phase."""
        known = self._objects.get(BATCH_JOBS, {}).values()
        return Counter(str((raw.get("status") or {}).get("phase") or "Pending") for raw in known)

    def batchjob(self, key: Key) -> Raw | None:
        """The BatchJob of that name; the newer one when an older is not quite gone."""
        found = [self._objects[BATCH_JOBS][uid] for uid in self._named.get(key, ())]
        return max(found, key=_version, default=None)

    def uids(self) -> set[str]:
        """Of every BatchJob there is."""
        return set(self._objects.get(BATCH_JOBS, ()))

    def owned(self, kind: Kind, uid: str) -> list[Raw]:
        """The Jobs, or pods, of a BatchJob."""
        objects = self._objects.get(kind, {})
        return [objects[one] for one in self._owned.get(kind, {}).get(uid, ())]


def batchjob_key(kind: Kind, raw: Raw) -> Key | None:
    """The BatchJob that an object is, or belongs to."""
    if kind is BATCH_JOBS:
        return _key(raw)
    name = names.batchjob_of(raw["metadata"])
    return (raw["metadata"].get("namespace", ""), name) if name is not None else None


def _key(raw: Raw) -> Key:
    metadata = raw["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _discard(index: dict[Any, set[str]], key: Any, uid: str) -> None:
    uids = index.get(key)
    if uids is not None:
        uids.discard(uid)
        if not uids:
            del index[key]


def _version(raw: Raw) -> int:
    return _number(raw["metadata"].get("resourceVersion", ""))


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0


def _trimmed(raw: Raw) -> Raw:
    """Without what only takes up memory: managedFields are as large as the rest."""
    metadata = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
    return {**raw, "metadata": metadata}
