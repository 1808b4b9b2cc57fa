"""What the manifest can say already and nothing does yet: one line each, deleted when it does.

The answer is a mistake, never silence: a job that ran without what it asks for would be worse.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from penstock.errors import Mistake
from penstock.spec.job import BatchJob

NOT_YET: tuple[tuple[str, Any, str], ...] = (
    # (path, the value that is meant or None for any, what it would be)
    ("spec.processor.stages", None, "stages"),
    ("spec.budget", None, "budgets"),
)


def unsupported(job: BatchJob) -> Iterator[Mistake]:
    """A mistake for everything in the job that nothing carries out yet."""
    for path, meant, what in NOT_YET:
        value = _at(job, path)
        if value is not None and meant in (None, value):
            yield Mistake(path, f"not supported yet: {what}; remove it for now")


def _at(job: BatchJob, path: str) -> Any:
    value: Any = job
    for name in path.split("."):
        if not isinstance(value, BaseModel):
            return None
        value = next(
            getattr(value, attribute)
            for attribute, field in type(value).model_fields.items()
            if (field.alias or attribute) == name
        )
    return value
