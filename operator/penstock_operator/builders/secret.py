"""The Secret that pods of a BatchJob take the address of the database from."""

from __future__ import annotations

from typing import Any

from penstock_operator.names import (
    Owner,
    annotations_of,
    labels_of_all,
    owner_reference,
)

URL_KEY = "url"


def database_secret(owner: Owner, name: str, url: str) -> dict[str, Any]:
    """Its name depends on the address and its content never changes: made once, never read."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": labels_of_all(owner.name),
            "annotations": annotations_of(owner),
            "ownerReferences": [owner_reference(owner)],
        },
        "type": "Opaque",
        "immutable": True,
        "stringData": {URL_KEY: url},
    }
