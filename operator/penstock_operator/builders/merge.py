"""`spec.template`: laid over the pod that the operator makes, and what may not stand in it.

Kubernetes judges the template when a Job is made of it. Here is told what the merging itself cannot
take, and what the operator needs for itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from penstock import jsons
from penstock.errors import Mistake
from penstock.spec.suggest import did_you_mean
from penstock_operator.builders.strategic import identity, overlaid
from penstock_operator.names import DOMAIN

CONTAINER = "penstock"
RESERVED = "penstock-"
"""Volumes of the operator's own begin so."""
RESERVED_PATH = "/etc/penstock"

_TEMPLATE = "spec.template"
_RESERVED_LABELS = (DOMAIN, "batch.kubernetes.io/", "job-name", "controller-uid")
_RESERVED_ENV = ("PENSTOCK_", "JOB_COMPLETION_INDEX")
_OTHERS_SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}

_T = TypeVar("_T", bound="dict[str, Any] | list[Any]")
_Found = Generator[Mistake, None, _T]
"""Yields what is wrong; returns the value, or an empty one in its place."""


def merged(pod: Mapping[str, Any], template: Mapping[str, Any] | None) -> dict[str, Any]:
    """The pod with a template laid over it that has no mistakes. Neither is changed."""
    given = template or {}
    spec = dict(given.get("spec") or {})
    containers = list(spec.get("containers") or ())
    own = _own(containers)
    spec["containers"] = [
        {**one, "name": CONTAINER} if place == own else _secured(one)
        for place, one in enumerate(containers)
    ]
    if spec.get("initContainers"):
        spec["initContainers"] = [_secured(one) for one in spec["initContainers"]]
    metadata = {
        field: entries for field, entries in (given.get("metadata") or {}).items() if entries
    }
    result: dict[str, Any] = overlaid(dict(pod), {"metadata": metadata, "spec": spec})
    return result


def template_code(template: Mapping[str, Any] | None) -> str:
    """Tells one template from another that makes other pods."""
    return hashlib.sha256(jsons.canonical(merged({}, template))).hexdigest()[:16]


def template_mistakes(template: Any) -> list[Mistake]:
    """Everything that keeps a template from being merged, each at its path."""
    if template is None:
        return []
    if not isinstance(template, dict):
        return [Mistake(_TEMPLATE, f"wanted an object, given {_kind(template)}")]
    return [*_unknown(template), *_metadata(template), *_spec(template)]


def _own(containers: Sequence[Mapping[str, Any]]) -> int | None:
    """Which of them the work is done in: by its name, without one, or because there is no other."""
    for names in ((CONTAINER,), (None, "")):
        for place, container in enumerate(containers):
            if container.get("name") in names:
                return place
    return 0 if len(containers) == 1 else None


def _secured(container: Mapping[str, Any]) -> dict[str, Any]:
    """A container beside ours, allowed no more than it asks for: "restricted" refuses less."""
    asked = container.get("securityContext") or {}
    added = (asked.get("capabilities") or {}).get("add") or ()
    plain = dict(_OTHERS_SECURITY)
    if asked.get("privileged") or "SYS_ADMIN" in added or "CAP_SYS_ADMIN" in added:
        del plain["allowPrivilegeEscalation"]  # Kubernetes refuses the two together
    return {**container, "securityContext": overlaid(plain, asked)}


def _unknown(template: Mapping[str, Any]) -> Iterator[Mistake]:
    for name in template:
        if name not in ("metadata", "spec"):
            hint = did_you_mean(name, ["metadata", "spec"])
            message = f"a pod template has metadata and spec only{hint}"
            yield Mistake(f"{_TEMPLATE}.{name}", message)


def _metadata(template: dict[str, Any]) -> Iterator[Mistake]:
    metadata = yield from _object(template, "metadata", _TEMPLATE)
    where = f"{_TEMPLATE}.metadata"
    for name in metadata:
        if name not in ("labels", "annotations"):
            message = "only labels and annotations can be set; the operator names its pods"
            yield Mistake(f"{where}.{name}", message)
    for field in ("labels", "annotations"):
        entries = yield from _object(metadata, field, where)
        for name, value in entries.items():
            if name.startswith(_RESERVED_LABELS):
                yield Mistake(f"{where}.{field}.{name}", "is set by the operator or by Kubernetes")
            elif not isinstance(value, str):
                message = f'wanted text, given {_kind(value)}; write it in "quotes"'
                yield Mistake(f"{where}.{field}.{name}", message)


