"""Asks the running cluster whether it is well: plain GET requests, no client library."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from tests.cluster.config import NODE, Addresses, Paths

_SECONDS = 3


def fetch(url: str, paths: Paths) -> bytes:
    """Body of a GET, made as the administrator and by no proxy; raises OSError."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if url.startswith("https:"):
        context = ssl.create_default_context(cafile=str(paths.certificate("ca")))
        context.load_cert_chain(paths.certificate("admin"), paths.key("admin"))
        handlers.append(urllib.request.HTTPSHandler(context=context))
    with urllib.request.build_opener(*handlers).open(url, timeout=_SECONDS) as answer:
        body: bytes = answer.read()
    return body


def unhealthy(name: str, url: str, paths: Paths) -> str | None:
    """Why a part is not ready yet, None when it is."""
    try:
        fetch(url, paths)
    except urllib.error.HTTPError as error:
        return f"{name} answers {error.code}"
    except OSError as error:
        return f"{name} does not answer ({error})"
    return None


def node_not_ready(addresses: Addresses, paths: Paths) -> str | None:
    """Why pods can't run yet, None when the node is Ready and pods get their service account."""
    base = f"{addresses.api}/api/v1"
    try:
        node = json.loads(fetch(f"{base}/nodes/{NODE}", paths))
        fetch(f"{base}/namespaces/default/serviceaccounts/default", paths)
    except urllib.error.HTTPError as error:
        return f"the node is not there yet ({error.code})"
    except OSError as error:
        return f"the API server does not answer ({error})"
    return readiness(node)


def readiness(node: dict[str, Any]) -> str | None:
    """Why this Node object takes no pods, None when it does."""
    if taints := node["spec"].get("taints"):
        return f"the node is tainted ({', '.join(taint['key'] for taint in taints)})"
    for condition in node.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            ready = condition["status"] == "True"
            return None if ready else f"the node is not Ready: {condition['message']}"
    return "the node has said nothing yet"
