"""Where the cluster is and who asks: kubeconfig files, read by kubectl's rules.

The files of KUBECONFIG are taken together, the first that says something wins. Logging in (tokens,
certificates, the programs of cloud providers) is left to the `kubernetes` package, an extra.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from penstock.cluster.proxy import proxy_for
from penstock.errors import ClusterError, InputError
from penstock.spec.suggest import did_you_mean

DEFAULT = "~/.kube/config"


@dataclass(frozen=True, slots=True)
class Access:
    """What a command says about its cluster; None: what kubectl would take."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """How to reach an API server. host: `https://…`, without a slash at the end. namespace: that of
    the context. authorization: the header's value at this moment, None when a certificate does."""

    host: str
    namespace: str
    tls: ssl.SSLContext | None
    server_name: str | None
    authorization: Callable[[], str | None]
    proxy: str | None


def login(access: Access, environ: Mapping[str, str]) -> Login:
    """Read the kubeconfig, and log in where it says how. Raises InputError, ClusterError."""
    try:
        from kubernetes.config import ConfigException
        from kubernetes.config.kube_config import load_kube_config
    except ImportError:
        raise InputError.at(
            "the package kubernetes", "is missing: pip install 'penstock[cluster]'"
        ) from None
    paths = config_paths(access, environ)
    context, namespace = chosen([_read(path) for path in paths], access.context)
    found = SimpleNamespace(
        **dict.fromkeys(("ssl_ca_cert", "cert_file", "key_file", "tls_server_name", "proxy")),
        host="",
        verify_ssl=True,
        api_key={},
        refresh_api_key_hook=None,
    )
    load: Callable[..., None] = load_kube_config  # without types of its own
    try:
        load(
            config_file=os.pathsep.join(map(str, paths)),
            context=context,
            client_configuration=found,
            persist_config=False,
        )
        tls = _tls(found) if found.host.startswith("https") else None
    except (ConfigException, OSError, ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"the kubeconfig cannot be used (context {context}): {error}") from error
    if not found.host:
        raise ClusterError(f"the kubeconfig names no server for the context {context}")
    proxy = found.proxy or proxy_for(found.host, environ)
    if proxy and not proxy.startswith(("http://", "https://")):
        raise ClusterError(f"a proxy of the kind {proxy.partition('://')[0]} is not supported")
    return Login(
        host=found.host,
        namespace=namespace,
        tls=tls,
        server_name=found.tls_server_name,
        authorization=lambda: _authorization(found),
        proxy=proxy,
    )


def config_paths(access: Access, environ: Mapping[str, str]) -> list[Path]:
    """The files to read, in order; never empty. Raises InputError when there is none."""
    if access.kubeconfig is not None:
        if not access.kubeconfig.is_file():
            raise InputError.at("--kubeconfig", f"there is no file {access.kubeconfig}")
        return [access.kubeconfig]
    named = environ.get("KUBECONFIG", "")
    texts = [text for text in named.split(os.pathsep) if text] or [DEFAULT]
    found = [path for path in (Path(text).expanduser() for text in texts) if path.is_file()]
    if not found:
        what = f"KUBECONFIG names {named}" if named else f"there is no {DEFAULT}"
        raise InputError.at(
            "--kubeconfig", f"no kubeconfig: {what}. It says which cluster is meant, as for kubectl"
        )
    return found


def chosen(configs: Sequence[Mapping[str, Any]], asked: str | None) -> tuple[str, str]:
    """The context to use and its namespace, from the contents of the files in their order. Pure.
    Raises InputError when it is not there, or none is named."""
    contexts: dict[str, Mapping[str, Any]] = {}
    for name, context in _contexts(configs):
        contexts.setdefault(name, context)
    current = next(
        (str(one["current-context"]) for one in configs if one.get("current-context")), ""
    )
    name = asked or current
    if name in contexts:
        return name, str(contexts[name].get("namespace") or "default")
    known = f"; there are: {', '.join(sorted(contexts))}" if contexts else "; there is none at all"
    if not name:
        raise InputError.at("--context", f"the kubeconfig has no current context{known}")
    hint = did_you_mean(name, list(contexts))
    raise InputError.at("--context", f"there is no context {name!r}{hint or known}")


def _contexts(configs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for config in configs:
        for entry in config.get("contexts") or ():
            yield str(entry.get("name")), entry.get("context") or {}


def _read(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        content = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError) as error:
        raise InputError.at(str(path), f"cannot be read as a kubeconfig: {error}") from None
    if not isinstance(content, dict):
        raise InputError.at(str(path), "is no kubeconfig")
    return content


def _tls(found: SimpleNamespace) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=found.ssl_ca_cert)
    # kubectl takes the certificates of clusters that Python 3.13 finds too sparse.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if found.cert_file:
        context.load_cert_chain(found.cert_file, found.key_file)
    if not found.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _authorization(found: SimpleNamespace) -> str | None:
    if found.refresh_api_key_hook is not None:  # tokens of some providers last for minutes
        found.refresh_api_key_hook(found)
    value: str | None = found.api_key.get("BearerToken")
    return value
