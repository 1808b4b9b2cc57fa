"""What the operator does to Kubernetes, action by action: each may come again, late, or meet
something that is in its way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from penstock.cluster.kinds import BATCH_JOBS, JOBS, LEASES, PODS
from penstock.store.db import Database
from penstock_operator import resync
from penstock_operator.access import Access
from penstock_operator.actions import CreateJob, DeleteBatchJob, DeleteJob, Notice, PatchJob
from penstock_operator.cache import Cache
from penstock_operator.carry_out import Effects
from penstock_operator.controller import manifest, observe
from penstock_operator.database import Runs
from penstock_operator.events import Announcer
from penstock_operator.kube import Kube, KubeError, configuration
from penstock_operator.names import Owner, job_name
from penstock_operator.observed import Observed
from penstock_operator.settings import Settings
from tests.e2e.kube import Object
from tests.e2e.namespace import Namespace
from tests.e2e.operator_process import NOWHERE, install_definition
from tests.e2e.target import Target
from tests.e2e.waiting import until

NAME = "effects"
WORK = job_name(NAME, 1, "work")


class Stage:
    """A BatchJob on the cluster, what is known of it, and the effects to try on it."""

    def __init__(self, namespace: Namespace, cluster: Target, kube: Kube) -> None:
        self.namespace, self.cluster, self.kube = namespace, cluster, kube
        self.cache = Cache()
        settings = Settings(
            database_url=NOWHERE,
            worker_database_url=NOWHERE,
            namespace=namespace.name,
            namespaces=(namespace.name,),
            image=cluster.images["worker"],
            pull_policy="IfNotPresent",
            pull_secrets=(),
            job_roles=False,
        )
        db = Database(NOWHERE)
        access = Access(db, "none", settings)
        self.effects = Effects(kube, Runs([db], db, "none"), self.cache, settings, access)

    def restarted(self) -> Stage:
        """As after a restart: nothing is known yet."""
        return Stage(self.namespace, self.cluster, self.kube)

    async def look(self) -> Observed:
        """Everything as the API server has it now."""
        await resync.run_once(self.kube, self.cache, [self.namespace.name])
        raw = self.cache.batchjob((self.namespace.name, NAME))
        assert raw is not None
        uid = raw["metadata"]["uid"]
        return observe(
            raw, manifest(raw), None, database="", refused="",
            jobs=self.cache.owned(JOBS, uid), pods=self.cache.owned(PODS, uid), now=0.0,
        )  # fmt: skip

    async def create(self, seen: Observed, parallelism: int = 0) -> None:
        """The work Job of run 1; suspended, as this is about Jobs and not about pods."""
        assert seen.job is not None
        action = CreateJob("work", 1, 7, seen.job, parallelism=parallelism, suspend=True)
        await self.effects.carry_out(action, seen)

    def known(self, seen: Observed) -> list[Object]:
        """Jobs in the cache."""
        return self.cache.owned(JOBS, seen.uid)


@pytest.fixture
async def stage(namespace: Namespace, cluster: Target) -> AsyncIterator[Stage]:
    install_definition(namespace.kube)
    namespace.create(batchjob())
    kube = Kube(await configuration({"KUBECONFIG": cluster.kubeconfig}))
    yield Stage(namespace, cluster, kube)
    await kube.close()


def batchjob() -> Object:
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": NAME},
        "spec": {
            "source": {"inline": {"items": [{"id": 1}]}},
            "processor": {"http": {"url": "http://nowhere.example/echo"}},
        },
    }


async def test_a_job_is_made_once_with_its_secret(stage: Stage) -> None:
    seen = await stage.look()
    await stage.create(seen)
    (known,) = stage.known(seen)
    assert known["metadata"]["name"] == WORK

    restarted = stage.restarted()
    await restarted.create(seen)  # as it would before it has seen the Job
    assert restarted.known(seen)[0]["metadata"]["uid"] == known["metadata"]["uid"]
    (job,) = stage.namespace.all("Job")
    assert job["metadata"]["uid"] == known["metadata"]["uid"]
    assert len(stage.namespace.all("Secret")) == 1


async def test_a_job_of_somebody_else_is_left_alone(stage: Stage) -> None:
    seen = await stage.look()
    await stage.create(seen)
    stranger = replace(seen, uid="11111111-2222-3333-4444-555555555555")
    with pytest.raises(KubeError) as refused:
        await stage.create(stranger)
    assert refused.value.exists
    await stage.effects.carry_out(DeleteJob(WORK), stranger)
    await stage.effects.carry_out(PatchJob(WORK, parallelism=9), stranger)
    (job,) = stage.namespace.all("Job")
    assert job["metadata"]["ownerReferences"][0]["uid"] == seen.uid
    assert job["spec"]["parallelism"] == 0


async def test_a_job_is_changed_and_seen_so_at_once(stage: Stage) -> None:
    seen = await stage.look()
    await stage.create(seen)
    for _ in range(2):
        await stage.effects.carry_out(PatchJob(WORK, parallelism=3), seen)
        assert stage.known(seen)[0]["spec"]["parallelism"] == 3
    assert stage.namespace.get("Job", WORK)["spec"]["suspend"] is True

    stage.namespace.delete("Job", WORK)  # behind the operator's back
    until(lambda: stage.namespace.find("Job", WORK), lambda found: found is None, "gone")
    await stage.effects.carry_out(PatchJob(WORK, suspend=False), seen)
    assert stage.known(seen) == []


async def test_deletions_may_come_twice(stage: Stage) -> None:
    seen = await stage.look()
    await stage.create(seen)
    before = stage.known(seen)[0]
    for _ in range(2):
        await stage.effects.carry_out(DeleteJob(WORK), seen)
        assert stage.known(seen) == []
    until(lambda: stage.namespace.find("Job", WORK), lambda found: found is None, "gone")
    # What a late watch still tells of it does not bring it back.
    assert not stage.cache.put(JOBS, before)

    for _ in range(2):
        await stage.effects.carry_out(DeleteBatchJob(), seen)
        assert stage.cache.batchjob((stage.namespace.name, NAME)) is None
    assert stage.namespace.find("BatchJob", NAME) is None


@pytest.mark.parametrize("action", [DeleteJob(WORK), PatchJob(WORK, parallelism=5)])
async def test_a_job_that_was_made_again_is_left_alone_by_what_was_meant_for_the_old_one(
    stage: Stage, action: DeleteJob | PatchJob
) -> None:
    seen = await stage.look()
    await stage.create(seen)
    old = stage.known(seen)[0]
    stage.namespace.delete("Job", WORK)
    until(lambda: stage.namespace.find("Job", WORK), lambda found: found is None, "gone")
    await stage.restarted().create(seen)
    assert stage.known(seen) == [old]
    await stage.effects.carry_out(action, seen)
    job = stage.namespace.get("Job", WORK)
    assert [one["metadata"]["uid"] for one in stage.known(seen)] == [job["metadata"]["uid"]]
    assert job["metadata"]["uid"] != old["metadata"]["uid"]
    assert job["spec"]["parallelism"] == 0


async def test_a_status_is_written_only_over_what_was_seen(stage: Stage) -> None:
    seen = await stage.look()
    raw = stage.cache.batchjob((seen.namespace, seen.name))
    assert raw is not None
    version = raw["metadata"]["resourceVersion"]

    async def write(phase: str) -> Object:
        change = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/status", "value": {"phase": phase}},
        ]
        return await stage.kube.patch(BATCH_JOBS, seen.namespace, f"{NAME}/status", change)

    assert (await write("Pending"))["status"] == {"phase": "Pending"}
    with pytest.raises(KubeError) as refused:
        await write("Running")
    assert refused.value.stale
    assert stage.namespace.get("BatchJob", NAME)["status"] == {"phase": "Pending"}


async def test_a_notice_is_one_event_that_counts(stage: Stage) -> None:
    seen = await stage.look()
    owner, notice = Owner(seen.name, seen.namespace, seen.uid), Notice("Normal", "Tried", "so")
    announcer = Announcer(stage.kube)
    for now in (1_000_000.0, 1_000_001.0):
        announcer.announce(owner, [notice], now)
    restarted = Announcer(stage.kube)
    restarted.announce(owner, [notice], 1_000_002.0)
    for one in (announcer, restarted):
        await one.post()
    events = [one for one in stage.namespace.all("Event") if one["reason"] == "Tried"]
    assert [(one["count"], one["type"], one["message"]) for one in events] == [(2, "Normal", "so")]


async def test_a_listing_in_pages_is_whole(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock_operator import kube

    monkeypatch.setattr(kube, "PAGE", 2)
    stage.namespace.create(
        *({**batchjob(), "metadata": {"name": f"other-{number}"}} for number in range(4))
    )
    await stage.look()
    assert len(stage.cache.batchjobs()) == 5
    stage.namespace.delete("BatchJob", "other-3")
    await stage.look()
    assert len(stage.cache.batchjobs()) == 4


async def test_nothing_is_written_without_the_lease(stage: Stage) -> None:
    seen = await stage.look()
    stage.kube.may_write = lambda: False
    with pytest.raises(KubeError, match="another operator"):
        await stage.create(seen)
    assert stage.namespace.all("Job") == []
    with pytest.raises(KubeError) as missing:
        await stage.kube.get(LEASES, seen.namespace, "penstock-operator")
    assert missing.value.missing
