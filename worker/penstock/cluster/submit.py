"""A job on its way to the cluster: data and code staged, key seen to, manifest applied.

Whatever is wrong on this machine is found before anything is made there. What is staged for a job
belongs to it and goes with it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.cluster import changing
from penstock.cluster.api import Api, Refused
from penstock.cluster.code import stage_code
from penstock.cluster.keys import Key, key_of
from penstock.cluster.kinds import BATCH_JOBS, CONFIG_MAPS, SECRETS, Raw
from penstock.cluster.manifest import given, manifest_for, stays_here
from penstock.cluster.seen import is_over
from penstock.cluster.staged import Staged, labels
from penstock.cluster.staging import stage
from penstock.cluster.watching import Since
from penstock.errors import InputError
from penstock.spec.job import BatchJob


@dataclass(frozen=True, slots=True)
class Person:
    """Who hands a job over. say: told what happens. ask: comes back when something may be done, and
    raises what ends the command when not; None when there is nobody to be asked."""

    say: Callable[[str], object]
    ask: Callable[[str], object] | None


async def submit(
    api: Api,
    namespace: str,
    job: BatchJob,
    written: Mapping[str, Any],
    base: Path,
    *,
    mounted: bool,
    environ: Mapping[str, str],
    person: Person,
) -> Since:
    """Hand over a job; returns what its status has to be newer than.

    written: the manifest as it stands. base: its folder. mounted: as in `stage`. environ: where a
    key may be. Raises InputError, ClusterError.
    """
    spec = given(job, written)
    found = (stage(job, spec, base, mounted=mounted), stage_code(job, spec, base))
    staged = [one for one in found if one is not None]
    there = await changing.find(api, namespace, job.name)
    key = await _key(api, namespace, job, environ, person, there)
    if url := stays_here(job):
        person.say(f"{url} is a pod itself when a pod calls it, not this machine")
    body = manifest_for(job, written, staged=staged, key=key, there=there)
    made: list[tuple[Any, str]] = []
    if key is not None and key.value:
        if await _make_secret(api, namespace, job, key):
            made.append((SECRETS, key.name))
            person.say(f"Secret {key.name} made from {key.variable}")
        else:
            person.say(f"Secret {key.name} is there, and you may not change it: it stays as it is")
    try:
        for one in staged:
            await api.apply(CONFIG_MAPS, namespace, one.config_map)
            made.append((CONFIG_MAPS, one.name))
            person.say(f"in the ConfigMap {one.name}: {one.told}")
        applied = await api.apply(BATCH_JOBS, namespace, body)
    except Refused as error:
        if there is None:
            for kind, name in made:
                with suppress(Refused):
                    await api.delete(kind, namespace, name)
        if error.status in (400, 422):
            raise InputError.at("", str(error)) from error
        raise
    await _own(api, namespace, applied, staged, key, person)
    if there is None:
        return Since(applied["metadata"]["generation"])
    return await _again(api, namespace, there, applied, staged, person)


async def _again(
    api: Api, namespace: str, there: Raw, applied: Raw, staged: Sequence[Staged], person: Person
) -> Since:
    """What it means that the job was there before."""
    name, generation = applied["metadata"]["name"], applied["metadata"]["generation"]
    status, rerun = there.get("status") or {}, applied["spec"]["rerun"]
    if is_over(there):
        person.say(
            f"{name} has ended before: a new run over what is not skipped (spec.rerun {rerun})"
        )
        await _clear(api, namespace, name, staged)
    elif generation != there["metadata"]["generation"]:
        person.say(f"{name} is there already: this is an edit of it")
    elif status.get("phase") == "Paused":
        person.say(f"{name} is paused: it goes on")
        await changing.resume(api, namespace, name)
    else:
        person.say(f"{name} is there already, with this very manifest")
    newer = rerun > (there["spec"].get("rerun") or 0)
    return Since(generation, (status.get("currentRun") or 0) if newer else 0)


async def _key(
    api: Api,
    namespace: str,
    job: BatchJob,
    environ: Mapping[str, str],
    person: Person,
    there: Raw | None,
) -> Key | None:
    """The key to refer to; its value is left in it when the Secret has to be made from it."""
    key = key_of(job, environ)
    if key is None:
        return None
    try:
        metadata = await api.metadata(SECRETS, namespace, key.name)
    except Refused as error:
        if not error.forbidden:
            raise
        metadata = None if key.ours else {}  # whether it is there will show
    if metadata is not None and not (key.ours and _is_going(metadata, there)):
        return Key(key.name, key.entry, key.where, key.ours, key.variables)
    if not key.value:
        raise key.not_there(namespace)
    if person.ask is None:
        raise key.not_asked(namespace)
    person.ask(f"Make the Secret {key.name} in {namespace} from {key.variable}?")
    return key


def _is_going(metadata: Mapping[str, Any], there: Raw | None) -> bool:
    """Whether it belongs to a BatchJob that is gone, and so will be, too."""
    owners = [one["uid"] for one in metadata.get("ownerReferences") or ()]
    return bool(owners) and (there is None or there["metadata"]["uid"] not in owners)


async def _make_secret(api: Api, namespace: str, job: BatchJob, key: Key) -> bool:
    """Make or renew the Secret. False when there is one that must not be changed; raises
    ClusterError when none may be made."""
    secret = key.secret(job.name)
    if key.ours:
        encoded = {name: base64.b64encode(value.encode()).decode()
                   for name, value in secret.pop("stringData").items()}  # fmt: skip
        secret["data"] = encoded
        try:
            await api.apply(SECRETS, namespace, secret)
            return True
        except Refused as error:
            if not error.forbidden:
                raise
    try:
        await api.create(SECRETS, namespace, secret)
        return True
    except Refused as error:
        if error.exists and key.ours:
            return False
        if error.forbidden:
            raise key.not_allowed(namespace, error) from error
        raise


async def _own(
    api: Api,
    namespace: str,
    applied: Raw,
    staged: Sequence[Staged],
    key: Key | None,
    person: Person,
) -> None:
    """What was made for the job goes with it."""
    owner = changing.owner_reference(applied)
    for one in staged:
        metadata = {**one.config_map["metadata"], "ownerReferences": [owner]}
        await api.apply(CONFIG_MAPS, namespace, {**one.config_map, "metadata": metadata})
    if key is not None and key.ours and key.value:
        body = {"metadata": {"ownerReferences": [owner]}}
        try:
            await api.merge(SECRETS, namespace, key.name, body)
        except Refused as error:
            if not error.forbidden:
                raise
            person.say(f"Secret {key.name} stays when the job is deleted: you may not change it")


async def _clear(api: Api, namespace: str, name: str, staged: Sequence[Staged]) -> None:
    """Data and code of earlier runs, as far as that may be looked for."""
    selector = ",".join(f"{label}={value}" for label, value in labels(name).items())
    with suppress(Refused):
        for found in await api.everything(CONFIG_MAPS, namespace, selector, metadata=True):
            if found["metadata"]["name"] not in {one.name for one in staged}:
                await api.delete(CONFIG_MAPS, namespace, found["metadata"]["name"])
