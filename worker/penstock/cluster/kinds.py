"""Kinds of objects of Kubernetes and where its API has them: for the command line and the operator,
each of which has a client of its own. People read what the one is refused, the other acts by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from penstock import jsons

Raw = dict[str, Any]
"""An object of Kubernetes as its API has it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object and where the API has it."""

    name: str
    group: str
    plural: str


BATCH_JOBS = Kind("BatchJob", "/apis/penstock.dev/v1alpha1", "batchjobs")
CONFIG_MAPS = Kind("ConfigMap", "/api/v1", "configmaps")
DEFINITIONS = Kind(
    "CustomResourceDefinition", "/apis/apiextensions.k8s.io/v1", "customresourcedefinitions"
)
EVENTS = Kind("Event", "/api/v1", "events")
JOBS = Kind("Job", "/apis/batch/v1", "jobs")
LEASES = Kind("Lease", "/apis/coordination.k8s.io/v1", "leases")
PODS = Kind("Pod", "/api/v1", "pods")
SECRETS = Kind("Secret", "/api/v1", "secrets")


def object_in(data: bytes) -> Raw:
    """The object in an answer; empty when there is none."""
    try:
        value = jsons.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
