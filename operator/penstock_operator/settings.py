"""What the operator is told by its environment; the chart sets it. Read once, at the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.errors import InputError, Mistake


@dataclass(frozen=True, slots=True)
class Settings:
    """database_url: for the operator. worker_database_url: what pods of jobs get. namespace: its
    own. namespaces: those it looks after, empty for all. image: of plan, work and export pods.
    pull_policy and pull_secrets: how pods get it. job_roles: in place of that address, pods get a
    database role of their job's own, where the database allows."""

    database_url: str
    worker_database_url: str
    namespace: str
    namespaces: tuple[str, ...]
    image: str
    pull_policy: str
    pull_secrets: tuple[str, ...]
    job_roles: bool


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Raises InputError with every variable that is missing."""
    missing = [
        Mistake(name, "this environment variable is not set")
        for name in ("PENSTOCK_DATABASE_URL", "PENSTOCK_NAMESPACE", "PENSTOCK_WORKER_IMAGE")
        if not environ.get(name)
    ]
    if missing:
        raise InputError(missing)
    url, worker_url = environ["PENSTOCK_DATABASE_URL"], environ.get("PENSTOCK_WORKER_DATABASE_URL")
    return Settings(
        database_url=url,
        worker_database_url=worker_url or url,
        namespace=environ["PENSTOCK_NAMESPACE"],
        namespaces=_list(environ.get("PENSTOCK_NAMESPACES", "")),
        image=environ["PENSTOCK_WORKER_IMAGE"],
        pull_policy=environ.get("PENSTOCK_IMAGE_PULL_POLICY") or "IfNotPresent",
        pull_secrets=_list(environ.get("PENSTOCK_IMAGE_PULL_SECRETS", "")),
        job_roles=not worker_url and _flag("PENSTOCK_JOB_ROLES", environ),
    )


def _flag(name: str, environ: Mapping[str, str]) -> bool:
    value = environ.get(name) or "true"
    if value not in ("true", "false"):
        raise InputError.at(name, f"wanted true or false, given {value!r}")
    return value == "true"


def _list(text: str) -> tuple[str, ...]:
    return tuple(part for part in (one.strip() for one in text.split(",")) if part)
