"""The Kubernetes API, as far as the command line uses it: plain objects in, plain objects out.

A person reads what is refused here, so every answer becomes a sentence that says what to do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from penstock import jsons
from penstock.cluster.kinds import BATCH_JOBS, Kind, Raw, object_in
from penstock.cluster.kubeconfig import Login
from penstock.errors import ClusterError

FIELD_MANAGER = "penstock"
INSTALL = "helm install penstock charts/penstock --namespace penstock --create-namespace"

_TIMEOUT = aiohttp.ClientTimeout(total=60.0, sock_connect=10.0)
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Refused(ClusterError):
    """The API server said no. status: of HTTP."""

    def __init__(self, status: int, message: str, *, named: bool = True) -> None:
        super().__init__(message)
        self.status, self.named = status, named

    @property
    def missing(self) -> bool:
        """There is no such object, though there could be."""
        return self.status == 404 and self.named

    @property
    def forbidden(self) -> bool:
        """Whoever asks may not."""
        return self.status == 403

    @property
    def exists(self) -> bool:
        """An object of that name is there already."""
        return self.status == 409


class Unreachable(ClusterError):
    """Nothing was answered; the same may work a moment later."""


class Api:
    """An API server as one user sees it. Every method may raise Refused and Unreachable."""

    def __init__(self, login: Login, session: aiohttp.ClientSession) -> None:
        self._login, self._session = login, session
        self.namespace = login.namespace

    async def get(self, kind: Kind, namespace: str, name: str) -> Raw:
        """One object."""
        return await self._call("GET", kind, namespace, name)

    async def metadata(self, kind: Kind, namespace: str, name: str) -> Raw | None:
        """The metadata of an object, None when there is none; of what it holds nothing is sent."""
        try:
            found = await self._call("GET", kind, namespace, name, accept=_METADATA)
        except Refused as error:
            if error.missing:
                return None
            raise
        metadata: Raw = found["metadata"]
        return metadata

    async def everything(
        self, kind: Kind, namespace: str, selector: str = "", *, metadata: bool = False
    ) -> list[Raw]:
        """All objects of a namespace, or those with certain labels; of Secrets the metadata."""
        query = {"labelSelector": selector} if selector else {}
        accept = _METADATA_LIST if metadata else _JSON
        found = await self._call("GET", kind, namespace, query=query, accept=accept)
        items: list[Raw] = found.get("items") or []
        return items

    async def create(self, kind: Kind, namespace: str, body: Raw) -> Raw:
        """Make an object; returns it as it is now."""
        return await self._call("POST", kind, namespace, body=body)

    async def apply(self, kind: Kind, namespace: str, body: Raw) -> Raw:
        """Server-side apply: the fields in `body` are what it says, whoever set them last."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        name = body["metadata"]["name"]
        return await self._call(
            "PATCH", kind, namespace, name, query=query, body=body, content=_APPLY
        )

    async def merge(self, kind: Kind, namespace: str, name: str, body: Raw) -> Raw:
        """Change the fields that are in `body`."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._call(
            "PATCH", kind, namespace, name, query=query, body=body, content=_MERGE
        )

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, grace: int | None = None
    ) -> None:
        """Ask for the end of an object, and in the background of what it owns."""
        body: Raw = {"propagationPolicy": "Background"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        await self._call("DELETE", kind, namespace, name, body=body)

    def socket(self, path: str, query: Sequence[tuple[str, str]], protocol: str) -> Any:
        """A WebSocket, to be entered with `async with`."""
        return self._session.ws_connect(
            f"{self._login.host}{path}",
            protocols=(protocol,),
            params=list(query),
            headers=self._headers(),
            proxy=self._login.proxy,
            server_hostname=self._login.server_name,
            max_msg_size=0,
        )

    async def _call(
        self,
        method: str,
        kind: Kind,
        namespace: str,
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: Raw | None = None,
        content: str = _JSON,
        accept: str = _JSON,
    ) -> Raw:
        path = f"{kind.group}/namespaces/{namespace}/{kind.plural}" + (f"/{name}" if name else "")
        headers = {"Accept": accept, "Content-Type": content, **self._headers()}
        try:
            async with self._session.request(
                method,
                f"{self._login.host}{path}",
                params=query,
                data=None if body is None else jsons.dumps(body).encode(),
                headers=headers,
                proxy=self._login.proxy,
                server_hostname=self._login.server_name,
                allow_redirects=False,
            ) as answer:
                status, data = answer.status, await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self.unreachable(error) from error
        if not 200 <= status < 300:
            raise refusal(status, data, kind)
        return object_in(data)

    def unreachable(self, error: BaseException) -> Unreachable:
        """What to say of an error of the connection."""
        host = urlsplit(self._login.host).netloc
        by = f" by the proxy {urlsplit(self._login.proxy).netloc}" if self._login.proxy else ""
        why = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        return Unreachable(f"the cluster at {host} cannot be reached{by}: {why}")

    def _headers(self) -> dict[str, str]:
        value = self._login.authorization()
        return {"Authorization": value} if value else {}


@asynccontextmanager
async def opened(login: Login) -> AsyncIterator[Api]:
    """A connection to a cluster."""
    tls = login.tls if login.tls is not None else False
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls), timeout=_TIMEOUT, trust_env=False
    ) as session:
        yield Api(login, session)


def refusal(status: int, data: bytes, kind: Kind) -> ClusterError:
    """What an answer other than 2xx means for a person. Pure."""
    said = object_in(data)
    message = str(said.get("message") or data[:300].decode(errors="replace").strip() or status)
    named = bool((said.get("details") or {}).get("name"))
    if status == 401:
        text = f"the cluster does not accept these credentials ({message}); log in again"
    elif status == 403:
        text = f"no permission: {message}"
    elif status == 404 and kind is BATCH_JOBS and not named:
        text = f"this cluster knows no BatchJobs; Penstock has to be installed there: {INSTALL}"
    elif status in (429, 500, 502, 503, 504):
        return Unreachable(f"the cluster cannot answer at present ({status}): {message}")
    else:
        text = f"the cluster refused ({status}): {message}"
    return Refused(status, text, named=named)
