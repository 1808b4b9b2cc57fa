"""The CustomResourceDefinition itself, as manifests/crd.yaml holds it.

`make docs` writes that file; tests/unit/test_project.py fails when it is out of step.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from penstock.spec.job import API_VERSION, KIND, BatchJob, BatchJobSpec, Metadata
from penstock.spec.names import LONGEST_JOB_NAME
from penstock_operator.crd.rules import RULES
from penstock_operator.crd.schema import structural_schema
from penstock_operator.crd.status import BatchJobStatus

GROUP, VERSION = API_VERSION.split("/")
PLURAL, SINGULAR, SHORT = "batchjobs", "batchjob", "bj"

_HEAD = "# Written by `make docs` from the models; edit those instead.\n"
_COLUMNS = (
    # (heading, type, where, what it says)
    ("PHASE", "string", ".status.phase", "What the job is doing."),
    ("PROGRESS", "string", ".status.progress", "Share of the items that are done."),
    ("SUCCEEDED", "integer", ".status.itemCounts.succeeded", "Items with a result of this run."),
    ("SKIPPED", "integer", ".status.itemCounts.skipped", "Items that had a result already."),
    ("FAILED", "integer", ".status.itemCounts.failed", "Items that failed."),
    ("RATE", "string", ".status.rate", "Items that succeed or fail in a second."),
    ("429", "string", ".status.throttled", "Share of the calls that were throttled."),
    ("ETA", "string", ".status.eta", "How long it will probably still take."),
    ("AGE", "date", ".metadata.creationTimestamp", "Time since the job was created."),
)
_WIDE = (("MESSAGE", "string", ".status.message", "What it does or waits for, in a sentence."),)


def definition() -> dict[str, Any]:
    """The CustomResourceDefinition as an object to apply. It is new at each call."""
    whole = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{PLURAL}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "penstock"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": SINGULAR,
                "shortNames": [SHORT],
                # Where `kubectl get all` shows Jobs, what made them must not be missing.
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        *(_column(*column) for column in _COLUMNS),
                        *(_column(*column) | {"priority": 1} for column in _WIDE),
                    ],
                    "selectableFields": [{"jsonPath": ".status.phase"}],
                    "schema": {"openAPIV3Schema": _schema()},
                }
            ],
        },
    }
    # Parts that stand in several places become several, which YAML would tie together otherwise.
    copied: dict[str, Any] = json.loads(json.dumps(whole))
    return copied


def crd_yaml() -> str:
    """manifests/crd.yaml."""
    return _HEAD + yaml.safe_dump(definition(), sort_keys=False, width=100, allow_unicode=True)


def _schema() -> dict[str, Any]:
    return {
        "type": "object",
        "description": BatchJob.__doc__,
        "required": ["spec"],
        "properties": {
            "apiVersion": {
                "type": "string",
                "description": f"Version of the format: {API_VERSION}.",
            },
            "kind": {"type": "string", "description": f"Kind of the object: {KIND}."},
            "metadata": {
                "type": "object",
                # Kubernetes describes metadata itself and takes no more than this here.
                "properties": {
                    "name": {
                        "type": "string",
                        "description": Metadata.model_fields["name"].description,
                        "maxLength": LONGEST_JOB_NAME,
                    }
                },
            },
            "spec": structural_schema(BatchJobSpec),
            "status": structural_schema(BatchJobStatus),
        },
        "x-kubernetes-validations": [rule.as_json() for rule in RULES[KIND]],
    }


def _column(heading: str, kind: str, where: str, says: str) -> dict[str, Any]:
    return {"name": heading, "type": kind, "jsonPath": where, "description": says}
