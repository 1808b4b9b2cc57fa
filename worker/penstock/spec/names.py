"""Names that Kubernetes, the database and the file system all can take."""

from __future__ import annotations

import re

LONGEST_JOB_NAME = 52
"""Names of Jobs and pods are made from the job's, and they may have 63 characters."""

CODE_ARCHIVE = "code.zip"
"""Key of a ConfigMap with code as one archive, which pods unpack: a key has no folders in it."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_RESULT_SET = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")


def is_job_name(text: str) -> bool:
    """Whether a job may be called this: a DNS label with room for what is added to it."""
    return len(text) <= LONGEST_JOB_NAME and _LABEL.fullmatch(text) is not None


def is_namespace(text: str) -> bool:
    """Whether this can be a Kubernetes namespace."""
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def is_result_set(text: str) -> bool:
    """Whether a result set may be called this."""
    return _RESULT_SET.fullmatch(text) is not None


def as_job_name(text: str) -> str:
    """The nearest name a job may have; empty when nothing of the text can be kept."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST_JOB_NAME].strip("-")
