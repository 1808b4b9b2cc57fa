"""Names, labels and annotations of everything the operator makes, and whose an object is.

Pure. A name that fits is used as it is; one that is too long, or no DNS label, is cut and gets a
short hash, so that different BatchJobs never share a Job, a Secret or a label.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from penstock.spec.job import API_VERSION, KIND
from penstock_operator.observed import Role

DOMAIN = "penstock.dev/"
BATCHJOB = f"{DOMAIN}batchjob"
RUN = f"{DOMAIN}run"
ROLE = f"{DOMAIN}role"
BATCHJOB_NAME = f"{DOMAIN}batchjob"
"""An annotation, with the full name; the label of that key holds what labels can hold of it."""
BATCHJOB_UID = f"{DOMAIN}batchjob-uid"
"""An annotation: a BatchJob that was deleted and made again has the same name."""
TEMPLATE = f"{DOMAIN}template"
"""An annotation of a Job: the code of the pod template that its pods are made by."""

_LONGEST = 63
_LONGEST_JOB = _LONGEST - len("-99999")
"""Pods of an Indexed Job have its name and their index as their host name."""
_HASH = 8
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Owner:
    """The BatchJob that an object belongs to, and goes with when it is deleted."""

    name: str
    namespace: str
    uid: str


def job_name(batchjob: str, run: int, role: Role) -> str:
    """The Job of a role in a run, at most 57 characters."""
    end = f"-{run}-{role}"
    return fitting(batchjob, _LONGEST_JOB - len(end)) + end


def secret_name(owner: Owner, url: str, role: str = "") -> str:
    """The Secret that holds the address of the database: another address, another name. Another
    name as well for a BatchJob that was made again: the Secret of the old one is about to go.
    role: that it holds the address for, in place of the user in the url."""
    told = f"{owner.uid} {_fingerprint(url)} {role}".rstrip()
    code = hashlib.sha256(told.encode()).hexdigest()[:_HASH]
    end = f"-db-{code}"
    return fitting(owner.name, _LONGEST - len(end)) + end


def labels(batchjob: str, run: int, role: Role) -> dict[str, str]:
    """What Jobs and pods are found by."""
    return {
        **labels_of_all(batchjob),
        RUN: str(run),
        ROLE: role,
        "app.kubernetes.io/component": role,
    }


def labels_of_all(batchjob: str) -> dict[str, str]:
    """What everything that is made for a BatchJob is found by."""
    name = fitting(batchjob, _LONGEST)
    return {
        BATCHJOB: name,
        "app.kubernetes.io/name": "penstock",
        "app.kubernetes.io/managed-by": "penstock-operator",
        "app.kubernetes.io/part-of": name,
    }


def annotations_of(owner: Owner) -> dict[str, str]:
    """Whose an object is, in full."""
    return {BATCHJOB_NAME: owner.name, BATCHJOB_UID: owner.uid}


def owner_reference(owner: Owner) -> dict[str, Any]:
    """Goes with the BatchJob. Nothing of it keeps a deletion waiting."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def batchjob_of(metadata: Mapping[str, Any]) -> str | None:
    """Name of the BatchJob that an object belongs to, by its owner or its annotation."""
    return _owned(metadata, "name", BATCHJOB_NAME)


def batchjob_uid_of(metadata: Mapping[str, Any]) -> str | None:
    """UID of the BatchJob that an object belongs to, by its owner or its annotation."""
    return _owned(metadata, "uid", BATCHJOB_UID)


def fitting(text: str, room: int) -> str:
    """The text as a DNS label of at most `room` characters (at least 10): as it is, or cut and with
    a hash of the whole."""
    if len(text) <= room and _LABEL.fullmatch(text):
        return text
    code = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_HASH]
    rest = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[: room - _HASH - 1].strip("-")
    return f"{rest}-{code}" if rest else code


def _owned(metadata: Mapping[str, Any], field: str, annotation: str) -> str | None:
    group = API_VERSION.partition("/")[0]
    for reference in metadata.get("ownerReferences") or ():
        if (
            reference.get("kind") == KIND
            and reference.get("apiVersion", "").partition("/")[0] == group
        ):
            return str(reference[field])
    value = (metadata.get("annotations") or {}).get(annotation)
    return str(value) if value else None


@lru_cache(maxsize=8)
def _fingerprint(url: str) -> str:
    """Names are read by many who must not learn the password in the address. A slow hash keeps them
    from trying passwords against it."""
    code = hashlib.scrypt(url.encode(), salt=b"penstock", n=2**14, r=8, p=1, dklen=_HASH // 2)
    return code.hex()
