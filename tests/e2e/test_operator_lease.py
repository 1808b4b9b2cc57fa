"""The operator's Lease on a real API server: who has it, and what keeping it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from penstock_operator.kube import Kube, configuration
from penstock_operator.lease import NAME, Lease
from tests.e2e.namespace import Namespace
from tests.e2e.target import Target


@pytest.fixture
async def api(cluster: Target) -> AsyncIterator[Kube]:
    client = Kube(await configuration({"KUBECONFIG": cluster.kubeconfig}))
    yield client
    await client.close()


async def test_a_renewal_is_one_call(namespace: Namespace, api: Kube) -> None:
    lease = Lease(api, namespace.name, "one")
    assert await lease.attempt() == "one"
    before = Counter(api.calls)
    for _ in range(3):
        assert await lease.attempt() == "one"
    assert api.calls - before == {("update", "Lease"): 3}
    assert namespace.get("Lease", NAME)["spec"]["leaseTransitions"] == 1


async def test_who_lost_it_sees_who_has_it(namespace: Namespace, api: Kube) -> None:
    one, other = (Lease(api, namespace.name, name) for name in ("one", "other"))
    assert await one.attempt() == "one"
    assert await other.attempt() == "one"
    namespace.patch("Lease", NAME, {"spec": {"holderIdentity": ""}})
    assert await other.attempt() == "other"
    assert await one.attempt() == "other"
    assert namespace.get("Lease", NAME)["spec"]["holderIdentity"] == "other"


async def test_one_that_was_changed_or_removed_by_others_is_kept(
    namespace: Namespace, api: Kube
) -> None:
    lease = Lease(api, namespace.name, "one")
    await lease.attempt()
    namespace.patch("Lease", NAME, {"metadata": {"labels": {"seen-by": "somebody"}}})
    assert await lease.attempt() == "one"
    found = namespace.get("Lease", NAME)
    assert found["metadata"]["labels"] == {"seen-by": "somebody"}
    namespace.delete("Lease", NAME)
    assert await lease.attempt() == "one"
    assert namespace.get("Lease", NAME)["metadata"]["uid"] != found["metadata"]["uid"]
