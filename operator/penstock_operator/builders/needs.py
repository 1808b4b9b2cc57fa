"""What pods of each role take from objects of their namespace: Secrets as variables, code as files.

Plan tries the source, the output and the code; work has the processor, its code, and the object
store whose files its functions read; export has the output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock.spec.job import BatchJob
from penstock.spec.output import Output
from penstock.spec.processor import Processor, SecretKeyRef
from penstock.spec.secrets import variable_name
from penstock.spec.source import SecretRef, Source
from penstock_operator.observed import Role

DATABASE_KEY = "url"
"""Key of a Secret with the address of a database, unless the manifest names another."""


def variables(role: Role, manifest: BatchJob) -> list[dict[str, Any]]:
    """The variables of a container, each with a value of one Secret."""
    spec, found = manifest.spec, []
    key = _api_key(spec.processor)
    if role == "work" and key is not None:
        found.append((key.name, key.key))
    found += [(one.name, one.key) for one in _references(role, manifest) if one.key]
    return [from_secret(variable_name(*pair), *pair) for pair in dict.fromkeys(found)]


def env_from(role: Role, manifest: BatchJob) -> list[dict[str, Any]]:
    """Secrets of which every entry becomes a variable, named after both."""
    names = dict.fromkeys(one.name for one in _references(role, manifest) if not one.key)
    return [{"prefix": variable_name(name, ""), "secretRef": {"name": name}} for name in names]


def code(role: Role, manifest: BatchJob) -> str | None:
    """Name of the ConfigMap with the code of the processor; None where the role calls none of it,
    or the image has it."""
    python = manifest.spec.processor.python
    if role == "export" or python is None or python.code_from is None:
        return None
    return python.code_from.config_map.name


def from_secret(variable: str, name: str, key: str) -> dict[str, Any]:
    """A variable with the value of a key of a Secret."""
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def _references(role: Role, manifest: BatchJob) -> Iterator[SecretRef]:
    source, output = manifest.spec.source, manifest.spec.output
    if role == "plan":
        yield from _of_database(source)
    # A worker reads objects only for the functions that ask for them (`ctx.read`).
    if role == "plan" or (role == "work" and manifest.spec.processor.python is not None):
        yield from _of_store(source)
    if role in ("plan", "export") and output is not None:
        yield from _of_database(output)
        yield from _of_store(output)


def _of_database(holder: Source | Output) -> Iterator[SecretRef]:
    reference = holder.postgres.secret_ref if holder.postgres else None
    if reference is not None:
        yield SecretRef(name=reference.name, key=reference.key or DATABASE_KEY)


def _of_store(holder: Source | Output) -> Iterator[SecretRef]:
    if holder.object_store is not None and holder.object_store.secret_ref is not None:
        yield holder.object_store.secret_ref


def _api_key(processor: Processor) -> SecretKeyRef | None:
    for kind in (processor.openai, processor.http):
        if kind is not None and kind.api_key is not None:
            return kind.api_key.secret_key_ref
    return None