def _spec(template: dict[str, Any]) -> Iterator[Mistake]:
    spec = yield from _object(template, "spec", _TEMPLATE)
    where = f"{_TEMPLATE}.spec"
    if spec.get("restartPolicy") not in (None, "Never"):
        message = "only Never will do: Penstock decides itself what is tried again"
        yield Mistake(f"{where}.restartPolicy", message)
    for field in ("securityContext", "resources"):
        yield from _object(spec, field, where)
    for field in ("imagePullSecrets", "volumes"):
        for place, item in (yield from _keyed(spec, field, "name", where)):
            if field == "volumes" and str(item.get("name")).startswith(RESERVED):
                message = f"names that begin with {RESERVED} are the operator's own"
                yield Mistake(f"{place}.name", message)
    containers = yield from _objects(spec, "containers", where)
    yield from _names([one for _, one in containers], f"{where}.containers")
    own = _own([one for _, one in containers])
    for number, (path, container) in enumerate(containers):
        yield from _container(container, path, own=number == own)
    for path, container in (yield from _keyed(spec, "initContainers", "name", where)):
        if container.get("name") == CONTAINER:
            yield Mistake(f"{path}.name", f"{CONTAINER} is the container that works")
        yield from _container(container, path, own=False)


def _names(containers: Sequence[dict[str, Any]], where: str) -> Iterator[Mistake]:
    own, seen = _own(containers), set()
    if containers and own is None:
        message = f"which of them works? Name that one {CONTAINER}, or leave its name out"
        yield Mistake(where, message)
    for place, container in enumerate(containers):
        name, path = container.get("name"), f"{where}[{place}].name"
        if name is not None and not isinstance(name, str):
            yield Mistake(path, f"wanted text, given {_kind(name)}")
        elif not name and place != own:
            yield Mistake(path, f"is missing; only that of the container {CONTAINER} may be")
        elif name and name in seen:
            yield Mistake(path, f"{name!r} is there twice")
        else:
            seen.add(name)


def _container(container: dict[str, Any], where: str, *, own: bool) -> Iterator[Mistake]:
    security = yield from _object(container, "securityContext", where)
    capabilities = yield from _object(security, "capabilities", f"{where}.securityContext")
    yield from _list(capabilities, "add", f"{where}.securityContext.capabilities")
    resources = yield from _object(container, "resources", where)
    for field in ("limits", "requests"):
        yield from _object(resources, field, f"{where}.resources")
    variables = yield from _keyed(container, "env", "name", where)
    mounts = yield from _keyed(container, "volumeMounts", "mountPath", where)
    if not own:
        return
    if container.get("args") is not None:
        yield Mistake(f"{where}.args", "is set by the operator; `command` may be what takes them")
    yield from _list(container, "envFrom", where)
    for path, variable in variables:
        if str(variable.get("name")).startswith(_RESERVED_ENV):
            yield Mistake(f"{path}.name", f"{variable['name']} is set by the operator")
    for path, mount in mounts:
        mounted = str(identity(mount, "mountPath"))
        if f"{mounted}/".startswith(f"{RESERVED_PATH}/"):
            yield Mistake(f"{path}.mountPath", f"{RESERVED_PATH} is the operator's own")


def _object(holder: dict[str, Any], field: str, where: str) -> _Found[dict[str, Any]]:
    value = holder.get(field)
    if value is None or isinstance(value, dict):
        return value or {}
    yield Mistake(f"{where}.{field}", f"wanted an object, given {_kind(value)}")
    return {}


def _list(holder: dict[str, Any], field: str, where: str) -> _Found[list[Any]]:
    value = holder.get(field)
    if value is None or isinstance(value, list):
        return value or []
    yield Mistake(f"{where}.{field}", f"wanted a list, given {_kind(value)}")
    return []


def _objects(
    holder: dict[str, Any], field: str, where: str
) -> _Found[list[tuple[str, dict[str, Any]]]]:
    """The objects in a list, each with its path."""
    found = []
    items = yield from _list(holder, field, where)
    for place, item in enumerate(items):
        path = f"{where}.{field}[{place}]"
        if isinstance(item, dict):
            found.append((path, item))
        else:
            yield Mistake(path, f"wanted an object, given {_kind(item)}")
    return found


def _keyed(
    holder: dict[str, Any], field: str, key: str, where: str
) -> _Found[list[tuple[str, dict[str, Any]]]]:
    """The same, where each needs a `key` of its own."""
    found = yield from _objects(holder, field, where)
    seen = set()
    for path, item in found:
        value = identity(item, key)
        if not isinstance(value, str) or not value:
            problem = "is missing" if not value else f"wanted text, given {_kind(value)}"
            yield Mistake(f"{path}.{key}", problem)
        elif value in seen:
            yield Mistake(f"{path}.{key}", f"{value!r} is there twice")
        else:
            seen.add(value)
    return found


def _kind(value: Any) -> str:
    names = {str: "text", bool: "true or false", dict: "an object", list: "a list"}
    return "nothing" if value is None else names.get(type(value), "a number")
