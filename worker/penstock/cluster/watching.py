"""Looking at a BatchJob again and again until it has come to an end.

The operator tells what it knows a moment after it has been asked for something, so what the status
says counts only once it speaks of the present manifest, and of a newer run where one was asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.cluster.api import Api, Refused, Unreachable
from penstock.cluster.kinds import BATCH_JOBS
from penstock.cluster.seen import condition, progress_of
from penstock.errors import InputError, Mistake, NotFound
from penstock.store.progress import Progress
from penstock.store.runs import INVALID_INPUT

PAUSE = 1.0
"""Seconds between two looks; the operator writes every two."""
_SILENCE = 20.0
_AWAY = 300.0
"""Seconds that the API server may be away before a watch gives up."""
INVALID = ("InvalidManifest", INVALID_INPUT)
NOBODY = (
    "nothing has been said of it yet; is the operator running?"
    " kubectl get pods --all-namespaces -l app.kubernetes.io/name=penstock"
)


@dataclass(frozen=True, slots=True)
class Look:
    """One look. notice: what keeps it from going on, empty for nothing. over: no look is needed
    after this one. refused: why the manifest is not what the job does."""

    progress: Progress
    notice: str = ""
    over: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Since:
    """What was asked for: a manifest of that generation, a run with a higher number."""

    generation: int = 0
    run: int = 0


def judge(raw: Mapping[str, Any], since: Since, now: float) -> Look:
    """What a BatchJob says about what was asked for. now: seconds since the epoch. Pure."""
    progress, status = progress_of(raw, now), raw.get("status") or {}
    generation = max(since.generation, raw["metadata"].get("generation", 0))
    if status.get("observedGeneration", 0) < generation:
        return Look(_waiting(progress) if since.run else progress)
    accepted, progressing = condition(raw, "Accepted"), condition(raw, "Progressing")
    refused = ""
    if accepted.get("status") == "False":
        refused = accepted.get("message") or accepted["reason"]
        if accepted["reason"] == "ResultSetInUse":  # until the other is done
            return Look(_waiting(progress), notice=refused)
    if since.run and progress.run <= since.run and not refused:
        return Look(_waiting(progress))
    suspended = progress.phase == "Suspended" and bool(raw["spec"].get("suspend"))
    over = progress.phase in ("Complete", "Failed", "Paused") or suspended
    notice = ""
    if not over and progressing.get("status") == "False" and progress.phase != "Suspended":
        notice = progressing.get("message") or ""
    return Look(progress, notice, over, refused)


async def looks(api: Api, namespace: str, name: str, since: Since) -> AsyncIterator[Look]:
    """Looks PAUSE seconds apart, the last one with `over`. Raises NotFound, ClusterError."""
    began = heard = time.monotonic()
    while True:
        try:
            raw = await api.get(BATCH_JOBS, namespace, name)
        except Unreachable:
            if time.monotonic() - heard > _AWAY:
                raise
            await asyncio.sleep(PAUSE)
            continue
        except Refused as error:
            if error.missing:
                raise NotFound(f"there is no job {name} in the namespace {namespace}") from None
            raise
        heard = time.monotonic()
        look = judge(raw, since, time.time())
        silent = not (raw.get("status") or {}).get("phase") and heard - began > _SILENCE
        yield Look(look.progress, NOBODY) if silent else look
        if look.over:
            return
        await asyncio.sleep(PAUSE)


def mistakes(text: str) -> InputError:
    """What the cluster found wrong with a manifest or its data, as if it had been found here."""
    return InputError([Mistake("", line) for line in text.splitlines() if line.strip()])


def _waiting(progress: Progress) -> Progress:
    return Progress(name=progress.name, run=progress.run, phase="Pending", total=0)
