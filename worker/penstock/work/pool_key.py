"""Which pool a job belongs to: the one it names, or that of its server, model and API key."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urlsplit

from penstock import jsons
from penstock.rate.told import FORMAT
from penstock.spec.job import BatchJob
from penstock.work.processors.http import secret_headers

_PORTS = {"http": 80, "https": 443}
_TEMPLATE = re.compile(r"\{\{|\{%|\{#")


def pool_key(job: BatchJob, api_key: str | None) -> str:
    """The pool's key in the database. Jobs with the same one share a budget.

    The version of what workers tell each other, a colon, and `rateLimit.pool` as it stands, also
    across namespaces. Otherwise a hash, 64 hexadecimal digits, of the server's address, the model
    and the credentials. A slow one: from a backup of the database, say, nobody finds a short
    password by trying. While two versions of Penstock that tell different things are at work, each
    takes the other for somebody else who uses the same account.
    """
    return f"{FORMAT}:{job.spec.rate_limit.pool or _budget(job, api_key)}"


def _budget(job: BatchJob, api_key: str | None) -> str:
    processor = job.spec.processor
    called = processor.openai or processor.ollama
    if called is not None:
        parts = [*_address(called.base_url, job), called.model, api_key]
    elif processor.http is not None:
        http = processor.http
        parts = [*_address(http.url, job), None, api_key, *sorted(secret_headers(http))]
    else:  # what a function calls is not known here
        parts = [job.metadata.namespace, processor.model_dump(mode="json")]
    told = jsons.canonical(parts)
    return hashlib.scrypt(told, salt=b"penstock pools", n=2**14, r=8, p=1, dklen=32).hex()


def _address(url: str, job: BatchJob) -> list[object]:
    """User, host, port, path as far as it is the same for all items. A host name of one label means
    another server in each namespace."""
    fixed = _TEMPLATE.split(url, maxsplit=1)[0]
    if fixed != url:
        fixed = fixed[: fixed.rfind("/") + 1]
    try:
        parts = urlsplit(fixed)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # no call will succeed
        return [job.metadata.namespace, url]
    if not host:  # each item names its server
        return [job.metadata.namespace, url]
    namespace = None if "." in host or ":" in host else job.metadata.namespace
    user = parts.netloc.rpartition("@")[0]
    return [parts.scheme, user, namespace, host, port, parts.path.rstrip("/")]
