"""A Kubernetes API for the tests: plain dicts by path, and the pinned kubectl.

The official client knows how to log in to any cluster; its 700 typed classes are left aside, since
the tests, like the operator, hold objects as dicts.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kubernetes import client, config

Object = dict[str, Any]

_SECONDS = 60
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Refused(Exception):
    """The API server said no. `status` is the HTTP status, `message` its explanation."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Kube:
    """The API server, as whoever the kubeconfig says."""

    def __init__(self, kubeconfig: Path, kubectl: Path) -> None:
        self.kubeconfig = kubeconfig
        self._kubectl = kubectl
        self._configuration = client.Configuration()
        load: Callable[..., None] = config.load_kube_config  # without types of its own
        load(str(kubeconfig), client_configuration=self._configuration)
        # Proxy variables are about other places than a cluster for tests.
        self._configuration.proxy = None
        self._configuration.no_proxy = None
        self._api = client.ApiClient(self._configuration)

    def bearer(self, token: str) -> Kube:
        """The same API server, as the service account of a token."""
        other = Kube(self.kubeconfig, self._kubectl)
        settings = other._configuration
        settings.cert_file = settings.key_file = None
        settings.refresh_api_key_hook = None
        settings.api_key = {"authorization": f"Bearer {token}"}
        other._api = client.ApiClient(settings)
        return other

    def get(self, path: str, **query: str) -> Object:
        """An object, or a list of them."""
        return self._object("GET", path, query)

    def create(self, path: str, body: Object) -> Object:
        """POST to a collection."""
        return self._object("POST", path, {}, body)

    def replace(self, path: str, body: Object) -> Object:
        """PUT; refused with 409 when the object was changed since it was read."""
        return self._object("PUT", path, {}, body)

    def patch(self, path: str, body: Object) -> Object:
        """Merge patch: what is named changes, what is None goes."""
        kind = {"Content-Type": "application/merge-patch+json"}
        return self._object("PATCH", path, {}, body, kind)

    def delete(self, path: str, *, grace: int | None = None) -> None:
        """Ask for the end of an object, or of a collection; it may take a while."""
        options: Object = {"propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        self._object("DELETE", path, {}, options)

    def read(self, path: str, *, method: str = "GET", **query: str) -> bytes:
        """A body that is no object: what a pod answers through the API server's proxy."""
        return self._send(method, path, query)

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """What the pinned kubectl prints. Raises AssertionError with what it complains about."""
        done = self.try_kubectl(*arguments, text=text)
        complaint = f"kubectl {' '.join(arguments)}: {done.stderr.strip()}"
        assert done.returncode == 0, complaint
        return done.stdout

    def try_kubectl(
        self, *arguments: str, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The same for a command that may fail."""
        return subprocess.run(
            self.kubectl_command(*arguments),
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment(),
            timeout=300,
            check=False,
        )

    def kubectl_command(self, *arguments: str) -> list[str]:
        """The command line, for whoever starts it."""
        return [str(self._kubectl), "--kubeconfig", str(self.kubeconfig), *arguments]

    def _object(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        found: Object = json.loads(self._send(method, path, query, body, headers))
        return found

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        where = path + (f"?{urlencode(query)}" if query else "")
        kind = {"Accept": "*/*", "Content-Type": "application/json", **(headers or {})}
        prepared = self._api.param_serialize(
            method, where, header_params=kind, body=body, auth_settings=["BearerToken"]
        )
        answer: Any = self._api.call_api(*prepared, _request_timeout=_SECONDS)
        data: bytes = answer.read()
        if not 200 <= answer.status < 300:
            raise Refused(answer.status, _explained(data))
        return data


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The tests' own environment without proxies, for programs that talk to the cluster."""
    kept = {name: value for name, value in os.environ.items() if name.lower() not in _PROXIES}
    return {**kept, "NO_PROXY": "*", **(more or {})}


def condition(found: Object, kind: str) -> Object | None:
    """A condition of an object's status when it is True, else None."""
    conditions: Sequence[Object] = found.get("status", {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind and c["status"] == "True"), None)


def _explained(data: bytes) -> str:
    text = data.decode(errors="replace")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:1000]
