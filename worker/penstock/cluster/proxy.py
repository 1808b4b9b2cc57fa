"""Which proxy leads to the API server: the environment read as kubectl reads it. Pure.

Python's own reading of NO_PROXY knows no networks (`10.0.0.0/8`), which is what clusters are listed
by.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """The address of the proxy to reach `url` by; None for no proxy."""
    parts = urlsplit(url)
    proxy = _variable(environ, f"{parts.scheme}_proxy")
    host = (parts.hostname or "").lower()
    if not proxy or _is_here(host):
        return None
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    exceptions = _variable(environ, "no_proxy").split(",")
    if any(_excepts(one.strip().lower(), host, port) for one in exceptions):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _variable(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name.upper()) or environ.get(name) or "").strip()


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _excepts(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY (`*`, a network, an address, a domain, `.domain` for what is
    below it, the last three also with `:port`) covers a host."""
    if entry in ("", "*"):
        return entry == "*"
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    if address is not None:
        try:
            return address in ip_network(entry, strict=False)
        except ValueError:
            pass  # no network: an address with a port, or a name
    name, wanted = _parted(entry)
    if wanted is not None and wanted != port:
        return False
    name = name.removeprefix("*")
    return host == name or host.endswith(name if name.startswith(".") else f".{name}")


def _parted(entry: str) -> tuple[str, int | None]:
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit():
        return name.strip("[]"), int(port)
    return entry.strip("[]"), None
