"""PostgreSQL, the simulated provider and Prometheus as pods, as the other tests use them."""

from __future__ import annotations

from tests.e2e import parts, pods
from tests.e2e.kube import Object
from tests.e2e.namespace import Namespace
from tests.e2e.parts import Postgres
from tests.e2e.target import Target
from tests.e2e.waiting import until


async def test_postgres_takes_its_password_and_no_other(
    namespace: Namespace, cluster: Target, postgres: Postgres
) -> None:
    async with postgres.connected() as db:
        assert await db.fetchval("SELECT current_database()") == "penstock"
    assert postgres.password not in repr(postgres)
    ask = 'psql --no-password "$PENSTOCK_DATABASE_URL" --tuples-only --command "SELECT 6 * 7"'
    forged = pods.variables(
        {"PENSTOCK_DATABASE_URL": postgres.url.replace(postgres.password, "no")}
    )
    for name, url in (("right", postgres.environment), ("wrong", forged[0])):
        main = pods.container(cluster.images["postgres"], "sh", "-c", ask, env=[url])
        user = {**pods.RESTRICTED_POD, "runAsUser": 999}
        namespace.create(pods.pod(name, pods.pod_spec(main, securityContext=user)))
    assert namespace.ended("right") == 0
    assert namespace.logs("right").split() == ["42"]
    assert namespace.ended("wrong") != 0
    assert "password authentication failed" in namespace.logs("wrong")


def test_the_simulator_counts_what_a_pod_asks(namespace: Namespace, cluster: Target) -> None:
    simulator = parts.start_simulator(namespace, cluster.images["worker"], "--rpm=60")
    assert simulator.stats()["requests"] == 0
    ask = f"for n in 1 2 3; do wget -q -O - --post-data '[{{}}]' {simulator.url}/any; done; true"
    main = pods.shell(cluster.images["busybox"], ask)
    namespace.create(pods.pod("asks", pods.pod_spec(main)))
    assert namespace.ended("asks") == 0
    stats = simulator.stats()
    assert stats["requests"] == 3
    assert stats["refused"] > 0


def test_prometheus_scrapes_what_it_is_told(namespace: Namespace, cluster: Target) -> None:
    jobs: list[Object] = [
        {"job_name": "itself", "static_configs": [{"targets": ["127.0.0.1:9090"]}]},
        {"job_name": "nobody", "static_configs": [{"targets": ["127.0.0.1:1"]}]},
    ]
    prometheus = parts.start_prometheus(namespace, cluster.images["prometheus"], jobs)

    def look() -> dict[str, str]:
        return {found["metric"]["job"]: found["value"][1] for found in prometheus.query("up")}

    until(look, lambda up: up == {"itself": "1", "nobody": "0"}, "both are scraped")
