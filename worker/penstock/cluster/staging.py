"""Data of this machine on its way to the cluster: small files become a ConfigMap.

One file goes as it is, packed when only that makes it small enough. Several (a glob) are read here
and go as one file of JSON Lines, in the order a local run reads them: items, their places and what
is skipped stay the same. What is too large is refused with the ways there are.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.cluster.mounts import is_mounted
from penstock.errors import InputError
from penstock.sources.files import COMPRESSED, PATH_FIELD, DataFile, data_files
from penstock.sources.items import check_source, read_items
from penstock.spec.job import BatchJob
from penstock.spec.source import Source

LARGEST = 900 * 1024
"""Bytes. Kubernetes takes 1 MiB for all of a ConfigMap."""
_MOST_READ = 64 * 1024 * 1024
"""Bytes of what will not get small enough by packing anyway."""
_LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class Staged:
    """What to make before the job is handed over. source: `spec.source` as it has to be then."""

    config_map: dict[str, Any]
    source: dict[str, Any]
    size: int

    @property
    def name(self) -> str:
        """Of the ConfigMap."""
        return str(self.config_map["metadata"]["name"])


def stage(job: BatchJob, written: Mapping[str, Any], base: Path, *, mounted: bool) -> Staged | None:
    """The local data of a job; None when there is none to bring along.

    written: `spec.source` as it stands in the manifest. base: the folder that its paths are
    relative to. mounted: the path is one in the pods, whatever it looks like. Raises InputError.
    """
    source = job.spec.source
    if source.file is None or mounted or is_mounted(source.file.path, job.spec.template):
        return None
    check_source(source, base)
    files = data_files(source, base)
    if len(files) == 1:
        key, data = _one(files[0])
        dropped: tuple[str, ...] = ("file",)
        more = {}
    else:
        key, data = f"{job.name}.jsonl", _joined(source, files, base)
        dropped, more = ("file", "csv", "xlsx"), {"format": "jsonl"}
    if len(data) > LARGEST:
        packed = _packed(key, data)
        if packed is None:
            raise InputError.at(PATH_FIELD, too_large(source.file.path, len(data)))
        key, data = packed
    config_map = config_map_of(job.name, key, data)
    reference = {"name": config_map["metadata"]["name"], "key": key}
    rest = {name: value for name, value in written.items() if name not in dropped}
    return Staged(config_map, {**rest, **more, "configMap": reference}, len(data))


def config_map_of(job: str, key: str, data: bytes) -> dict[str, Any]:
    """The ConfigMap that holds `data`; its name tells the content, which never changes."""
    code = hashlib.sha256(key.encode() + b"\0" + data).hexdigest()[:10]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{job}-source-{code}", "labels": labels(job)},
        "immutable": True,
        **_content(key, data),
    }


def labels(job: str) -> dict[str, str]:
    """What all that is staged for a job is found by. The operator watches other labels."""
    return {
        "app.kubernetes.io/name": "penstock",
        "app.kubernetes.io/component": "source",
        "app.kubernetes.io/part-of": job,
        "app.kubernetes.io/managed-by": "penstock-submit",
    }


def too_large(path: str, size: int) -> str:
    """What to do with data that no ConfigMap can hold."""
    return (
        f"{path} has {_size(size)}, and a ConfigMap holds {_size(LARGEST)}. Put it on a volume that"
        " spec.template mounts and give its path there, /data/… say (--mounted, where the path"
        " does not tell by itself that it is on a volume)"
    )


def _one(file: DataFile) -> tuple[str, bytes]:
    size = file.path.stat().st_size
    if size > _MOST_READ:
        raise InputError.at(PATH_FIELD, too_large(file.name, size))
    return _key(file.path.name), file.path.read_bytes()


def _joined(source: Source, files: list[DataFile], base: Path) -> bytes:
    """Every row as JSON Lines. What is to be dropped or refused for its ID, the cluster decides."""
    every = source.model_copy(
        update={"where": None, "limit": None, "id_field": None, "on_bad_record": "refuse"}
    )
    lines, size = [], 0
    for item in read_items(every, base):
        line = item.payload.encode() + b"\n"
        size += len(line)
        if size > _MOST_READ:
            assert source.file is not None
            raise InputError.at(PATH_FIELD, too_large(f"{len(files)} files in all", size))
        lines.append(line)
    return b"".join(lines)


def _packed(key: str, data: bytes) -> tuple[str, bytes] | None:
    if key.lower().endswith((*COMPRESSED, ".xlsx", ".xlsm", ".parquet", ".pq")):
        return None  # packed already
    packed = gzip.compress(data, mtime=0)
    return (f"{key}.gz", packed) if len(packed) <= LARGEST else None


def _key(name: str) -> str:
    """A file name as Kubernetes takes it; its end, which tells the format, stays."""
    key = re.sub(r"[^-._a-zA-Z0-9]+", "-", name)[-_LONGEST_KEY:]
    return key if key.strip(".") else "data"


def _content(key: str, data: bytes) -> dict[str, Any]:
    """As text where it is one, for `kubectl get -o yaml`."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return {"binaryData": {key: base64.b64encode(data).decode()}}
    return {"data": {key: text}}


def _size(count: int) -> str:
    if count >= 1024 * 1024:
        return f"{count / 1024 / 1024:.1f} MiB"
    return f"{count / 1024:.0f} KiB"
