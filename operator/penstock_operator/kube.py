"""The Kubernetes API, as far as the operator uses it: plain objects in, plain objects out.

Lists and watches of what the operator follows come through kopf (handlers.py); this is for what it
makes, changes and removes, and for asking again where a watch cannot be relied on (resync.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config
from kubernetes.aio.config.config_exception import ConfigException

from penstock.cluster.kinds import DEFINITIONS, LEASES, Kind, Raw, object_in
from penstock.errors import InputError, PenstockError

PAGE = 500
_TIMEOUT = aiohttp.ClientTimeout(total=30.0, sock_connect=5.0)
_JSON = "application/json"
_PATCH = "application/json-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class KubeError(PenstockError):
    """The API server refused, or did not answer. status: of HTTP, 0 without an answer. reason: the
    API's own word for it. named: whether the answer is about that very object, not about its kind
    or namespace. about: the name of the object that the answer is about."""

    def __init__(
        self, what: str, status: int, reason: str, message: str, named: bool, about: str = ""
    ) -> None:
        super().__init__(f"{what}: {message}")
        self.status, self.reason, self.message, self.named = status, reason, message, named
        self.about = about

    @property
    def missing(self) -> bool:
        """There is no such object."""
        return self.status == 404 and self.named

    @property
    def exists(self) -> bool:
        """An object of that name is there already."""
        return self.status == 409 and self.reason == "AlreadyExists"

    @property
    def stale(self) -> bool:
        """The object is not what it was when it was last seen."""
        return self.status == 409 and self.reason != "AlreadyExists"

    @property
    def invalid(self) -> bool:
        """The object itself is at fault: the same again would be refused again."""
        return self.status in (400, 422)


async def configuration(environ: Mapping[str, str]) -> Configuration:
    """How to reach the API: by KUBECONFIG where that is set, else as a pod of the cluster. Raises
    InputError when neither works."""
    config: Configuration = type.__call__(Configuration)
    try:
        if path := environ.get("KUBECONFIG"):
            await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=path, client_configuration=config
            )
        else:
            load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=config
            )
    except (ConfigException, OSError) as error:
        where = "KUBECONFIG" if environ.get("KUBECONFIG") else "this pod's service account"
        raise InputError.at(where, f"cannot be used to reach Kubernetes: {error}") from error
    config.retries = None  # the queue tries again, with back-off
    # The API server is inside; a proxy set for calls to providers would not know the way.
    config.client_session_kwargs = {"trust_env": False}
    return config


class Kube:
    """A client. `calls` counts by verb and kind. may_write: asked before each write but those of
    the Lease itself. Every method may raise KubeError."""

    def __init__(self, config: Configuration) -> None:
        self._api = ApiClient(config)
        self.calls: Counter[tuple[str, str]] = Counter()
        self.may_write: Callable[[], bool] = lambda: True

    async def close(self) -> None:
        """Close its connections."""
        await self._api.close()  # type: ignore[no-untyped-call]

    async def get(self, kind: Kind, namespace: str, name: str, accept: str = _JSON) -> Raw:
        """One object."""
        return await self._call("GET", "get", kind, namespace, name, accept=accept)

    async def definition(self) -> Raw:
        """Who BatchJobs are to this cluster: the metadata of their definition."""
        return await self._call(
            "GET", "get", DEFINITIONS, None, "batchjobs.penstock.dev", accept=METADATA_ONLY
        )

    async def everything(
        self, kind: Kind, namespace: str | None, selector: str = ""
    ) -> tuple[list[Raw], str]:
        """All objects in a namespace (None: in all), and the resourceVersion they are as of. Whole
        or not at all: KubeError when a page is missing."""
        found: list[Raw] = []
        query = {"limit": str(PAGE)}
        if selector:
            query["labelSelector"] = selector
        while True:
            page = await self._call("GET", "list", kind, namespace, query=query)
            found += page.get("items") or ()
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return found, str(metadata.get("resourceVersion", ""))
            query["continue"] = metadata["continue"]

    async def create(self, kind: Kind, body: Raw, *, strict: bool = False) -> Raw:
        """Make an object; returns it as it is now. strict: a field that Kubernetes does not know is
        refused; else it is left out without a word."""
        query = {"fieldValidation": "Strict"} if strict else None
        namespace = body["metadata"]["namespace"]
        return await self._call("POST", "create", kind, namespace, query=query, body=body)

    async def replace(self, kind: Kind, body: Raw) -> Raw:
        """Write an object that was read before; refused (stale) when it has changed since."""
        metadata = body["metadata"]
        return await self._call(
            "PUT", "update", kind, metadata["namespace"], metadata["name"], body=body
        )

    async def patch(self, kind: Kind, namespace: str, name: str, operations: list[Raw]) -> Raw:
        """Change an object by a JSON patch; returns it as it is now. Refused (stale) when one of
        the `test` operations fails. name: `NAME/status` for its status."""
        try:
            return await self._call(
                "PATCH", "patch", kind, namespace, name, body=operations, content=_PATCH
            )
        except KubeError as error:
            if error.status == 422 and not error.named:  # so it answers when a `test` fails
                what = f"patch {kind.name} {namespace}/{name}"
                raise KubeError(what, 409, "Conflict", "it has changed meanwhile", True) from error
            raise

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> Raw:
        """Remove exactly this object, and in the background what it owns."""
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        return await self._call("DELETE", "delete", kind, namespace, name, body=body)

    async def _call(
        self,
        method: str,
        verb: str,
        kind: Kind,
        namespace: str | None,
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: Raw | Sequence[Raw] | None = None,
        content: str = _JSON,
        accept: str = _JSON,
    ) -> Raw:
        within = f"/namespaces/{namespace}" if namespace is not None else ""
        path = f"{kind.group}{within}/{kind.plural}" + (f"/{name}" if name else "")
        what = f"{verb} {kind.name} {namespace or '*'}/{name}".rstrip("/")
        if method != "GET" and kind is not LEASES and not self.may_write():
            raise KubeError(what, 0, "NotLeading", "another operator may be at work", False)
        self.calls[verb, kind.name] += 1
        request = await self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept, "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = await self._api.call_api(*request, _request_timeout=_TIMEOUT)
            data: bytes = await answer.read()  # type: ignore[no-untyped-call]
        except TimeoutError as error:
            raise KubeError(what, 0, "Timeout", "the API server does not answer", False) from error
        except (aiohttp.ClientError, OSError) as error:
            text = f"the API server cannot be reached: {error}"
            raise KubeError(what, 0, "Unreachable", text, False) from error
        if not 200 <= answer.status < 300:
            raise _refusal(what, answer.status, data, name.partition("/")[0])
        return object_in(data)


def _refusal(what: str, status: int, data: bytes, name: str) -> KubeError:
    said = object_in(data)
    message = said.get("message") or data[:200].decode(errors="replace").strip() or str(status)
    about = str((said.get("details") or {}).get("name") or "")
    named = bool(name) and about == name
    return KubeError(what, status, str(said.get("reason") or ""), str(message), named, about)
