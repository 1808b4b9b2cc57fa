"""Manifests and settings that objects are built from."""

from __future__ import annotations

from typing import Any

from penstock.spec.job import BatchJob
from penstock_operator.builders.jobs import build
from penstock_operator.names import Owner, secret_name
from penstock_operator.observed import Role
from penstock_operator.settings import Settings

OWNER = Owner("tv", "shop", "5f6f9a3c-0000-4000-8000-000000000001")
URL = "postgresql://penstock:hunter22@db/penstock"
SETTINGS = Settings(
    database_url="postgresql://operator:secret77@db/penstock",
    worker_database_url=URL,
    namespace="penstock-system",
    namespaces=(),
    image="example.com/penstock-worker:0.1",
    pull_policy="IfNotPresent",
    pull_secrets=("registry",),
    job_roles=False,
)
SECRET = secret_name(OWNER, URL)
ROLES: tuple[Role, ...] = ("plan", "work", "export")


def manifest(metadata: dict[str, Any] | None = None, **spec: Any) -> BatchJob:
    """A small BatchJob; `spec` are further fields of its spec, as in a manifest."""
    return BatchJob.model_validate(
        {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": "tv", **(metadata or {})},
            "spec": {
                "source": {"inline": {"items": [1]}},
                "processor": {"http": {"url": "http://far.side/"}},
                **spec,
            },
        }
    )


def built(role: Role, job: BatchJob, *, parallelism: int = 3, suspend: bool = False) -> Any:
    """The Job of a role in the second run, which is number 77 of the database."""
    return build(
        role, OWNER, 2, 77, job, SETTINGS, secret=SECRET, parallelism=parallelism, suspend=suspend
    )
