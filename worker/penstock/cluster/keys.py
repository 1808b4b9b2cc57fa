"""The API key of a job: which Secret it is in, and whether this machine has what belongs there.

Pure. The key itself is in `Key.value` alone, which is in no printed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from penstock.errors import ClusterError, InputError
from penstock.spec.job import BatchJob
from penstock.spec.processor import ApiKey
from penstock.spec.secrets import variable_name

OPENAI = "OPENAI_API_KEY"
_NEEDS_A_KEY = "api.openai.com"


@dataclass(frozen=True, slots=True)
class Key:
    """A Secret that the job's pods take the key from.

    name, entry: of the Secret and in it. where: the field of the manifest. ours: the manifest names
    none, so it is the job's own. variable, value: the local variable that holds it; empty when none
    is set. variables: those that would do.
    """

    name: str
    entry: str
    where: str
    ours: bool
    variables: tuple[str, ...]
    variable: str = ""
    value: str = field(default="", repr=False)

    def secret(self, job: str) -> dict[str, Any]:
        """The Secret, to be made."""
        labels = {"app.kubernetes.io/name": "penstock", "app.kubernetes.io/part-of": job}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "labels": labels},
            "type": "Opaque",
            "stringData": {self.entry: self.value},
        }

    def command(self, namespace: str) -> str:
        """What makes the Secret without Penstock; the key is on no command line."""
        variable = self.variable or self.variables[-1]
        return (
            f"printenv {variable} | kubectl -n {namespace} create secret generic {self.name}"
            f" --from-file={self.entry}=/dev/stdin"
        )

    def not_there(self, namespace: str) -> InputError:
        """There is neither the Secret nor a variable."""
        verb = "is" if len(self.variables) == 1 else "are"
        return InputError.at(
            self.where,
            f"no API key: namespace {namespace} has no Secret {self.name}, and here"
            f" {' and '.join(self.variables)} {verb} not set."
            f" Set it, or make the Secret: {self.command(namespace)}",
        )

    def not_asked(self, namespace: str) -> InputError:
        """Nobody is there to be asked whether the Secret may be made."""
        return InputError.at(
            "--yes",
            f"needed to make the Secret {self.name} from {self.variable} when nobody can be asked;"
            f" or make it yourself: {self.command(namespace)}",
        )

    def not_allowed(self, namespace: str, why: ClusterError) -> ClusterError:
        """Whoever submits may make no Secret."""
        name = (
            f", and name it in the manifest: {self.where}:"
            f" {{secretKeyRef: {{name: {self.name}, key: {self.entry}}}}}"
            if self.ours
            else ""
        )
        return ClusterError(
            f"the Secret {self.name} cannot be made for you ({why}). Somebody who may has to make"
            f" it in {namespace}: {self.command(namespace)}{name}"
        )


def key_of(job: BatchJob, environ: Mapping[str, str]) -> Key | None:
    """The key that a job needs or, for an openai processor, that is at hand; None for neither."""
    openai, http = job.spec.processor.openai, job.spec.processor.http
    if openai is not None:
        where = "spec.processor.openai.apiKey"
        if openai.api_key is not None:
            return _named(openai.api_key, where, (OPENAI,), environ)
        key = Key(f"{job.name}-api-key", "api-key", where, True, (OPENAI,))
        found = _filled(key, environ)
        needed = urlsplit(openai.base_url).hostname == _NEEDS_A_KEY
        return found if found.value or needed else None
    if http is not None and http.api_key is not None:
        return _named(http.api_key, "spec.processor.http.apiKey", (), environ)
    return None


def reference(key: Key) -> dict[str, Any]:
    """`apiKey` of the manifest."""
    return {"secretKeyRef": {"name": key.name, "key": key.entry}}


def _named(asked: ApiKey, where: str, more: tuple[str, ...], environ: Mapping[str, str]) -> Key:
    name, entry = asked.secret_key_ref.name, asked.secret_key_ref.key
    return _filled(Key(name, entry, where, False, (variable_name(name, entry), *more)), environ)


def _filled(key: Key, environ: Mapping[str, str]) -> Key:
    for variable in key.variables:
        value = environ.get(variable, "").strip()
        if value:
            return replace(key, variable=variable, value=value)
    return key
