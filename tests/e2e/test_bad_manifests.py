"""Mistakes in BatchJobs: each is refused or told with what to do about it, none keeps the cluster
busy, and what was mended comes to its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e import parts
from tests.e2e.bad_jobs import BAD, KEY, WRONG, Bad, config_map, secret
from tests.e2e.kube import Kube, Object, condition
from tests.e2e.namespace import Namespace
from tests.e2e.operator_process import Operator, install_definition
from tests.e2e.parts import Postgres
from tests.e2e.target import Target
from tests.e2e.waiting import until

pytestmark = pytest.mark.acceptance

SECONDS = 420.0
MOST_PODS = 8
"""Pods of one role that may be made one after the other, each later than the one before."""


def test_every_mistake_is_told_and_what_is_mended_completes(
    namespace: Namespace, cluster: Target, kube: Kube, postgres: Postgres, tmp_path: Path
) -> None:
    install_definition(kube)
    _set_up(namespace, cluster)
    for one in (one for one in BAD if one.refused):
        _is_refused(namespace, one)
    with namespace.forward(f"pod/{postgres.name}", parts.POSTGRES_PORT) as port:
        url = postgres.url.replace(f"{postgres.name}.{namespace.name}:5432", f"127.0.0.1:{port}")
        with Operator(namespace, cluster, tmp_path / "log", url, postgres.url) as operator:
            operator.wait("/readyz")
            _apply(namespace, _holder())
            namespace.wait("BatchJob", "holder", _has_a_run, "it has a run")
            taken = [one for one in BAD if one.told]
            _apply(namespace, *(one.manifest() for one in taken))
            until(lambda: _untold(namespace, taken), lambda left: not left, "all", seconds=SECONDS)
            _nothing_goes_round(namespace)

            mended = [one for one in taken if one.mended is not None]
            assert len(mended) >= 5
            _apply(namespace, *(thing for one in mended for thing in one.extra))
            _apply(namespace, *(one.manifest(one.mended) for one in mended))
            until(
                lambda: _not_complete(namespace, mended),
                lambda left: not left,
                "what was mended completes",
                seconds=SECONDS,
            )
            log = operator.log()
            assert operator.process.poll() is None
            assert "Traceback" not in log
            everything = log + json.dumps([namespace.all(kind) for kind in ("BatchJob", "Event")])
            assert not [key for key in (KEY, WRONG, postgres.password) if key in everything]


def _set_up(namespace: Namespace, cluster: Target) -> None:
    """What the jobs need beside their mistakes."""
    parts.start_simulator(namespace, cluster.images["worker"])
    parts.start_simulator(namespace, cluster.images["worker"], f"--key={KEY}", name="guarded")
    maps = (config_map(one.name, one.data) for one in BAD if one.data)
    keys = (secret("half-key", {"other": KEY}), secret("wrong-key", {"api-key": WRONG}))
    _apply(namespace, *maps, *keys)


def _holder() -> Object:
    """A job that is under way as long as it is there, and has its result set for itself."""
    return Bad("holder", {"resultSet": "busy", "suspend": True}).manifest()


def _apply(namespace: Namespace, *objects: Object) -> None:
    """As `kubectl apply` does it."""
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    namespace.kube.kubectl(
        "--namespace", namespace.name, "apply", "--filename", "-", text=json.dumps(listed)
    )


def _is_refused(namespace: Namespace, one: Bad) -> None:
    done = namespace.kube.try_kubectl(
        *("--namespace", namespace.name, "apply", "--filename", "-"),
        text=json.dumps(one.manifest()),
    )
    assert done.returncode != 0, f"{one.name} was taken"
    assert [words for words in one.refused if words not in done.stderr] == [], done.stderr


def _has_a_run(found: Object) -> bool:
    return bool(found.get("status", {}).get("currentRun"))


def _untold(namespace: Namespace, jobs: list[Bad]) -> dict[str, object]:
    """What is not told yet as it should be, with what is."""
    found = {one["metadata"]["name"]: one for one in namespace.all("BatchJob")}
    warned: dict[str, set[str]] = {}
    for event in namespace.all("Event"):
        if event["type"] == "Warning":
            warned.setdefault(event["involvedObject"]["name"], set()).add(event["reason"])
    left: dict[str, object] = {}
    for one in jobs:
        status = found[one.name].get("status", {})
        if not _is_told(one, status.get("conditions") or [], warned.get(one.name, set())):
            left[one.name] = {
                "message": status.get("message"),
                "conditions": [
                    f"{c['type']}={c['status']} {c['reason']}" for c in status.get("conditions", ())
                ],
                "warned": sorted(warned.get(one.name, ())),
            }
    return left


def _is_told(one: Bad, conditions: list[Object], warned: set[str]) -> bool:
    assert one.told is not None
    for found in conditions:
        if (found["type"], found["status"]) != (one.told.condition, one.told.status):
            continue
        right = not one.told.reason or found["reason"] == one.told.reason
        said = all(words in found["message"] for words in one.told.words)
        return right and said and found["reason"] in warned
    return False


def _nothing_goes_round(namespace: Namespace) -> None:
    """No container starts again and again, and no Job makes pods without end."""
    made: dict[str, int] = {}
    for event in namespace.all("Event"):
        if event["reason"] == "SuccessfulCreate" and event["involvedObject"]["kind"] == "Job":
            name = event["involvedObject"]["name"]
            made[name] = made.get(name, 0) + event.get("count", 1)
    assert {name: count for name, count in made.items() if count > MOST_PODS} == {}
    for pod in namespace.all("Pod", "penstock.dev/batchjob"):
        for status in pod["status"].get("containerStatuses", ()):
            assert status["restartCount"] == 0, pod["metadata"]["name"]


def _not_complete(namespace: Namespace, jobs: list[Bad]) -> dict[str, object]:
    left: dict[str, object] = {}
    for one in jobs:
        found = namespace.get("BatchJob", one.name)
        if condition(found, "Complete") is None:
            left[one.name] = found.get("status", {}).get("message")
            continue
        counts = found["status"]["itemCounts"]
        assert counts["failed"] == 0, f"{one.name}: {counts}"
    return left
