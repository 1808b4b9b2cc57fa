"""Data of this machine on its way to the cluster: small files become a ConfigMap.

One file goes as it is, packed when only that makes it small enough. Several (a glob) are read here
and go as one file of JSON Lines, in the order a local run reads them: items, their places and what
is skipped stay the same. Files that are items themselves go along beside such a list, and are
mounted where the same path leads to them. What is too large is refused with the ways there are.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock import jsons
from penstock.cluster.mounts import is_mounted, with_files
from penstock.cluster.staged import (
    LARGEST,
    MOST_READ,
    Staged,
    config_map_of,
    key_of,
    keys_of,
    size_of,
)
from penstock.errors import InputError
from penstock.sources.files import COMPRESSED, PATH_FIELD, DataFile, data_files
from penstock.sources.items import check_source, read_items
from penstock.spec.job import BatchJob
from penstock.spec.source import Source

MOST_FILES = 1000
"""Each is named in the manifest, and in every pod."""
_WAYS = (
    "Put it on a volume that spec.template mounts and give its path there, /data/… say (--mounted,"
    " where the path does not tell by itself that it is on a volume), into an object store"
    " (source.objectStore), or into an image of your own (--mounted)"
)


def stage(job: BatchJob, spec: Mapping[str, Any], base: Path, *, mounted: bool) -> Staged | None:
    """The local data of a job; None when there is none to bring along.

    spec: that of the manifest as it is handed over. base: the folder that its paths are relative
    to. mounted: the path is one in the pods, whatever it looks like. Raises InputError.
    """
    source = job.spec.source
    if source.file is None or mounted or is_mounted(source.file.path, job.spec.template):
        return None
    check_source(source, base)
    if source.format == "files":
        return _of_files(job, spec, base)
    files = data_files(source, base)
    if len(files) == 1:
        key, data = _one(files[0])
        dropped: tuple[str, ...] = ("file",)
        more = {}
    else:
        key, data = f"{job.name}.jsonl", _joined(source, base)
        dropped, more = ("file", "csv", "xlsx"), {"format": "jsonl"}
    key, data = _small(key, data, source.file.path)
    config_map = config_map_of(job.name, "source", {key: data})
    changes = {"source": _source(spec, config_map, key, dropped, more)}
    return Staged(config_map, changes, f"{len(data):,} bytes of data")


def _of_files(job: BatchJob, spec: Mapping[str, Any], base: Path) -> Staged:
    """The list of all files, and of the files themselves those that are worked on."""
    source = job.spec.source
    assert source.file is not None
    path = source.file.path
    wanted = (item for item in read_items(source, base) if item.error is None)
    names = [jsons.loads(item.payload)["path"] for item in wanted]
    size = sum((base / name).stat().st_size for name in names)
    if size > LARGEST:
        raise InputError.at(PATH_FIELD, _too_large(f"{path} ({len(names):,} files)", size))
    if len(names) > MOST_FILES:
        message = f"{path} has {len(names):,} files, and {MOST_FILES:,} can go along. {_WAYS}"
        raise InputError.at(PATH_FIELD, message)
    key, data = _small(f"{job.name}.jsonl", _joined(source, base), path, LARGEST - size)
    keys = keys_of(names, taken=[key])
    files = {keys[name]: (base / name).read_bytes() for name in names}
    config_map = config_map_of(job.name, "source", {key: data, **files})
    more = {"format": "jsonl", "idField": spec["source"].get("idField", "path")}
    changes = {
        "source": _source(spec, config_map, key, ("file", "csv", "xlsx"), more),
        "template": with_files(spec.get("template"), config_map["metadata"]["name"], keys),
    }
    return Staged(config_map, changes, f"{len(names):,} files of {size:,} bytes")


def _source(
    spec: Mapping[str, Any],
    config_map: Mapping[str, Any],
    key: str,
    dropped: tuple[str, ...],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """`spec.source` with the ConfigMap in place of the file."""
    rest = {name: value for name, value in spec["source"].items() if name not in dropped}
    return {**rest, **more, "configMap": {"name": config_map["metadata"]["name"], "key": key}}


def _one(file: DataFile) -> tuple[str, bytes]:
    size = file.path.stat().st_size
    if size > MOST_READ:
        raise InputError.at(PATH_FIELD, _too_large(file.name, size))
    return key_of(file.path.name), file.path.read_bytes()


def _joined(source: Source, base: Path) -> bytes:
    """Every row as JSON Lines. What is to be dropped or refused for its ID, the cluster decides."""
    every = source.model_copy(
        update={"where": None, "limit": None, "id_field": None, "on_bad_record": "refuse"}
    )
    lines, size = [], 0
    for item in read_items(every, base):
        line = item.payload.encode() + b"\n"
        size += len(line)
        if size > MOST_READ:
            assert source.file is not None
            raise InputError.at(PATH_FIELD, _too_large(source.file.path, size))
        lines.append(line)
    return b"".join(lines)


def _small(key: str, data: bytes, what: str, room: int = LARGEST) -> tuple[str, bytes]:
    """The data, packed where only that makes them small enough. Raises InputError."""
    if len(data) <= room:
        return key, data
    if not key.lower().endswith((*COMPRESSED, ".xlsx", ".xlsm", ".parquet", ".pq")):
        packed = gzip.compress(data, mtime=0)
        if len(packed) <= room:
            return f"{key}.gz", packed
    raise InputError.at(PATH_FIELD, _too_large(what, len(data) + LARGEST - room))


def _too_large(what: str, size: int) -> str:
    """What to do with data that no ConfigMap can hold."""
    return f"{what} has {size_of(size)}, and a ConfigMap holds {size_of(LARGEST)}. {_WAYS}"
