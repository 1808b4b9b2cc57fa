"""From raw Kubernetes objects, as a watch gives them, to what a decision is made from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, get_args

from penstock_operator.names import ROLE, RUN, TEMPLATE, batchjob_of
from penstock_operator.observed import JobSeen, PodSeen, Role
from penstock_operator.problems import problem_of

_ROLES: dict[str, Role] = {role: role for role in get_args(Role)}


def job_seen(raw: Mapping[str, Any]) -> JobSeen | None:
    """What a Job says; None when it is not the operator's."""
    mine = _mine(raw)
    if mine is None:
        return None
    role, run = mine
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    end = next(
        (
            condition
            for condition in status.get("conditions") or ()
            if condition["type"] in ("Complete", "Failed") and condition["status"] == "True"
        ),
        None,
    )
    return JobSeen(
        name=raw["metadata"]["name"],
        role=role,
        run=run,
        suspended=bool(spec.get("suspend")),
        # Left out it is 1; 0 is 0.
        parallelism=1 if spec.get("parallelism") is None else spec["parallelism"],
        active=status.get("active") or 0,
        ended=end["type"] if end else "",
        reason=(end or {}).get("reason") or "",
        message=(end or {}).get("message") or "",
        deleting=_deleting(raw),
        created=_seconds(raw["metadata"].get("creationTimestamp")),
        completions=spec.get("completions") or 0,
        template=(raw["metadata"].get("annotations") or {}).get(TEMPLATE) or "",
    )


def pod_seen(raw: Mapping[str, Any], now: float) -> PodSeen | None:
    """What a pod says; None when it is not the operator's. now: seconds since the epoch. A problem
    may come by waiting alone: look again after problems.PATIENCE seconds."""
    mine = _mine(raw)
    if mine is None:
        return None
    role, run = mine
    status = raw.get("status") or {}
    ready = any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in status.get("conditions") or ()
    )
    return PodSeen(
        name=raw["metadata"]["name"],
        role=role,
        run=run,
        phase=status.get("phase") or "Pending",
        # One that is asked to stop is Ready until it has.
        ready=ready and not _deleting(raw),
        problem=problem_of(raw, now),
        held=_held(raw, now),
    )


def _held(raw: Mapping[str, Any], now: float) -> float:
    ended = (raw.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    if not ended or not _deleting(raw):
        return 0.0
    return max(0.0, now - _seconds(raw["metadata"]["deletionTimestamp"]))


def _mine(raw: Mapping[str, Any]) -> tuple[Role, int] | None:
    """Role and number of the run; None when the object is not of a BatchJob."""
    metadata = raw.get("metadata") or {}
    labels = metadata.get("labels") or {}
    role, run = _ROLES.get(labels.get(ROLE, "")), labels.get(RUN, "")
    if role is None or not (run.isascii() and run.isdigit()) or batchjob_of(metadata) is None:
        return None
    return role, int(run)


def _seconds(time: str | None) -> float:
    return datetime.fromisoformat(time).timestamp() if time else 0.0


def _deleting(raw: Mapping[str, Any]) -> bool:
    return bool(raw["metadata"].get("deletionTimestamp"))
