"""PostgreSQL, the simulated provider and Prometheus, as pods behind Services of their own names.

Each `start_…` waits until its pod is Ready, so what it returns can be used at once.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from penstock.store.db import Database
from tests.e2e import pods
from tests.e2e.kube import Object
from tests.e2e.namespace import Namespace

POSTGRES_PORT = 5432
SIMULATOR_PORT = 8000
PROMETHEUS_PORT = 9090
# What is in the image runs as these users.
_POSTGRES_USER = 999
_PROMETHEUS_USER = 65534


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL pod with an empty database `penstock`. Its password is in no printed form."""

    namespace: Namespace
    name: str
    password: str = field(repr=False)

    @property
    def secret(self) -> str:
        """Name of the Secret that has `password` and `url`."""
        return self.name

    @property
    def environment(self) -> Object:
        """PENSTOCK_DATABASE_URL for a container of the namespace."""
        return pods.from_secret("PENSTOCK_DATABASE_URL", self.secret, "url")

    @property
    def url(self) -> str:
        """Its address as pods of any namespace see it."""
        return self._url(f"{self.name}.{self.namespace.name}", POSTGRES_PORT)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Database]:
        """Penstock's own connection, from the tests' process."""
        with self.reached() as url:
            database = Database(url)
            await database.open()
            try:
                yield database
            finally:
                await database.close()

    @contextmanager
    def reached(self) -> Iterator[str]:
        """Its address on this machine, as long as the block runs and its pod lives."""
        with self.namespace.forward(f"pod/{self.name}", POSTGRES_PORT) as port:
            yield self._url("127.0.0.1", port)

    def _url(self, host: str, port: int) -> str:
        return f"postgresql://postgres:{self.password}@{host}:{port}/penstock"


def start_postgres(namespace: Namespace, image: str, *settings: str) -> Postgres:
    """PostgreSQL with `settings` (`max_connections=300`). It ends with its pod, data and all."""
    made = Postgres(namespace, "postgres", uuid.uuid4().hex)
    # Nothing is kept, so nothing has to reach a disk.
    quick = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
    arguments = [word for setting in (*quick, *settings) for word in ("-c", setting)]
    main = pods.container(
        image,
        "postgres",
        *arguments,
        env=[
            pods.from_secret("POSTGRES_PASSWORD", made.secret, "password"),
            *pods.variables({"POSTGRES_DB": "penstock", "PGDATA": "/data/pg"}),
        ],
        volumeMounts=[
            {"name": "data", "mountPath": "/data"},
            {"name": "run", "mountPath": "/var/run/postgresql"},
        ],
        # Over TCP: while the official image sets itself up, its server answers on the socket only.
        readinessProbe={
            "exec": {"command": ["pg_isready", "--host=127.0.0.1", "--username=postgres"]},
            "periodSeconds": 1,
            "timeoutSeconds": 10,
            "failureThreshold": 180,
        },
        ports=[{"containerPort": POSTGRES_PORT}],
    )
    spec = pods.pod_spec(
        main,
        volumes=[{"name": "data", "emptyDir": {}}, {"name": "run", "emptyDir": {}}],
        securityContext={
            **pods.RESTRICTED_POD,
            "runAsUser": _POSTGRES_USER,
            "fsGroup": _POSTGRES_USER,
        },
    )
    namespace.create(
        pods.secret(made.secret, {"password": made.password, "url": made.url}),
        pods.service(made.name, POSTGRES_PORT),
        pods.pod(made.name, {**spec, "restartPolicy": "Always"}),
    )
    namespace.ready(made.name)
    return made


@dataclass(frozen=True)
class Simulator:
    """A provider that throttles as told."""

    namespace: Namespace
    name: str

    @property
    def url(self) -> str:
        """Its address as pods of any namespace see it; `/v1` of it speaks OpenAI's API."""
        return f"http://{self.name}.{self.namespace.name}:{SIMULATOR_PORT}"

    def stats(self) -> dict[str, Any]:
        """What it has counted since it started."""
        found: dict[str, Any] = self.namespace.ask_json(self.name, SIMULATOR_PORT, "/stats")
        return found


def start_simulator(
    namespace: Namespace, image: str, *options: str, name: str = "simulator"
) -> Simulator:
    """`penstock simulate` with these options."""
    main = pods.container(
        image,
        "simulate",
        "--host=0.0.0.0",
        f"--port={SIMULATOR_PORT}",
        *options,
        readinessProbe=pods.http_ready(SIMULATOR_PORT, "/healthz"),
        ports=[{"containerPort": SIMULATOR_PORT}],
    )
    namespace.create(pods.service(name, SIMULATOR_PORT), pods.pod(name, pods.pod_spec(main)))
    namespace.ready(name)
    return Simulator(namespace, name)


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that scrapes what it was told."""

    namespace: Namespace
    name: str

    @property
    def url(self) -> str:
        """Its address as pods of any namespace see it."""
        return f"http://{self.name}.{self.namespace.name}:{PROMETHEUS_PORT}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector an expression gives now: `[{"metric": {…}, "value": [time, "1"]}]`."""
        path = f"/api/v1/query?{urlencode({'query': expression}, quote_via=quote)}"
        answer = self.namespace.ask_json(self.name, PROMETHEUS_PORT, path)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


def start_prometheus(
    namespace: Namespace,
    image: str,
    scrape_configs: list[Object],
    *,
    service_account: str | None = None,
) -> Prometheus:
    """Prometheus with these `scrape_configs`, scraping every second unless they say otherwise.

    Discovery of pods needs a service account that may list them.
    """
    name = "prometheus"
    settings = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": scrape_configs,
    }
    main = pods.container(
        image,
        "--config.file=/etc/prometheus/prometheus.yml",
        "--storage.tsdb.path=/prometheus",
        readinessProbe=pods.http_ready(PROMETHEUS_PORT, "/-/ready"),
        ports=[{"containerPort": PROMETHEUS_PORT}],
        volumeMounts=[
            {"name": "config", "mountPath": "/etc/prometheus"},
            {"name": "data", "mountPath": "/prometheus"},
        ],
    )
    account = {"serviceAccountName": service_account} if service_account else {}
    spec = pods.pod_spec(
        main,
        volumes=[
            {"name": "config", "configMap": {"name": name}},
            {"name": "data", "emptyDir": {}},
        ],
        securityContext={
            **pods.RESTRICTED_POD,
            "runAsUser": _PROMETHEUS_USER,
            "fsGroup": _PROMETHEUS_USER,
        },
        automountServiceAccountToken=bool(service_account),
        **account,
    )
    namespace.create(
        # JSON is YAML.
        pods.config_map(name, {"prometheus.yml": json.dumps(settings)}),
        pods.service(name, PROMETHEUS_PORT),
        pods.pod(name, spec),
    )
    namespace.ready(name)
    return Prometheus(namespace, name)
