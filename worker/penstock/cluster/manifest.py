"""The manifest as it is handed to the cluster: what only made sense on this machine is put right.

Pure. It stays what the user wrote wherever it can (`10m` stays `10m`), since people look at it with
kubectl, and the API server has its own reading of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from penstock.cluster.keys import Key, reference
from penstock.cluster.mounts import is_mounted
from penstock.cluster.seen import is_over
from penstock.cluster.staged import Staged
from penstock.spec.job import BatchJob

_METADATA = ("name", "labels", "annotations")


def manifest_for(
    job: BatchJob,
    written: Mapping[str, Any],
    *,
    staged: Sequence[Staged],
    key: Key | None,
    there: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What to apply.

    written: the manifest as it stands. staged: the data and code that go along. key: the Secret its
    key is in. there: the BatchJob as it is on the cluster already, whose counters never fall; one
    that has ended gets a new run.
    """
    spec = given(job, written)
    for one in staged:
        spec |= one.changes
    if key is not None and key.ours:
        openai = {**spec["processor"]["openai"], "apiKey": reference(key)}
        spec["processor"] = {**spec["processor"], "openai": openai}
    if not writes_there(job):
        spec.pop("output", None)
    counters = {"rerun": job.spec.rerun, "redrive": job.spec.redrive}
    if there is not None:
        before = there.get("spec") or {}
        counters["rerun"] = max(counters["rerun"], before.get("rerun", 0) + is_over(there))
        counters["redrive"] = max(counters["redrive"], before.get("redrive", 0))
    # Said in any case: what is left out would stay as it was.
    spec |= {**counters, "suspend": job.spec.suspend}
    metadata = written["metadata"]
    return {
        "apiVersion": job.api_version,
        "kind": job.kind,
        "metadata": {name: metadata[name] for name in _METADATA if metadata.get(name)},
        "spec": spec,
    }


def given(job: BatchJob, written: Mapping[str, Any]) -> dict[str, Any]:
    """`spec` as it is written, without the fields that say nothing."""
    return _given(written["spec"], job.spec)


def writes_there(job: BatchJob) -> bool:
    """Whether the results are written by a pod: to a volume, or anywhere but a file."""
    output = job.spec.output
    if output is None:
        return False
    if output.file is None:
        # The folder of a manifest is on this machine.
        return output.per_item is None or output.object_store is not None
    return is_mounted(output.file.path, job.spec.template)


def stays_here(job: BatchJob) -> str:
    """The address of the processor when it means this very machine; empty when it does not."""
    processor = job.spec.processor
    kinds = (processor.openai, processor.ollama, processor.http)
    for kind in kinds:
        url = str(getattr(kind, "base_url", None) or getattr(kind, "url", ""))
        host = urlsplit(url).hostname or ""
        if host == "localhost" or host.startswith("127.") or host == "::1":
            return url
    return ""


def _given(data: Mapping[str, Any], model: BaseModel) -> dict[str, Any]:
    """The fields that say something: a null counts as not given, except in what the model leaves
    free, an item, say."""
    names = {
        field.alias or attribute: attribute for attribute, field in type(model).model_fields.items()
    }
    return {
        name: _part(value, getattr(model, names[name]))
        for name, value in data.items()
        if value is not None
    }


def _part(value: Any, model: Any) -> Any:
    if isinstance(model, BaseModel) and isinstance(value, dict):
        return _given(value, model)
    if isinstance(model, list) and isinstance(value, list):
        return [_part(one, meant) for one, meant in zip(value, model, strict=True)]
    return value
