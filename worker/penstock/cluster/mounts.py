"""Which paths of a manifest lie on volumes that `spec.template` mounts, and how files that go along
are mounted. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from penstock.errors import InputError
from penstock.sources.files import PATH_FIELD

CONTAINER = "penstock"
"""The container that the work is done in."""
WORKING_DIRECTORY = "/data"
"""That of the worker image."""
VOLUME = "staged-files"
_SYSTEM = frozenset(
    ("bin", "boot", "dev", "etc", "lib", "lib64", "opt", "proc", "run", "sbin", "sys", "usr", "var")
)
"""Folders below / that an image needs itself."""


def is_mounted(path: str, template: Mapping[str, Any] | None) -> bool:
    """Whether an absolute path is below a mount of the pods' own container."""
    place = PurePosixPath(path)
    return place.is_absolute() and any(
        place.is_relative_to(mount) for mount in _mounts(template or {})
    )


def with_files(
    template: Mapping[str, Any] | None, config_map: str, keys: Mapping[str, str]
) -> dict[str, Any]:
    """A pod template in which paths lead to the entries of a ConfigMap.

    keys: the key of each path; relative ones start where the pods work. Raises InputError when
    nothing can be mounted there.
    """
    spec = dict((template or {}).get("spec") or {})
    containers = list(spec.get("containers") or ())
    place = _own(containers)
    own = {"name": CONTAINER} if place is None else containers.pop(place)
    start = own.get("workingDir") or WORKING_DIRECTORY
    places = {posixpath.normpath(posixpath.join(start, path)): key for path, key in keys.items()}
    folder = posixpath.commonpath([posixpath.dirname(one) for one in places])
    mounts = list(own.get("volumeMounts") or ())
    _check_free(folder, mounts)
    # By subPath the pods see a folder of plain files; without, one of links into a hidden folder.
    mount = {"name": VOLUME, "mountPath": folder, "subPath": "files", "readOnly": True}
    items = [
        {"key": key, "path": posixpath.join("files", posixpath.relpath(one, folder))}
        for one, key in places.items()
    ]
    containers.insert(place or 0, {**own, "volumeMounts": [*mounts, mount]})
    volume = {"name": VOLUME, "configMap": {"name": config_map, "items": items}}
    volumes = [*(spec.get("volumes") or ()), volume]
    return {**(template or {}), "spec": {**spec, "containers": containers, "volumes": volumes}}


def _check_free(folder: str, mounts: Sequence[Mapping[str, Any]]) -> None:
    if folder in ("/", "/tmp") or folder.split("/")[1] in _SYSTEM:
        message = f"these files would have to lie in {folder} in the pods, which have their own"
        raise InputError.at(PATH_FIELD, f"{message}: put them in a folder beside the manifest")
    if any(posixpath.normpath(str(one.get("mountPath"))) == folder for one in mounts):
        message = f"spec.template mounts a volume at {folder}, where these files would go"
        raise InputError.at(PATH_FIELD, f"{message}: put them on that volume (--mounted)")


def _own(containers: Sequence[Mapping[str, Any]]) -> int | None:
    """Which of them the work is done in, as the operator sees it."""
    for names in ((CONTAINER,), (None, "")):
        for place, container in enumerate(containers):
            if container.get("name") in names:
                return place
    return 0 if len(containers) == 1 else None


def _mounts(template: Mapping[str, Any]) -> Iterator[PurePosixPath]:
    spec = template.get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    known = [one for one in containers or () if isinstance(one, Mapping)]
    own = _own(known)
    if own is not None:
        for mount in known[own].get("volumeMounts") or ():
            if isinstance(mount, Mapping) and isinstance(mount.get("mountPath"), str):
                yield PurePosixPath(mount["mountPath"])
