"""Which paths of a manifest lie on volumes that `spec.template` mounts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

CONTAINER = "penstock"
"""The container that the work is done in."""


def is_mounted(path: str, template: Mapping[str, Any] | None) -> bool:
    """Whether an absolute path is below a mount of the pods' own container."""
    place = PurePosixPath(path)
    return place.is_absolute() and any(
        place.is_relative_to(mount) for mount in _mounts(template or {})
    )


def _mounts(template: Mapping[str, Any]) -> Iterator[PurePosixPath]:
    spec = template.get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    known = [one for one in containers or () if isinstance(one, Mapping)]
    for one in known:
        if len(known) == 1 or one.get("name") in (CONTAINER, None, ""):
            for mount in one.get("volumeMounts") or ():
                if isinstance(mount, Mapping) and isinstance(mount.get("mountPath"), str):
                    yield PurePosixPath(mount["mountPath"])
